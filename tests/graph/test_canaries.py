"""No value of a request is in a refusal, a log or the audit, whatever the patient graph API is asked (PH-1, AD-1).

A word that is nowhere else stands in every parameter, member of a body, header and webhook event, in requests that are
refused and in ones that are carried out. Names of parameters and members are no values: an error tells them.
Nor is what may be an id, in the place of one: the audit says whom and what was asked for. This word may not be one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest

from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.graph.answers import document
from tests.graph.kit import JANE, GraphSite, running_graph
from tests.graph.requests import SAMPLES, filled
from tests.graph.webhooks.pharmacy import Pharmacy, event, secret_for

WORD = "Canary 4711"
OTHER = "unknownName"
HEADERS = ("Accept", "Content-Type", "Content-Encoding", "If-Match", "Prefer", "Origin", "Cookie")


@pytest.fixture(scope="module")
def told(database_url: str, logged: io.StringIO) -> Iterator[tuple[GraphSite, list[httpx.Response]]]:
    """A server that was asked everything, with the answers."""
    with running_graph(database_url) as made:
        clients = [
            made.client("ORG_ADMIN", checked=False),
            made.client("STAFF", checked=False),
            made.client("PATIENT", customer=JANE, checked=False),
        ]
        described = list(requests())
        answers = [client.request(method, path, **sent) for method, path, sent in described for client in clients]
        yield made, answers + list(events(made))


def requests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and the rest of requests with the word in one place, or in all."""
    described = document()["paths"]
    for endpoint, sample in SAMPLES.items():
        method, _, template = endpoint.partition(" ")
        path = template.replace("{id}", JANE.row(sample.path_row)) if sample.path_row else template
        params, body = filled(sample.params, JANE, "u"), filled(sample.json, JANE, "u")
        sent = {"params": params} | ({"json": body} if body is not None else {})
        (operation,) = (each[method.lower()] for at, each in described.items() if at.removeprefix("/graph") == template)
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        for name in [*names, OTHER]:
            yield method, path, sent | {"params": params | {name: WORD}}
        for name in HEADERS:
            yield method, path, sent | {"headers": {name: WORD}}
        if "{id}" in template:
            yield method, template.replace("{id}", WORD), sent
        for wrong in altered(body):
            yield method, path, sent | {"json": wrong}
        if body is not None:
            cut = {"content": f'{{"{OTHER}": {WORD}', "headers": {"Content-Type": "application/json"}}
            yield method, path, {"params": params, **cut}
    for path in (f"/{WORD}", f"/labs/{WORD}/{WORD}", f"/labs?{OTHER}={WORD}"):
        yield "GET", path, {}


def altered(body: Any) -> Iterator[Any]:
    """Yield a body with the word in the place of each value, of all texts, and as another member."""
    if isinstance(body, Mapping):
        yield {**body, OTHER: WORD}
        for name, value in body.items():
            for wrong in (WORD, [WORD], {OTHER: WORD}, *altered(value)):
                yield {**body, name: wrong}
    elif isinstance(body, list):
        for wrong in (WORD, {OTHER: WORD}, *altered(body[0])):
            yield [body[0], wrong]
            yield [wrong]


def events(site: GraphSite) -> Iterator[httpx.Response]:
    """Yield the answers to events of a pharmacy."""
    pharmacy = Pharmacy(site.site.settings.base_url, secret_for(site.site.settings))
    known = event("created", "10:00", "order_canary", JANE.row("rimo"))
    for number, wrong in enumerate(altered(known)):
        yield pharmacy.tell(f"event_{number}", wrong)
        body = json.dumps(wrong)
        yield pharmacy.post(body, pharmacy.headers(f"{WORD}-{number}", body) | {"webhook-signature": f"v1,{WORD}"})
        yield pharmacy.post(body, pharmacy.headers(f"x-{number}", body) | {"webhook-timestamp": WORD})
    pharmacy.client.close()


def tells(text: str) -> bool:
    """Return whether a text has the word, as it is or as addresses have it."""
    return any(word in text for word in (WORD, quote(WORD), quote_plus(WORD)))


def test_security_PH1_no_refusal_repeats_a_value(told):
    _, answers = told
    refused = [each for each in answers if each.status_code >= 400]
    assert {each.status_code for each in refused} >= {400, 401, 403, 404, 415}
    assert not sorted({f"{each.request.method} {each.request.url} {each.text}" for each in refused if tells(each.text)})
    assert not [each for each in answers if each.status_code >= 500]


def test_security_PH1_no_header_repeats_a_value(told):
    _, answers = told
    assert not [each.headers for each in answers if tells(str(each.headers))]


def test_security_AD1_no_record_holds_a_value(told):
    site, answers = told
    url = site.site.settings.database_url
    records = [each for trail in open_trails(url, role=ROLE) for each in export(trail, ORGANIZATION)]
    assert len(records) >= len(answers)
    assert not [each for each in records if tells(json.dumps(each, default=str))][:5]


def test_security_PH1_no_log_holds_a_value(told, logged: io.StringIO):
    assert not tells(logged.getvalue())
