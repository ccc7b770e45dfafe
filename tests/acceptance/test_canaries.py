"""No value of a request is in an error, in a log or in the audit, whatever is asked (security PH-1, AD-1).

A word that is nowhere else stands in every query, header and body that an interaction takes, in ways that are refused
and in ways that are carried out. Names of parameters and elements are no values: an error tells them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.site import FHIR_JSON, Site, observation, patient, running_site

WORD = "Canary-4711"
OWN = "of-canary"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture(scope="module")
def told(database_url: str, logged: io.StringIO) -> Iterator[tuple[Site, list[httpx.Response]]]:
    """A server that was asked everything, with the answers."""
    with running_site(database_url) as site:
        fhir = site.client()
        fhir.put(f"/Patient/{OWN}", json=patient(WORD, id=OWN)).raise_for_status()
        fhir.put("/Observation/of-canary", json=measured(id=OWN)).raise_for_status()
        reader = site.client("system/Basic.r")
        own = site.client("patient/*.cruds", role="APP", patient=OWN)
        answers = [send(client, *each) for each in requests() for client in (fhir, own, reader)]
        yield site, answers


def send(fhir: httpx.Client, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
    sent = {"content": body} if isinstance(body, str) else {"json": body}
    return fhir.request(method, path, headers={"Content-Type": FHIR_JSON} | headers, **sent)


def measured(**more: Any) -> dict[str, Any]:
    return observation(f"Patient/{OWN}", valueString=WORD, note=[{"text": WORD}]) | more


def call(*parameters: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(parameters)}


def fhirpath(path: str, kind: str = "replace") -> dict[str, Any]:
    texts = {"type": ("valueCode", kind), "path": ("valueString", path), "value": ("valueString", WORD)}
    part = [{"name": name, element: value} for name, (element, value) in texts.items()]
    return call({"name": "operation", "part": part})


def bundle(kind: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    made = [
        {"request": {"method": method, "url": url}, **({"resource": body} if body is not None else {})}
        for method, url, body in entries
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": made}


QUERIES = [
    *(f"{name}={WORD}" for name in ("date", "_lastUpdated", "value-quantity", "_count", "_sort", "_total", "_summary")),
    *(
        f"{name}={WORD}"
        for name in ("_elements", "_type", "_include", "_revinclude", "_cursor", "_has", "_id", "status")
    ),
    *(f"code:{how}={WORD}" for how in ("text", "in", "not-in", "above", "below", "of-type", "missing", "exact", "not")),
    *(f"code:{how}=http://example.org|{WORD}" for how in ("above", "below", "in")),
    f"subject:Patient.birthdate={WORD}",
    f"_has:Observation:patient:date={WORD}",
    f"_list={WORD}!",
    f"_since={WORD}",
    f"_at={WORD}",
    f"combo-value-quantity=ge{WORD}",
    f"code-value-quantity={WORD}${WORD}",
    f"related-target:identifier={WORD}%7C%00",
    f"_format={WORD}",
    f"start={WORD}",
    f"max={WORD}&patient={OWN}&code=x",
    f"mode={WORD}",
    f"profile={WORD}",
]
WHERES = ["", "/Observation", f"/Patient/{OWN}/Observation", f"/Patient/{OWN}/*", "/_history", "/Observation/_history"]
WHERES += [f"/Observation/{OWN}{rest}" for rest in ("", "/_history", "/$meta", "/$lineage", "/$validate")]
WHERES += [
    f"/Patient/{OWN}/$everything",
    "/Observation/$lastn",
    "/Provenance",
    "/OperationDefinition",
    "/Observation/$meta",
]


def requests() -> Iterator[tuple[str, str, Any, dict[str, str]]]:
    strict = {"Prefer": f"handling=strict, x={WORD}"}
    for where in WHERES:
        for query in QUERIES:
            yield "GET", f"{where or '/'}?{query}", None, strict
    for where in ("/Observation/_search", "/_search", f"/Patient/{OWN}/Observation/_search"):
        for query in QUERIES:
            yield "POST", where, query, FORM
    one = f"/Observation/{OWN}"
    for header in ("If-Match", "If-None-Match", "If-Modified-Since", "If-None-Exist", "Accept", "Content-Encoding"):
        for method, path, body in (
            ("GET", one, None),
            ("PUT", one, measured(id=OWN)),
            ("POST", "/Observation", measured()),
        ):
            yield method, path, body, {header: f'{WORD}, "{WORD}"'}
    bad = [
        measured(id=WORD, status=WORD),
        measured(id=OWN, effectiveDateTime=WORD),
        measured(id=OWN, unknown=WORD),
        measured(id=OWN, meta={"profile": [WORD], "tag": WORD}),
        measured(id=OWN, subject={"reference": f"Patient?name={WORD}"}),
        {"resourceType": WORD},
        f'{{"resourceType":"Observation","{WORD}":',
    ]
    for body in bad:
        for method, path in (
            *(("PUT", address) for address in (one, f"/Observation?_id={OWN}", f"/Observation?date={WORD}")),
            *(
                ("POST", address)
                for address in ("/Observation", "/Observation/$validate", f"{one}/$validate?mode=update")
            ),
            ("POST", f"{one}/$meta-add"),
        ):
            yield method, path, body, {}
        if not isinstance(body, str):
            yield "POST", "/", bundle("transaction", ("PUT", f"Observation/{OWN}", body)), {}
            yield "POST", "/", bundle("batch", ("PUT", f"Observation/{OWN}", body)), {}
    patches = [
        [{"op": "test", "path": "/status", "value": WORD}],
        [{"op": "replace", "path": f"/{WORD}/0", "value": WORD}],
        [{"op": "replace", "path": "/effectiveDateTime", "value": WORD}],
        [{"op": "add", "path": "/note/-", "value": {"text": WORD}}],
        [{"op": WORD, "path": "/note"}],
        [{"op": "replace", "path": "/subject", "value": {"reference": f"Patient/{WORD}!"}}],
    ]
    for patch in patches:
        for path in (one, f"/Observation?_id={OWN}", f"/Observation?date={WORD}", f"/Observation?value-string={WORD}"):
            yield "PATCH", path, patch, JSON_PATCH
    for path in (f"Observation.where(status = '{WORD}')", f"Observation.{WORD}", f"'{WORD}", "Observation.status"):
        for kind in ("replace", "delete", WORD):
            yield "PATCH", one, fhirpath(path, kind), {}
    for query in (f"date={WORD}", f"unknown={WORD}", f"code:in={WORD}", f"subject:Patient.birthdate={WORD}"):
        yield "DELETE", f"/Observation?{query}", None, {}
        yield "POST", "/Observation", measured(), {"If-None-Exist": query}
        yield "POST", "/", bundle("transaction", ("DELETE", f"Observation?{query}", None)), {}
        yield "POST", "/", bundle("batch", ("GET", f"Observation?{query}", None)), {}
    for parameter in (
        {"name": WORD, "valueString": WORD},
        {"name": "meta", "valueMeta": {"tag": [{"code": WORD}], "lastUpdated": WORD}},
        {"name": "meta", "valueMeta": {"tag": [{"code": WORD}]}},
        {"name": "mode", "valueCode": WORD},
        {"name": "resource", "resource": {"resourceType": WORD, "id": WORD}},
        {"name": "date", "valueString": WORD},
    ):
        for path in (f"{one}/$meta-add", f"{one}/$meta-delete", f"{one}/$validate", "/Observation/$lastn"):
            yield "POST", path, call(parameter), {}
        yield "POST", f"/Patient/{OWN}/$everything", call(parameter), {}


def test_security_PH1_no_refusal_repeats_a_value(told):
    _, answers = told
    refused = [each for each in answers if each.status_code >= 400]
    assert {each.status_code for each in refused} >= {400, 403, 406, 412, 415, 422}
    wrong = {f"{each.request.method} {each.request.url} {each.text}" for each in refused if WORD in each.text}
    assert not sorted(wrong)[:40]
    assert not [each for each in answers if each.status_code >= 500]


def test_security_PH1_no_header_repeats_a_value(told):
    _, answers = told
    assert not [each.headers for each in answers if WORD in str(each.headers)]


def test_security_PH1_outcomes_of_checks_repeat_no_value(told):
    """`$validate` answers 200 with what is wrong."""
    _, answers = told
    outcomes = [each for each in answers if each.is_success and b'"OperationOutcome"' in each.content[:60]]
    assert outcomes
    assert not {each.text for each in outcomes if WORD in each.text}


def test_security_AD1_no_record_holds_a_value(told):
    site, answers = told
    records = [
        each for trail in open_trails(site.settings.database_url, role=ROLE) for each in export(trail, ORGANIZATION)
    ]
    assert len(records) >= len(answers)
    assert WORD not in json.dumps(records, default=str)


def test_security_PH1_no_log_holds_a_value(told, logged: io.StringIO):
    assert WORD not in logged.getvalue()
