"""What hostile bearers get at the FHIR interface (smart.md §16; security OA-6, OA-7): 401, and nothing else.

`tests/oauth/test_tokens.py` looks at the verification by itself; here every token travels over HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from fhir_server.oauth.identity import IdentityClaims, identity_token
from fhir_server.oauth.keys import header_of
from fhir_server.oauth.tokens import Issuer
from fhir_server.pages.browser import cookie_name
from storage.authorization.opaque import new_opaque
from tests.conftest import ORGANIZATION
from tests.site import Site, site

__all__ = ["site"]

Attack = Callable[[Site], str]


def claims_of(site: Site, **changes: Any) -> dict[str, Any]:
    """Return claims that would be taken, with changes; None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": site.settings.base_url,
        "aud": site.base,
        "sub": "tester",
        "client_id": "tests",
        "scope": "system/*.cruds",
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 600,
        "organization": ORGANIZATION,
        "role": "SERVICE",
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(site: Site, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Sign with the server's own key: only the header or the claims are not as the server makes them."""
    kid, key = site.ring.signing_key()
    own = header_of(kid) | (header or {})
    own = {name: value for name, value in own.items() if value is not None}
    text = f"{segment(own)}.{segment(claims_of(site, **changes))}"
    filling, digest = SIGNING[own["alg"]]
    return f"{text}.{segment(key.private_key.sign(text.encode(), filling, digest))}"


SIGNING: Final[dict[str, tuple[Any, Any]]] = {
    "RS256": (padding.PKCS1v15(), hashes.SHA256()),
    "RS384": (padding.PKCS1v15(), hashes.SHA384()),
    "PS384": (padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()),
}


@cache
def attackers_key() -> RSAKey:
    return RSAKey.generate_key(2048)


def unsigned(site: Site, algorithm: str) -> str:
    kid = site.ring.signing_key()[0]
    return f"{segment({'typ': 'at+jwt', 'alg': algorithm, 'kid': kid})}.{segment(claims_of(site))}."


def public_part(site: Site) -> RSAKey:
    public = next(key for key in site.ring.jwks()["keys"] if key["kid"] == site.ring.signing_key()[0])
    return RSAKey.import_key({name: public[name] for name in ("kty", "n", "e")})


def hmac_with_public_key(site: Site, algorithm: str, form: str) -> str:
    """The confusion of algorithms: the public key, which everybody has, as the secret of an HMAC."""
    key = public_part(site)
    secret = key.as_pem(private=False) if form == "pem" else key.as_der(private=False)
    header = {"typ": "at+jwt", "alg": algorithm, "kid": site.ring.signing_key()[0]}
    text = f"{segment(header)}.{segment(claims_of(site))}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), getattr(hashlib, 'sha' + algorithm[2:])))}"


def by_another_key(site: Site, kid: str, **header: Any) -> str:
    """Signed by a key of the attacker's own, under a kid of choice."""
    key = attackers_key()
    return jwt.encode(
        {"typ": "at+jwt", "alg": "RS384", "kid": kid} | header, claims_of(site), key, algorithms=["RS384"]
    )


def with_key_in_header(site: Site) -> str:
    key = attackers_key()
    header = {"typ": "at+jwt", "alg": "RS384", "kid": site.ring.signing_key()[0], "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims_of(site), key, algorithms=["RS384"])


def encrypted(site: Site) -> str:
    return jwe.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A128GCM", "cty": "JWT"}, site.token().encode(), public_part(site)
    )


def es384(site: Site) -> str:
    header = {"typ": "at+jwt", "alg": "ES384", "kid": site.ring.signing_key()[0]}
    return jwt.encode(header, claims_of(site), ECKey.generate_key("P-384"), algorithms=["ES384"])


def altered(site: Site) -> str:
    """The scope of a good token, widened after it was signed."""
    header, _, signature = site.token("system/Patient.r").split(".")
    return f"{header}.{segment(claims_of(site, scope='system/*.cruds'))}.{signature}"


def own_kid(site: Site) -> str:
    return site.ring.signing_key()[0]


NOW: Final = time.time

ATTACKS: Final[dict[str, Attack]] = {
    "alg none": lambda site: unsigned(site, "none"),
    "alg None": lambda site: unsigned(site, "None"),
    "alg NONE with a signature": lambda site: unsigned(site, "NONE") + "AAAA",
    "no signature": lambda site: site.token().rpartition(".")[0] + ".",
    "HS256 with the public key in PEM": lambda site: hmac_with_public_key(site, "HS256", "pem"),
    "HS256 with the public key in DER": lambda site: hmac_with_public_key(site, "HS256", "der"),
    "HS384 with the public key in PEM": lambda site: hmac_with_public_key(site, "HS384", "pem"),
    "HS256 with a guessed key": lambda site: jwt.encode(
        {"alg": "HS256", "kid": own_kid(site)}, claims_of(site), OctKey.import_key(b"0" * 32), algorithms=["HS256"]
    ),
    "RS256 by our own key": lambda site: signed(site, {"alg": "RS256"}),
    "PS384 by our own key": lambda site: signed(site, {"alg": "PS384"}),
    "ES384": es384,
    "a key of another installation under our kid": lambda site: by_another_key(site, own_kid(site)),
    "an unknown kid": lambda site: by_another_key(site, "unknown"),
    "kid as a path": lambda site: by_another_key(site, "../../../../dev/null"),
    "kid as SQL": lambda site: by_another_key(site, "' OR '1'='1"),
    "kid as an address": lambda site: by_another_key(site, "https://evil.example/jwks"),
    "kid empty": lambda site: by_another_key(site, ""),
    "kid missing": lambda site: signed(site, {"kid": None}),
    "kid twice": lambda site: f"{segment(_twice(site))}.{segment(claims_of(site))}.AAAA",
    "jwk in the header": with_key_in_header,
    "jku": lambda site: by_another_key(site, own_kid(site), jku="https://evil.example/jwks"),
    "x5u": lambda site: by_another_key(site, own_kid(site), x5u="https://evil.example/cert"),
    "x5c": lambda site: by_another_key(site, own_kid(site), x5c=["MIIB"]),
    "jku though we signed it": lambda site: signed(site, {"jku": "https://evil.example/jwks"}),
    "an unknown crit": lambda site: signed(site, {"crit": ["exp"], "exp": 1}),
    "b64 false": lambda site: signed(site, {"b64": True}),
    "typ JWT": lambda site: signed(site, {"typ": "JWT"}),
    "typ missing": lambda site: signed(site, {"typ": None}),
    "encrypted": encrypted,
    "nested": lambda site: signed(site, {"cty": "JWT"}),
    "larger than 8 KiB": lambda site: signed(site, pad="x" * 8192),
    "larger than headers may be": lambda site: signed(site, pad="x" * 40_000),
    "many dots": lambda site: site.token() + ".a.b.c",
    "four parts": lambda site: "." + site.token(),
    "two parts": lambda site: site.token().rpartition(".")[0],
    "padding": lambda site: site.token() + "==",
    "a changed scope": altered,
    "no exp": lambda site: signed(site, exp=None),
    "exp over": lambda site: signed(site, iat=int(NOW()) - 700, exp=int(NOW()) - 1),
    "exp over by a second is no matter of clocks": lambda site: signed(site, iat=int(NOW()) - 61, exp=int(NOW()) - 1),
    "exp far ahead": lambda site: signed(site, exp=int(NOW()) + 10 * 365 * 86400),
    "exp a little more than an hour after iat": lambda site: signed(site, iat=int(NOW()), exp=int(NOW()) + 3601),
    "exp without end": lambda site: signed(site, exp=10**30),
    "exp as text": lambda site: signed(site, exp=str(int(NOW()) + 600)),
    "exp as a fraction": lambda site: signed(site, exp=NOW() + 600),
    "exp true": lambda site: signed(site, exp=True),
    "iat missing": lambda site: signed(site, iat=None),
    "iat more than a minute ahead": lambda site: signed(site, iat=int(NOW()) + 61),
    "another aud": lambda site: signed(site, aud="https://other.example/fhir"),
    "aud with a slash": lambda site: signed(site, aud=site.base + "/"),
    "aud of the server instead of FHIR": lambda site: signed(site, aud=site.settings.base_url),
    "aud as a list": lambda site: signed(site, aud=[site.base, "https://other.example"]),
    "no aud": lambda site: signed(site, aud=None),
    "another iss": lambda site: signed(site, iss="https://other.example"),
    "no iss": lambda site: signed(site, iss=None),
    "no sub": lambda site: signed(site, sub=None),
    "no jti": lambda site: signed(site, jti=None),
    "no scope": lambda site: signed(site, scope=None),
    "scope as a list": lambda site: signed(site, scope=["system/*.cruds"]),
    "no client": lambda site: signed(site, client_id=None),
    "no organization": lambda site: signed(site, organization=None),
    "organization as an object": lambda site: signed(site, organization={"id": ORGANIZATION}),
}


def _twice(site: Site) -> bytes:
    kid = own_kid(site)
    return f'{{"typ":"at+jwt","alg":"RS384","kid":"{kid}","kid":"other"}}'.encode()


def bear(site: Site, token: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{site.base}/Patient", headers={"Authorization": f"Bearer {token}", **headers})


def test_the_forgery_would_be_taken_if_nothing_were_wrong_with_it(site: Site):
    assert bear(site, signed(site)).status_code == 200


@pytest.mark.parametrize("attack", ATTACKS)
def test_security_OA6_a_forged_access_token_is_refused_like_any_other(site: Site, attack: str):
    answer = bear(site, ATTACKS[attack](site))
    if attack == "larger than headers may be":
        assert answer.status_code in {400, 401, 431}
        return
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer realm="fhir", error="invalid_token"')
    same = bear(site, "nothing", **{"X-Request-Id": "one"}).json()
    if "over" not in attack:  # that a life is over is told: apps refresh then
        assert answer.json()["issue"][0]["diagnostics"] == same["issue"][0]["diagnostics"]


@pytest.mark.parametrize("skew", [-30, 30])
def test_smart_16_clocks_may_differ_by_half_a_minute_when_a_token_begins(site: Site, skew: int):
    assert bear(site, signed(site, iat=int(NOW()) + skew - 1)).status_code == 200


def identity(site: Site) -> str:
    issuer = Issuer(site.settings.base_url, site.base)
    parts: Any = SimpleNamespace(ring=site.ring, issuer=issuer, settings=site.settings, seconds=int(NOW()))
    return identity_token(IdentityClaims("tester", "tests", fhir_user="Patient/1"), parts)


def identity_with_our_claims(site: Site) -> str:
    """The key of identity tokens made to sign the claims of an access token."""
    kid, key = site.ring.identity_key()
    return jwt.encode({"typ": "at+jwt", "alg": "RS256", "kid": kid}, claims_of(site), key, algorithms=["RS256"])


def assertion(site: Site) -> str:
    """A client assertion, as private_key_jwt has it."""
    key = attackers_key()
    claims = {"iss": "tests", "sub": "tests", "aud": site.base, "exp": int(NOW()) + 200, "jti": "1"}
    return jwt.encode({"typ": "JWT", "alg": "RS384", "kid": "client-key"}, claims, key, algorithms=["RS384"])


@pytest.mark.parametrize(
    "make",
    [identity, identity_with_our_claims, assertion, lambda _: new_opaque()],
    ids=["identity token", "identity key", "client assertion", "code, refresh token, cookie or launch id"],
)
def test_security_OA7_no_other_token_is_an_access_token(site: Site, make: Attack):
    answer = bear(site, make(site))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_security_OA7_a_session_cookie_opens_nothing(site: Site):
    cookie = {"Cookie": f"{cookie_name(site.settings)}={new_opaque()}"}
    answer = httpx.get(f"{site.base}/Patient", headers=cookie)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="fhir"')


@pytest.mark.parametrize("path", ["/oauth/userinfo"])
@pytest.mark.parametrize("attack", ["alg none", "HS256 with the public key in PEM", "no exp", "another aud", "nested"])
def test_security_OA6_forged_tokens_are_refused_at_the_other_endpoints_too(site: Site, path: str, attack: str):
    answer = httpx.get(site.settings.base_url + path, headers={"Authorization": f"Bearer {ATTACKS[attack](site)}"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
