"""Connections as clients meet them: heads that come slowly, requests that come together (security RL-2)."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from fhir_server import http_protocol
from fhir_server.http_protocol import JoinedWrites
from tests.site import Site


def connect(site: Site) -> socket.socket:
    address = urlsplit(site.base)
    return socket.create_connection((str(address.hostname), address.port or 0), timeout=30)


def everything(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def ask(site: Site, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in ("Host: here", *headers))
    return f"GET {urlsplit(site.base).path}/metadata?_elements=url HTTP/1.1\r\n{lines}\r\n".encode()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)


@pytest.mark.usefixtures("impatient")
def test_security_RL2_a_client_that_says_nothing_is_closed(site: Site) -> None:
    with connect(site) as connection:
        assert everything(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
def test_security_RL2_a_head_that_is_never_finished_is_closed(site: Site) -> None:
    with connect(site) as connection:
        connection.sendall(ask(site)[:-2])
        assert everything(connection).startswith(b"HTTP/1.1 408 ")


@pytest.mark.usefixtures("impatient")
def test_security_RL2_the_second_head_of_a_connection_is_waited_for_no_longer_than_the_first(site: Site) -> None:
    with connect(site) as connection:
        connection.sendall(ask(site) + b"GET /f")
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 408 " in answer


def test_a_head_in_pieces_is_put_together(site: Site) -> None:
    with connect(site) as connection:
        for byte in ask(site, "Connection: close"):
            connection.sendall(bytes([byte]))
        assert everything(connection).startswith(b"HTTP/1.1 200 ")


def test_requests_sent_together_are_answered_in_order(site: Site) -> None:
    with connect(site) as connection:
        connection.sendall(ask(site) * 3 + ask(site, "Connection: close"))
        assert everything(connection).count(b"HTTP/1.1 200 ") == 4


class Loop:
    def __init__(self) -> None:
        self.soon: list = []

    def call_soon(self, work) -> None:
        self.soon.append(work)


class Transport:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def writelines(self, pieces) -> None:
        self.sent.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_head_and_body_leave_in_one_piece() -> None:
    loop, transport = Loop(), Transport()
    joined = JoinedWrites(transport, loop)
    joined.write(b"head")
    joined.write(b"body")
    assert transport.sent == []
    (flush,) = loop.soon
    flush()
    assert transport.sent == [b"headbody"]
    joined.write(b"next")
    assert len(loop.soon) == 2


def test_what_was_written_is_sent_before_the_connection_is_closed() -> None:
    loop, transport = Loop(), Transport()
    joined = JoinedWrites(transport, loop)
    joined.write(b"last words")
    joined.close()
    loop.soon[0]()
    assert transport.sent == [b"last words"]
    assert joined.is_closing()
