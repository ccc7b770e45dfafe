"""Signatures of webhooks (Standard Webhooks; security WH-2), against a library that is not ours."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from fhir_server.cli.installation import open_installation
from fhir_server.graph.webhooks.signature import (
    NotSigned,
    delivery_of,
    is_signed_with,
    new_secret,
    secret_bytes,
    signature_of,
    signer_of,
)
from fhir_server.limits.limit import Limit
from storage.repositories.webhook_secrets import WebhookSecret, WebhookSecretRepository
from tests.conftest import OTHER_ORGANIZATION
from tests.graph.kit import JANE, GraphSite, running_graph
from tests.graph.webhooks.pharmacy import Pharmacy, event, rotated, secret_for

NOW = 1_774_029_600.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EXAMPLE = ('{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330)
EXAMPLE_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""The published example of the specification."""


def headers(signature: str, *, event_id: str = "msg_1", at: float = NOW) -> dict[str, str]:
    return {"webhook-id": event_id, "webhook-timestamp": str(int(at)), "webhook-signature": signature}


def test_the_published_example_is_signed_as_published() -> None:
    body, event_id, at = EXAMPLE
    delivery = delivery_of(headers(EXAMPLE_SIGNATURE, event_id=event_id, at=at), float(at))
    assert is_signed_with(secret_bytes(SECRET), delivery, body.encode())


@given(st.binary(max_size=200).map(lambda data: data.decode("latin-1")), st.integers(0, 10**11))
def test_what_the_library_signs_is_believed_and_nothing_else(body: str, at: int) -> None:
    secret = new_secret()
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    delivery = delivery_of(headers(signature, at=at), float(at))
    assert is_signed_with(secret_bytes(secret), delivery, body.encode())
    assert not is_signed_with(secret_bytes(secret), delivery, body.encode() + b" ")
    assert not is_signed_with(secret_bytes(new_secret()), delivery, body.encode())


@pytest.mark.parametrize("away", [-300, 300])
def test_a_delivery_is_good_for_five_minutes_on_both_sides(away: int) -> None:
    assert delivery_of(headers("v1,AAAA"), NOW + away).event_id == "msg_1"
    with pytest.raises(NotSigned, match="too far"):
        delivery_of(headers("v1,AAAA"), NOW + away + (1 if away > 0 else -1))


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": ""},
        {"webhook-id": "a b"},
        {"webhook-id": "x" * 256},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "1774029600.5"},
        {"webhook-timestamp": "٣"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": "v1,not base64"},
        {"webhook-signature": "v1,é"},
    ],
    ids=str,
)
def test_odd_headers_are_not_believed(changed: dict[str, str]) -> None:
    with pytest.raises(NotSigned):
        delivery_of(headers("v1,AAAA") | changed, NOW)


def test_any_of_several_signatures_may_fit() -> None:
    good = base64.b64encode(signature_of(secret_bytes(SECRET), "msg_1", int(NOW), b"{}")).decode()
    delivery = delivery_of(headers(f"v1a,AAAA v1,{base64.b64encode(b'other').decode()} v1,{good}"), NOW)
    assert signer_of([("other", b"x" * 24), ("ours", secret_bytes(SECRET))], delivery, b"{}") == "ours"


@pytest.mark.parametrize("written", ["", "whsec_", "whsec_AAAA", "whsec_é", "whsec_" + "A" * 88])
def test_a_secret_has_24_to_64_bytes_in_base64(written: str) -> None:
    with pytest.raises(ValueError, match="the secret has to"):
        secret_bytes(written)


# ---- over HTTP

CREATED = event("created", "10:00", "order_signed", "rimo_signed")
BODY = json.dumps(CREATED)


def refused(told: httpx.Response) -> bool:
    return told.status_code == 401 and told.json() == {
        "success": False,
        "error": {"code": "UNAUTHORIZED", "message": "The webhook signature is missing, wrong or too old"},
    }


def test_what_is_not_signed_is_refused_before_it_is_read(graph_site: GraphSite, pharmacy: Pharmacy) -> None:
    signed = pharmacy.headers("signed-1", BODY)
    for changed in (
        {"webhook-signature": ""},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-id": "signed-2"},
        {"webhook-timestamp": str(int(time.time()) - 1)},
    ):
        assert refused(pharmacy.post(BODY, signed | changed))
    assert refused(pharmacy.post(BODY + " ", signed))
    assert refused(pharmacy.post("no json", signed))
    assert refused(pharmacy.tell("signed-1", CREATED, at=time.time() - 301))
    assert refused(pharmacy.tell("signed-1", CREATED, at=time.time() + 302))
    told = pharmacy.tell("signed-1", CREATED, secret=new_secret())
    assert refused(told)
    assert graph_site.audit_of(told)["outcome"] == "denied"


