"""Bad searches and headers, and bodies that come in parts. Bad bodies: `tests/acceptance/test_bad_input.py`."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.site import issues, observation, patient

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
