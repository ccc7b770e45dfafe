"""What `bench/authorization.py` sends and how it reports; nothing is timed."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from urllib.parse import parse_qs

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

from bench import stub
from bench.authorization import (
    CODES,
    EXCHANGES,
    VERIFIER,
    Costed,
    Running,
    challenge,
    code_request,
    credentials_request,
    read_lines,
    token_line,
    verdict,
)
from bench.footprint import cpu_seconds
from bench.wrk import EACH, SCRIPT, Measured
from fhir_server import app
from fhir_server.oauth.authenticate import Authenticator
from storage.authorization.opaque import digest


def test_a_code_is_redeemed_with_the_verifier_of_its_challenge():
    form = {name: value for name, (value,) in parse_qs(code_request("bench-1-7")).items()}
    assert form["code"] == "bench-1-7"
    assert challenge(form["code_verifier"]) == create_s256_code_challenge(VERIFIER)


def test_codes_are_stored_by_the_digest_that_the_server_looks_for():
    assert "encode(sha256(convert_to(%(prefix)s || n, 'UTF8')), 'hex')" in CODES
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_every_assertion_is_signed_and_used_once():
    key = RSAKey.generate_key(2048)
    bodies = [credentials_request(key, "https://host.example/oauth/token", f"j{n}", 1_800_000_000) for n in range(3)]
    claims = [jwt.decode(parse_qs(body)["client_assertion"][0], key, algorithms=["RS384"]).claims for body in bodies]
    assert len({each["jti"] for each in claims}) == 3
    assert {each["aud"] for each in claims} == {"https://host.example/oauth/token"}


def test_an_identity_token_is_a_second_signature():
    for exchange in EXCHANGES:
        assert exchange.signatures == 1 + ("openid" in exchange.scope.split())


@pytest.mark.parametrize(("value", "shown"), [(0.85, "0.85"), (0.9, "0.85"), (0.849, "0.85 FAIL")])
def test_a_missed_goal_is_marked(value: float, shown: str):
    assert verdict(value, 0.85) == shown


def costed(rate: float) -> Costed:
    return Costed(Measured(rate, 1, 2), 0.5, 0.25)


def test_processor_time_is_counted_per_answer(monkeypatch: pytest.MonkeyPatch):
    readings = iter([1.0, 5.0, 3.0, 5.5])
    monkeypatch.setattr("bench.authorization.cpu_seconds", lambda _pid: next(readings))
    found = Running(1, 2, 3).costed(2, lambda: Measured(500, 1, 2))
    assert (found.server_ms, found.database_ms) == (2.0, 0.5)


def test_the_processor_time_of_a_process_grows():
    before = cpu_seconds(os.getpid())
    deadline = time.process_time() + 0.1
    while time.process_time() < deadline:
        pass
    assert cpu_seconds(os.getpid()) > before


def test_reads_are_compared_with_the_stub_of_the_same_rounds():
    found = {
        "as it is": [costed(90), costed(96), costed(10)],
        "every token verified": [costed(50)] * 3,
        "stub": [costed(100)] * 3,
    }
    *_, checked, verifying, stubbed = read_lines(found)
    assert checked == "| as it is | 90 | 1.00 | 0.50 + 0.25 | 0.90 | 0.85 |"
    assert verifying == "| every token verified | 50 | 1.00 | 0.50 + 0.25 | 0.50 |  |"
    assert stubbed == "| stub | 100 | 1.00 | 0.50 + 0.25 | 1.00 |  |"


def test_tokens_are_told_as_a_share_of_bare_signatures():
    line = token_line("an exchange", [costed(200)], 2, 800, 250)
    assert line == "| an exchange | 200 | 1.0 | 2.0 | 0.50 + 0.25 | 0.50 | 250 FAIL |"


def test_the_scripts_for_wrk_are_filled_in():
    assert "%(" not in SCRIPT % {"paths": '"/a"', "headers": "", "bearers": '"Bearer x"'}
    assert "%(" not in EACH % {"path": '"/oauth/token"', "headers": ""}


async def test_the_stub_looks_at_the_first_token_only(monkeypatch: pytest.MonkeyPatch):
    seen = []

    async def checked(_self: object, headers: object, _query: bytes) -> object:
        seen.append(headers)
        return SimpleNamespace(name="access")

    monkeypatch.setattr(Authenticator, "access", checked)
    monkeypatch.setattr(app, "application", lambda: "the application")
    assert stub.application() == "the application"
    first = await Authenticator.access(None, "first", b"")
    assert await Authenticator.access(None, "second", b"") is first
    assert seen == ["first"]
