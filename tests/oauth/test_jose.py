"""Laws of reading tokens of others: whatever arrives is refused in one way, and no change of a token goes unnoticed."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from fhir_server.oauth.jose import NotVerified, instant, names_audience, parse, verify
from fhir_server.oauth.strict_json import decode_object
from tests.oauth.test_assertions import segment, signed

ALGORITHMS = ("RS384", "ES384")
TYPES = frozenset({"jwt"})
RSA = RSAKey.generate_key(2048, private=True)
P384 = ECKey.generate_key("P-384", private=True)
PUBLIC = {"RS384": {**RSA.as_dict(private=False), "kid": "k"}, "ES384": {**P384.as_dict(private=False), "kid": "k"}}
TOKENS = {
    "RS384": signed({"sub": "somebody", "n": 1}, RSA, "RS384", "k"),
    "ES384": signed({"sub": "somebody", "n": 1}, P384, "ES384", "k"),
}
TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "jku", "x5u", "x5c", "b64", "enc", "zip", "kty"])
HEADERS = st.dictionaries(MEMBERS, JSON | st.sampled_from(["RS384", "ES384", "none", "k", "JWT"]), max_size=6)
KEYS = st.fixed_dictionaries(
    {"kid": st.just("k"), "kty": st.sampled_from(["RSA", "EC", "oct", 5])},
    optional=dict.fromkeys(("n", "e", "crv", "x", "y", "use", "key_ops", "alg", "k", "d"), JSON),
)


def read(token: str, keys: list[Any]) -> Any:
    return verify(parse(token, ALGORITHMS, TYPES), keys)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_is_read(algorithm: str):
    assert read(TOKENS[algorithm], [PUBLIC[algorithm]]) == {"sub": "somebody", "n": 1}


@given(st.text() | st.lists(st.text(alphabet="abcAZ09-_=.+/", max_size=20), max_size=6).map(".".join))
def test_whatever_text_arrives_is_refused_in_one_way(text: str):
    with pytest.raises(NotVerified):
        read(text, list(PUBLIC.values()))


@given(HEADERS, JSON, st.binary(max_size=64))
def test_whatever_header_and_claims_arrive_are_refused_in_one_way(header: Any, claims: Any, signature: bytes):
    with pytest.raises(NotVerified):
        read(f"{segment(header)}.{segment(claims)}.{segment(signature) or 'A'}", list(PUBLIC.values()))


@given(st.sampled_from(ALGORITHMS), KEYS)
def test_whatever_key_a_set_holds_verifies_nothing_that_it_did_not_sign(algorithm: str, key: Any):
    with pytest.raises(NotVerified):
        read(TOKENS[algorithm], [key])


@given(st.sampled_from(ALGORITHMS), st.data())
def test_no_change_of_a_token_goes_unnoticed(algorithm: str, data: st.DataObject):
    token = TOKENS[algorithm]
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz0189-_"))
    changed = token[:place] + letter + token[place + 1 :]
    if _meaning(changed) == _meaning(token):
        return  # the last letter of a segment has bits that nothing is made of
    with pytest.raises(NotVerified):
        read(changed, [PUBLIC[algorithm]])


def _meaning(token: str) -> list[bytes]:
    head, body, signature = [*token.split("."), "", ""][:3]
    return [head.encode(), body.encode(), base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))]


def test_a_key_that_is_too_large_to_verify_with_is_refused():
    large = {**PUBLIC["RS384"], "n": segment(b"\xff" * 1025)}
    with pytest.raises(NotVerified):
        read(TOKENS["RS384"], [large])


@given(JSON)
@example(10**400)
def test_an_instant_is_a_number_of_seconds_or_refused(value: Any):
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max
    if good:
        assert instant({"exp": value}, "exp") == value
    else:
        with pytest.raises(NotVerified):
            instant({"exp": value}, "exp")
    assert instant({}, "exp") is None


@given(JSON)
def test_an_audience_is_named_by_its_exact_text(value: Any):
    named = value == "https://host.example" or (isinstance(value, list) and "https://host.example" in value)
    assert names_audience({"aud": value}, "https://host.example") == named
    assert names_audience({"aud": ["x", "https://host.example"]}, "https://host.example")


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_strict_JSON_reads_what_JSON_says(document: dict[str, Any]):
    assert decode_object(json.dumps(document).encode()) == document


@given(st.binary(max_size=200))
def test_strict_JSON_refuses_the_rest_by_one_error(text: bytes):
    try:
        assert isinstance(decode_object(text), dict)
    except ValueError as error:
        assert error  # noqa: PT017 nothing else is raised


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":["\\u0000"]}',
        b'{"a":{"\\ud800":1}}',
        b"[]",
        b"1",
        b"{} {}",
        b"[" * 9999,
        b'{"a":' * 900 + b"1" + b"}" * 900,
    ],
)
def test_security_IN2_JSON_that_could_be_read_in_two_ways_is_refused(text: bytes):
    with pytest.raises(ValueError, match=r".+"):
        decode_object(text)
