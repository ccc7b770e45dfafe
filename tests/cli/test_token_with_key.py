"""`fhir-server token --key`: asked as a backend service asks (`smart.md` §13), with what can go wrong."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from joserfc.jwk import ECKey, OctKey

from tests.cli.conftest import Command
from tests.oauth.test_outgoing import certificate, https
from tests.site import free_port

__all__ = ["certificate"]


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.jwk"
    path.write_text(json.dumps(ECKey.generate_key("P-384", auto_kid=True).as_dict(private=True)), "utf-8")
    return path


def ask(command: Command, key: object, *more: str):
    return command("token", "--client", "service", "--scope", "system/*.rs", "--key", str(key), *more)


def test_a_file_that_is_not_there_is_told(command, tmp_path):
    done = ask(command, tmp_path / "none.jwk")
    assert done.status == 1
    assert "cannot be read" in done.err


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps(ECKey.generate_key("P-384", auto_kid=True).as_dict(private=False)),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=True)),
        json.dumps(OctKey.generate_key(256, auto_kid=True).as_dict(private=True)),
        '{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "d": "AA", "kid": "1"}',
    ],
    ids=["text", "list", "empty", "public", "no-kid", "symmetric", "broken"],
)
def test_a_file_without_a_private_key_is_told(command, tmp_path, content):
    path = tmp_path / "wrong.jwk"
    path.write_text(content, "utf-8")
    done = ask(command, path)
    assert done.status == 1
    assert "holds no private key" in done.err
    assert "Traceback" not in done.err


def test_a_server_that_does_not_run_is_told(command, key_file, monkeypatch):
    monkeypatch.setenv("FHIR_SERVER_BASE_URL", f"http://127.0.0.1:{free_port()}")
    done = ask(command, key_file)
    assert done.status == 1
    assert "is it running?" in done.err


def test_a_certificate_that_is_not_trusted_is_told_with_its_remedy(command, key_file, certificate, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the client goes away, as it should
    server.socket = https(certificate).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("FHIR_SERVER_BASE_URL", f"https://127.0.0.1:{server.server_port}")
    try:
        done = ask(command, key_file)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.status == 1
    assert "is not trusted" in done.err
    assert "SSL_CERT_FILE" in done.err


@pytest.mark.parametrize("more", [("--patient", "p1"), ("--organization", "o"), ("--ttl", "60")])
def test_what_the_server_decides_cannot_be_given(command, key_file, more):
    done = ask(command, key_file, *more)
    assert done.status == 1
    assert "--client and --scope alone" in done.err


def test_a_user_has_no_key(command, key_file):
    done = command("token", "--user", "pat@example.org", "--scope", "user/*.rs", "--key", str(key_file))
    assert done.status == 1
    assert "--client and --scope alone" in done.err
