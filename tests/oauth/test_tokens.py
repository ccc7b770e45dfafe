"""Access tokens (RFC 9068, security OA-6, OA-7)."""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.errors import Unauthenticated
from fhir_server.oauth.keys import KeyRing, header_of
from fhir_server.oauth.scopes import LONGEST_GRANT
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue, verify

NOW = 1_800_000_000
REQUEST = TokenRequest("user-1", "an-app", "loop-health", "CLINICIAN", "user/*.rs", 900, "p1", "Practitioner/dr-1")


@pytest.fixture
def token(ring: KeyRing, issuer: Issuer) -> str:
    return issue(REQUEST, issuer, ring, NOW)


def refused(token: str | bytes, issuer: Issuer, ring: KeyRing, now: int = NOW) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        verify(token if isinstance(token, bytes) else token.encode(), issuer, ring, now)
    assert caught.value.error == "invalid_token"
    return caught.value


def forged(ring: KeyRing, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with our own key whose header or claims are not as we make them."""
    kid, key = ring.signing_key()
    claims = {
        "iss": "https://host.example", "aud": "https://host.example/fhir", "sub": "user-1", "client_id": "an-app",
        "scope": "user/*.rs", "jti": "j", "iat": NOW, "exp": NOW + 900, "organization": "loop-health",
        "role": "CLINICIAN",
    }  # fmt: skip
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(header_of(kid) | (header or {}), claims, key, algorithms=["RS384", "RS256"])


def test_what_was_issued_is_verified(token: str, ring: KeyRing, issuer: Issuer):
    caller = verify(token.encode(), issuer, ring, NOW)
    assert (caller.subject, caller.client_id, caller.organization_id) == ("user-1", "an-app", "loop-health")
    assert (caller.role, caller.scope, caller.patient) == ("CLINICIAN", "user/*.rs", "p1")
    assert (caller.fhir_user, caller.issued_at, caller.expires_at) == ("Practitioner/dr-1", NOW, NOW + 900)


def test_the_header_says_access_token_and_names_the_key(token: str, ring: KeyRing):
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"typ": "at+jwt", "alg": "RS384", "kid": ring.signing_key()[0]}


def test_no_two_tokens_are_alike():
    assert (
        TokenRequest("u", "c", "o", "STAFF", "s", 1).token_id != TokenRequest("u", "c", "o", "STAFF", "s", 1).token_id
    )


def test_a_token_forged_like_ours_would_be_taken(ring: KeyRing, issuer: Issuer):
    assert verify(forged(ring).encode(), issuer, ring, NOW).subject == "user-1"


@pytest.mark.parametrize("lifetime", [0, -1, 3601])
def test_a_token_lives_an_hour_at_most(ring: KeyRing, issuer: Issuer, lifetime: int):
    with pytest.raises(ValueError, match="3600"):
        issue(replace(REQUEST, lifetime=lifetime), issuer, ring, NOW)


def test_an_expired_token_is_refused_from_its_last_second_on(token: str, ring: KeyRing, issuer: Issuer):
    assert verify(token.encode(), issuer, ring, NOW + 899)
    assert refused(token, issuer, ring, NOW + 900).expired


@pytest.mark.parametrize(
    "claim", ["iss", "aud", "sub", "client_id", "scope", "jti", "iat", "exp", "organization", "role"]
)
def test_security_OA6_every_required_claim_is_required(ring: KeyRing, issuer: Issuer, claim: str):
    refused(forged(ring, **{claim: None}), issuer, ring)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("iss", "https://other.example"), ("aud", "https://other.example/fhir"), ("aud", ["https://host.example/fhir"]),
        ("sub", 7), ("sub", ""), ("scope", ["user/*.rs"]), ("client_id", ""), ("jti", {}), ("exp", str(NOW + 900)),
        ("exp", NOW + 900.5), ("exp", True), ("iat", NOW + 31), ("iat", "now"), ("organization", 1), ("patient", 5),
        ("fhirUser", []), ("role", ""),
    ],
)  # fmt: skip
def test_security_OA6_claims_of_another_type_or_party_are_refused(
    ring: KeyRing, issuer: Issuer, claim: str, value: Any
):
    refused(forged(ring, **{claim: value}), issuer, ring)


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"}, {"typ": "id_token"}, {"alg": "RS256"}, {"kid": "another"}, {"kid": "../../etc/passwd"},
        {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/x"}, {"x5c": ["MII="]}, {"cty": "JWT"},
        {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    ],
)  # fmt: skip
def test_security_OA6_any_other_header_is_refused_even_when_we_signed_it(ring: KeyRing, issuer: Issuer, header):
    refused(forged(ring, header), issuer, ring)


def segment(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"alg": "none"}, {"alg": "HS256"}]
)
def test_security_OA6_critical_headers_and_other_algorithms_are_refused(token: str, ring, issuer, extra):
    _, payload, signature = token.split(".")
    refused(f"{segment(header_of(ring.signing_key()[0]) | extra)}.{payload}.{signature}", issuer, ring)


def test_security_OA6_an_unsigned_token_is_refused(token: str, ring: KeyRing, issuer: Issuer):
    header, payload, _ = token.split(".")
    refused(f"{segment({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.", issuer, ring)
    refused(f"{header}.{payload}.", issuer, ring)


def test_security_OA6_hs256_with_our_public_key_as_secret_is_refused(ring: KeyRing, issuer: Issuer, stored_key):
    public_pem = RSAKey.import_key(dict(stored_key.public_jwk)).as_pem(private=False)
    kid = ring.signing_key()[0]
    signed = f"{segment(header_of(kid) | {'alg': 'HS256'})}.{segment({'sub': 'x'})}"
    tag = base64.urlsafe_b64encode(hmac.digest(public_pem, signed.encode(), "sha256")).rstrip(b"=").decode()
    refused(f"{signed}.{tag}", issuer, ring)


def test_security_OA6_another_installations_token_is_refused(token: str, issuer: Issuer, cipher, ring: KeyRing):
    foreign = RSAKey.generate_key(2048)
    kid = ring.signing_key()[0]
    refused(jwt.encode(header_of(kid), {"sub": "x"}, foreign, algorithms=["RS384"]), issuer, ring)
    refused(
        jwt.encode({"alg": "ES384", "kid": kid}, {}, ECKey.generate_key("P-384"), algorithms=["ES384"]), issuer, ring
    )


def test_security_OA6_an_encrypted_token_is_refused(ring: KeyRing, issuer: Issuer, stored_key):
    public = RSAKey.import_key({name: stored_key.public_jwk[name] for name in ("kty", "n", "e")})
    refused(jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A256GCM"}, b"{}", public), issuer, ring)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_altered_token_is_refused(token: str, ring: KeyRing, issuer: Issuer, place: int):
    parts = token.split(".")
    parts[place] = ("A" if parts[place][0] != "A" else "B") + parts[place][1:]
    refused(".".join(parts), issuer, ring)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\x00.\x00.\x00", "x" * 9000, "a." * 4096]
)
def test_what_is_no_token_is_refused(text: str, ring: KeyRing, issuer: Issuer):
    refused(text, issuer, ring)


def test_security_OA6_a_token_of_more_than_8_kib_is_refused(ring: KeyRing, issuer: Issuer):
    refused(forged(ring, padding="x" * 9000), issuer, ring)


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b"{", b"\xff", b'{"exp":1e999}'])
def test_a_payload_that_is_no_claims_set_is_refused(ring: KeyRing, issuer: Issuer, payload: bytes):
    from joserfc import jws

    kid, key = ring.signing_key()
    refused(jws.serialize_compact(header_of(kid), payload, key, algorithms=["RS384"]), issuer, ring)


def test_the_fhir_user_may_be_absolute_under_our_base(ring: KeyRing, issuer: Issuer):
    token = forged(ring, fhirUser="https://host.example/fhir/Practitioner/dr-1")
    assert verify(token.encode(), issuer, ring, NOW).fhir_user == "Practitioner/dr-1"


def test_security_OA6_the_longest_scope_fits_into_a_token_that_is_taken(ring):
    longest = "x" * 64
    issuer = Issuer(f"https://{'h' * 120}.example", f"https://{'h' * 120}.example/fhir")
    request = TokenRequest(
        subject=longest,
        client_id=longest,
        organization_id=longest,
        role="ORG_ADMIN",
        scope="s" * LONGEST_GRANT,
        lifetime=900,
        patient=longest,
        fhir_user=f"PractitionerRole/{longest}",
        grant_id=longest,
        break_glass_id=longest,
        is_partner=True,
    )
    token = issue(request, issuer, ring, NOW).encode()
    assert verify(token, issuer, ring, NOW).scope == request.scope