def test_the_digits_of_a_body_are_signed_as_they_are_sent(pharmacy: Pharmacy) -> None:
    body = '{ "type":"pharmacist.greeted",\n "timestamp":"2026-03-20T10:00:00Z", "data":{"n":1.10} }'
    assert pharmacy.post(body, pharmacy.headers("signed-3", body)).status_code == 202


def test_a_token_is_no_signature_and_a_signature_no_token(graph_site: GraphSite, pharmacy: Pharmacy) -> None:
    admin = graph_site.client("ORG_ADMIN")
    assert refused(admin.post("/webhooks/rimo", json=CREATED))
    told = pharmacy.client.get("/profiles", headers=pharmacy.headers("signed-4", ""))
    assert told.status_code == 401


def test_packed_large_and_other_bodies_are_refused_by_their_headers(pharmacy: Pharmacy) -> None:
    signed = pharmacy.headers("signed-5", BODY)
    assert pharmacy.post(BODY, signed | {"content-encoding": "gzip"}).status_code == 415
    assert pharmacy.post(BODY, signed | {"content-type": "text/plain"}).status_code == 415
    large = json.dumps({"x": "y" * 300_000})
    assert pharmacy.post(large, pharmacy.headers("signed-5", large)).status_code == 413


def test_while_a_secret_follows_another_both_are_good(graph_site: GraphSite, pharmacy: Pharmacy) -> None:
    old, settings = pharmacy.secret, graph_site.site.settings
    new = rotated(settings, hours=1)
    for number, secret in enumerate((old, new)):
        assert pharmacy.tell(f"rotated-{number}", CREATED, secret=secret).status_code == 202
    newest = rotated(settings, hours=0)
    pharmacy.secret = newest
    for number, secret in enumerate((old, new)):
        assert refused(pharmacy.tell(f"rotated-again-{number}", CREATED, secret=secret))
    assert pharmacy.tell("rotated-2", CREATED).status_code == 202


def test_an_event_is_the_organizations_whose_secret_signed_it(graph_site: GraphSite, pharmacy: Pharmacy) -> None:
    settings = graph_site.site.settings
    other = secret_for(settings, OTHER_ORGANIZATION)
    staff = graph_site.client("STAFF")
    sent = {"customerId": JANE.customer, "rimoTreatmentId": "rimo_whose", "offeringName": "GLP-1"}
    treatment = staff.post("/treatments", json=sent).json()["data"]["id"]
    staff.patch(f"/treatments/{treatment}", json={"status": "approved"})
    what = event("created", "10:00", "order_whose", "rimo_whose")
    told = pharmacy.tell("whose-1", what, secret=other)
    assert told.json()["data"]["status"] == "waiting"
    assert graph_site.audit_of(told)["organization_id"] == OTHER_ORGANIZATION
    assert pharmacy.tell("whose-1", what).json()["data"]["status"] == "applied"


def test_a_secret_that_cannot_be_opened_keeps_nobody_elses_events_out(
    graph_site: GraphSite, pharmacy: Pharmacy
) -> None:
    settings = graph_site.site.settings

    async def spoil() -> None:
        async with open_installation(settings) as installation, installation.database.platform() as connection:
            broken = WebhookSecret("broken", OTHER_ORGANIZATION, "rimo", "v1:0:0:0")
            await WebhookSecretRepository(connection).insert(broken)

    asyncio.run(spoil())
    assert pharmacy.tell("spoilt-1", {"type": "pharmacist.greeted"}).status_code == 202


def test_an_address_sends_twenty_events_a_minute_and_no_more(fresh_database_url: str) -> None:
    with running_graph(fresh_database_url, graph_webhook_limit=Limit(20, 60), graph_address_limit=Limit(1, 60)) as made:
        told: list[Any] = [httpx.post(f"{made.site.settings.base_url}/graph/webhooks/rimo", json={}) for _ in range(21)]
    assert [each.status_code for each in told] == [401] * 20 + [429]
    assert told[-1].headers["x-ratelimit-limit"] == "20"
    assert told[-1].json()["error"]["retryAfter"] > 0
