"""What events have to say (docs/webhooks.md); what does not say it is kept, and told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from storage.tables.webhooks import webhook_events
from tests.graph.kit import GraphSite
from tests.graph.webhooks.pharmacy import Pharmacy, event


def test_a_signed_event_that_is_no_json_is_kept_and_answered_400(graph_site: GraphSite, pharmacy: Pharmacy) -> None:
    told = pharmacy.post("{", pharmacy.headers("invalid-1", "{"))
    assert told.status_code == 400
    again = pharmacy.post("{", pharmacy.headers("invalid-1", "{"))
    assert (again.status_code, again.json()) == (400, told.json())
    [row] = graph_site.rows(select(webhook_events).where(webhook_events.c.event_id == "invalid-1"))
    assert (bytes(row["body"]), row["status"]) == (b"{", "invalid")


@pytest.mark.parametrize(
    ("number", "path", "changed"),
    [
        (2, ["data", "orderId"], {"data": {"orderId": ""}}),
        (3, ["data", "treatmentId"], {"data": {"treatmentId": None}}),
        (4, ["data", "dosage"], {"data": {"dosage": 25}}),
        (5, ["timestamp"], {"timestamp": "2026-03-20"}),
        (6, ["timestamp"], {"timestamp": 1774029600}),
        (7, ["timestamp"], {"timestamp": "2999-01-01T00:00:00Z"}),
        (8, ["type"], {"type": 7}),
        (9, ["data", "prescribedDate"], {"data": {"prescribedDate": "2026-02-30T10:00:00Z"}}),
        (10, ["timestamp"], {"timestamp": "0001-01-01T00:00:00+12:00"}),
    ],
)
def test_what_is_wrong_with_an_event_is_told_by_its_place(
    number: int, path: list[str], changed: dict[str, Any], pharmacy: Pharmacy
) -> None:
    what = event("created", "10:00", "order_invalid", "rimo_invalid")
    what = {**what, **changed, "data": {**what["data"], **changed.get("data", {})}}
    told = pharmacy.tell(f"invalid-{number}", what)
    assert told.status_code == 400, told.text
    error = told.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert error["details"]["issues"][0]["path"][: len(path)] == path


def test_amounts_are_numbers_or_words_and_keep_their_digits(pharmacy: Pharmacy, staff: Any, treat: Any) -> None:
    treatment = treat("rimo_amounts")
    body = (
        '{"type":"order.created","timestamp":"2026-03-20T10:00:00.123456789+02:00","data":{"orderId":"order_amounts",'
        '"treatmentId":"rimo_amounts","medicationName":"Testosterone","dosage":"200mg/mL","quantity":2.50,'
        '"refills":"as needed","somethingNew":{"x":1}}}'
    )
    told = pharmacy.post(body, pharmacy.headers("amounts-1", body))
    assert told.status_code == 200, told.text
    key = told.json()["data"]["prescriptionId"]
    shown = staff.get(f"/prescriptions/{key}")
    assert '"quantity":2.50' in shown.text
    assert (shown.json()["data"]["refills"], shown.json()["data"]["treatmentId"]) == ("as needed", treatment)


def test_a_byte_order_mark_is_signed_and_looked_past(pharmacy: Pharmacy, treat: Any) -> None:
    treat("rimo_bom")
    body = "\ufeff" + json.dumps(event("created", "10:00", "order_bom", "rimo_bom"))
    assert pharmacy.post(body.encode(), pharmacy.headers("bom-1", body)).json()["data"]["status"] == "applied"


def test_numbers_of_any_size_are_kept(pharmacy: Pharmacy, staff: Any, treat: Any) -> None:
    treat("rimo_large")
    large = 10**40
    what = event("created", "10:00", "order_large", "rimo_large", quantity=large, refills=0)
    told = pharmacy.tell("large-1", what)
    assert told.status_code == 200, told.text
    shown = staff.get(f"/prescriptions/{told.json()['data']['prescriptionId']}")
    assert f'"quantity":{large}' in shown.text or '"quantity":1E+40' in shown.text
