"""A worker neither waits for ever for a body nor takes more requests than it can (security RL-2, RL-3)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from tests.site import FHIR_JSON, Site, issues, patient, running_site

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PAGE = "https://app.example"
BODY = json.dumps(patient()).encode()


@pytest.fixture(scope="module")
def narrow(database_url: str) -> Iterator[Site]:
    """A server that takes one request at a time and is impatient."""
    with running_site(database_url, max_in_flight=1, body_idle_seconds=0.5, body_seconds=1.0) as made:
        yield made


@pytest.fixture(scope="module")
def busy(database_url: str) -> Iterator[Site]:
    """A server that takes one request at a time and waits for its body."""
    with running_site(database_url, max_in_flight=1, cors_origins=(PAGE,)) as made:
        yield made


def connect(site: Site, **headers: str) -> socket.socket:
    """Begin a create, whose body is still to come."""
    address = urlsplit(site.base)
    connection = socket.create_connection((str(address.hostname), address.port or 0), timeout=30)
    lines = {
        "Host": address.netloc,
        "Authorization": f"Bearer {site.token()}",
        "Content-Type": FHIR_JSON,
        "Content-Length": str(len(BODY)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    connection.sendall(f"POST {address.path}/Patient HTTP/1.1\r\n{head}\r\n".encode())
    return connection


def everything(connection: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def trickle(connection: socket.socket) -> bytes:
    """Send a byte now and then, faster than any pause that is allowed, until there is an answer."""
    connection.settimeout(0.1)
    for byte in BODY * 100:
        try:
            return connection.recv(1) + everything(connection)
        except TimeoutError:
            connection.sendall(bytes([byte]))
    raise AssertionError("the server took every byte")


@pytest.mark.parametrize("kind", ["nothing", "a_part", "byte_by_byte"])
def test_security_RL2_a_body_that_does_not_come_in_time_is_408_and_the_connection_is_closed(narrow: Site, kind: str):
    with connect(narrow, **{"Content-Length": "100000", "X-Request-Id": "slow"}) as connection:
        if kind == "a_part":
            connection.sendall(BODY)
        answer = trickle(connection) if kind == "byte_by_byte" else everything(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert b"x-request-id: slow" in head.lower()
    (issue,) = json.loads(body)["issue"]
    assert (issue["severity"], issue["code"]) == ("error", "timeout")
    assert narrow.client().get("/Patient?_summary=count").status_code == 200  # its place is free again


def test_security_RL2_a_body_in_pieces_that_comes_in_time_is_taken(narrow: Site):
    with connect(narrow) as connection:
        for start in range(0, len(BODY), 16):
            connection.sendall(BODY[start : start + 16])
        assert connection.recv(12) == b"HTTP/1.1 201"


@contextmanager
def under_way(site: Site) -> Iterator[None]:
    """Hold the only place with a create whose body the server has asked for; then let it end well."""
    with connect(site, Expect="100-continue") as connection:
        assert connection.recv(len(CONTINUE)) == CONTINUE
        yield
        connection.sendall(BODY)
        assert connection.recv(12) == b"HTTP/1.1 201"


def test_security_RL3_more_requests_than_the_worker_takes_are_503_at_once(busy: Site):
    fhir = busy.client()
    with under_way(busy):
        for answer in (fhir.get("/Patient"), fhir.post("/Patient", json=patient())):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["cache-control"] == "no-store"
            (issue,) = issues(answer)
            assert issue["code"] == "transient"
        for probe in ("healthz", "readyz"):
            assert httpx.get(f"{busy.settings.base_url}/{probe}").status_code == 200
    assert fhir.get("/Patient").status_code == 200
    assert fhir.post("/Patient", json=patient()).status_code == 201


def test_security_RL3_a_page_may_read_that_the_worker_is_busy(busy: Site):
    with under_way(busy):
        answer = busy.client().get("/Patient", headers={"Origin": PAGE})
    assert answer.status_code == 503
    assert answer.headers["access-control-allow-origin"] == PAGE
