"""Bad input over HTTP: a 4xx with an OperationOutcome that names the place and the remedy; nothing stored."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.site import issues, observation, patient


def text(resource):
    return json.dumps(resource)


def with_raw(raw):
    """Return a Patient whose family name is the given JSON text."""
    return b'{"resourceType":"Patient","name":[{"family":' + raw + b"}]}"


BODIES = {
    "no JSON": b"hello",
    "half a resource": b'{"resourceType":"Patient","name":[',
    "two documents": text(patient()).encode() * 2,
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "no type": b'{"name":[]}',
    "unknown type": b'{"resourceType":"Person2"}',
    "unknown element": text(patient(shoeSize=42)).encode(),
    "repeated key": b'{"resourceType":"Patient","gender":"male","gender":"female"}',
    "one for a list": b'{"resourceType":"Patient","name":{"family":"x"}}',
    "a list for one": b'{"resourceType":"Patient","gender":["male"]}',
    "text for a boolean": text(patient(active="true")).encode(),
    "empty object": b'{"resourceType":"Patient","name":[{}]}',
    "empty list": b'{"resourceType":"Patient","name":[]}',
    "empty text": with_raw(b'""'),
    "bad date": text(patient(birthDate="1974-13-01")).encode(),
    "impossible day": text(patient(birthDate="1974-02-30")).encode(),
    "code outside a required binding": text(patient(gender="purple")).encode(),
    "bad id": text(patient(id="a_b")).encode(),
    "script in the narrative": text(
        patient(
            text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>'}
        )
    ).encode(),
    "NUL escaped": with_raw(b'"a\\u0000b"'),
    "NUL raw": with_raw(b'"a\x00b"'),
    "lone surrogate escaped": with_raw(b'"a\\ud800b"'),
    "lone surrogate raw": with_raw(b'"a\xed\xa0\x80b"'),
    "invalid UTF-8": with_raw(b'"\xff\xfe"'),
    "UTF-16": text(patient()).encode("utf-16"),
    "NaN": with_raw(b"NaN"),
    "infinity": b'{"resourceType":"Patient","multipleBirthInteger":Infinity}',
    "exponent without end": b'{"resourceType":"Patient","multipleBirthInteger":1e999999999}',
    "10,000 levels": b'{"resourceType":"Patient","extension":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "65 levels": b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 40 + b"1" + b"}]" * 40 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_is_refused_that_has(fhir, body):
    before = fhir.get("/Patient?_summary=count").json()["total"]
    answer = fhir.post("/Patient", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    for issue in issues(answer):
        assert issue["diagnostics"]
        assert issue["severity"] == "error"
    assert fhir.get("/Patient?_summary=count").json()["total"] == before


QUERIES = [
    "birthdate=nonsense",
    "birthdate=xx2020",
    "birthdate=2020-13",
    "birthdate=99999",
    "_count=-1",
    "_count=many",
    "_sort=nothing-like-it&_count=1&name:exact:x=1",
    "name:nonsense=x",
    "gender=|",
    "_lastUpdated=never",
    "_id=%00",
    "name=%ff%fe",
    "organization:Patient=1",
    "_include=nonsense",
    "_cursor=forged",
    "_summary=everything",
    "_total=maybe",
    "_pretty=2",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_is_refused_that_asks_for(fhir, query):
    answer = fhir.get(f"/Patient?{query}")
    assert 400 <= answer.status_code < 500, answer.text
    assert issues(answer)


def test_a_body_over_the_limit_is_413_before_the_rest_is_read(site):
    limit = site.settings.max_body_bytes
    parts = urlsplit(site.base)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        head = (
            f"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token()}\r\n"
            f"Content-Type: application/fhir+json\r\nContent-Length: {limit + 1}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_of_unknown_length_is_counted_as_it_arrives(site):
    parts = urlsplit(site.base)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        head = (
            f"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.token()}\r\n"
            "Content-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        sent = 0
        try:
            for _ in range(20):
                connection.sendall(chunk)
                sent += 1
        except OSError:  # the server has answered and closed
            pass
        connection.settimeout(10)
        assert sent >= 16
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_bundle_may_be_larger_than_a_resource(fhir):
    big = "x" * 1_000_000
    entries = [
        {"request": {"method": "POST", "url": "Observation"}, "resource": observation("Patient/big", valueString=big)}
        for _ in range(18)
    ]
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200


def test_headers_over_the_limit_are_refused(fhir, site):
    answer = fhir.get("/Patient", headers={"X-Long": "x" * (site.settings.max_header_bytes + 1)})
    assert (answer.status_code, issues(answer)[0]["code"]) == (431, "too-long")


def test_a_long_address_within_the_limit_is_served(fhir):
    values = ",".join(f"id-{number:05}" for number in range(450))
    assert fhir.get(f"/Patient?_id={values}").status_code == 200


def test_two_authorization_headers_are_400(site):
    parts = urlsplit(site.base)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        line = f"Authorization: Bearer {site.token()}\r\n"
        connection.sendall(f"GET /fhir/Patient HTTP/1.1\r\nHost: x\r\n{line}{line}\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")


def test_values_of_a_request_are_not_repeated_in_outcomes(fhir):
    secret = "Canary-0815"
    for answer in (
        fhir.post("/Patient", json=patient(secret, gender=secret, birthDate=secret)),
        fhir.post("/Patient", content=f'{{"resourceType":"Patient","x":"{secret}'),
        fhir.get(f"/Patient?birthdate={secret}"),
        fhir.get(f"/Patient?identifier:of-type={secret}"),
    ):
        assert 400 <= answer.status_code < 500
        assert secret not in answer.text
