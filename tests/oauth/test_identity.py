"""Identity tokens and UserInfo (smart.md O3–O8)."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, RSAKey

from fhir_server.oauth.identity import IDENTITY_SECONDS, IdentityClaims, identity_token
from fhir_server.oauth.keys import IDENTITY_ALGORITHM, KeyRing, generate_key
from fhir_server.oauth.tokens import Issuer
from storage.tables.enums import KeyState
from tests.site import Site, patient, site

__all__ = ["site"]

NOW = 1_800_000_000
USER = "2f6f0b8e-3b0c-4b2e-9f0e-5a5d0c3b1a11"
CLAIMS = IdentityClaims(USER, "an-app", nonce="n-1", authenticated_at=NOW - 5, fhir_user="Practitioner/dr-1")


@pytest.fixture(scope="module")
def service(cipher, stored_key) -> Any:
    identity = generate_key(cipher, KeyState.ACTIVE, IDENTITY_ALGORITHM)
    base = "https://host.example"
    return SimpleNamespace(
        ring=KeyRing(cipher, [stored_key, identity]),
        issuer=Issuer(base, f"{base}/fhir"),
        settings=SimpleNamespace(fhir_base=f"{base}/fhir"),
        seconds=NOW,
    )


def decoded(token: str, service: Any) -> Any:
    return jwt.decode(token, KeySet.import_key_set(service.ring.jwks()), algorithms=["RS256"])


def test_smart_O3_the_token_is_signed_rs256_by_a_key_of_the_jwks(service):
    token = decoded(identity_token(CLAIMS, service), service)
    assert (token.header["alg"], token.header["typ"]) == ("RS256", "JWT")
    assert token.header["kid"] in {key["kid"] for key in service.ring.jwks()["keys"] if key["alg"] == "RS256"}


def test_smart_O4_the_claims_are_those_of_openid_connect(service):
    claims = decoded(identity_token(CLAIMS, service), service).claims
    assert claims == {
        "iss": "https://host.example",
        "sub": USER,
        "aud": "an-app",
        "iat": NOW,
        "exp": NOW + IDENTITY_SECONDS,
        "nonce": "n-1",
        "auth_time": NOW - 5,
        "fhirUser": "https://host.example/fhir/Practitioner/dr-1",
    }


def test_smart_O4_an_openid_library_takes_them(service):
    claims = decoded(identity_token(CLAIMS, service), service).claims
    CodeIDToken(
        claims,
        {"alg": "RS256"},
        options={"iss": {"value": "https://host.example"}, "aud": {"value": "an-app"}},
        params={"nonce": "n-1", "client_id": "an-app", "max_age": 300},
    ).validate(now=NOW)


@pytest.mark.parametrize(
    ("field", "claim"), [("nonce", "nonce"), ("authenticated_at", "auth_time"), ("fhir_user", "fhirUser")]
)
def test_smart_O4_what_was_not_asked_for_is_not_said(service, field: str, claim: str):
    claims = decoded(identity_token(replace(CLAIMS, **{field: None}), service), service).claims
    assert claim not in claims


def test_security_OA7_the_key_of_access_tokens_does_not_verify_it(service, stored_key):
    public = RSAKey.import_key({name: stored_key.public_jwk[name] for name in ("kty", "n", "e")})
    with pytest.raises(BadSignatureError):
        jwt.decode(identity_token(CLAIMS, service), public, algorithms=["RS256"])


def userinfo(site: Site, token: str | None, method: str = "GET", **more: Any) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{site.settings.base_url}/oauth/userinfo", headers=headers, **more)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_smart_O8_userinfo_tells_subject_and_fhir_user(site: Site, method: str):
    token = site.token("openid fhirUser user/Patient.rs", role="CLINICIAN", fhir_user=f"{site.base}/Practitioner/dr-1")
    answer = userinfo(site, token, method)
    assert answer.status_code == 200
    assert answer.json() == {"sub": "tester", "fhirUser": f"{site.base}/Practitioner/dr-1"}
    assert answer.headers["cache-control"] == "no-store"


def test_smart_O7_without_the_scope_fhir_user_is_not_told(site: Site):
    token = site.token("openid user/Patient.rs", role="CLINICIAN", fhir_user=f"{site.base}/Practitioner/dr-1")
    assert userinfo(site, token).json() == {"sub": "tester"}


@pytest.mark.parametrize(
    ("scope", "role"), [("fhirUser user/*.rs", "CLINICIAN"), ("system/*.rs", "SERVICE")], ids=["no openid", "backend"]
)
def test_smart_O8_userinfo_needs_the_scope_openid(site: Site, scope: str, role: str):
    answer = userinfo(site, site.token(scope, role=role))
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    assert 'error="insufficient_scope", scope="openid"' in answer.headers["www-authenticate"]


def test_smart_O8_userinfo_without_a_token_is_challenged_without_an_error(site: Site):
    answer = userinfo(site, None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="fhir"'


def test_smart_O8_userinfo_refuses_what_is_no_token(site: Site):
    answer = userinfo(site, "nothing.at.all")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("place", ["query", "form"])
def test_security_OA11_userinfo_takes_tokens_from_the_header_only(site: Site, place: str):
    token = site.token("openid", role="CLINICIAN")
    more = {"params": {"access_token": token}} if place == "query" else {"data": {"access_token": token}}
    assert userinfo(site, None, "POST", **more).status_code == 401


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_userinfo_is_only_read(site: Site, method: str):
    assert userinfo(site, site.token("openid", role="CLINICIAN"), method).status_code == 405


@pytest.mark.parametrize(
    ("resource_type", "role"),
    [("Patient", "PATIENT"), ("Practitioner", "CLINICIAN"), ("RelatedPerson", "PATIENT"), ("Person", "STAFF")],
)
def test_smart_O5_the_fhir_user_is_readable_without_a_scope_for_its_type(site: Site, resource_type: str, role: str):
    owner = site.client()
    resource: dict[str, Any] = {"resourceType": resource_type, "name": [{"family": "User"}]}
    if resource_type == "Patient":
        resource = patient("User")
    if resource_type == "RelatedPerson":
        of = owner.post("/Patient", json=patient()).json()["id"]
        resource["patient"] = {"reference": f"Patient/{of}"}
    made = owner.post(f"/{resource_type}", json=resource)
    assert made.status_code == 201, made.text
    me = f"{resource_type}/{made.json()['id']}"
    token = site.token("openid fhirUser", role=role, fhir_user=f"{site.base}/{me}")
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{site.base}/{me}", headers=bearer).status_code == 200
    assert httpx.get(f"{site.base}/{me}/_history/1", headers=bearer).status_code in {403, 404}
    assert httpx.get(f"{site.base}/{resource_type}", headers=bearer).status_code == 403
    another = owner.post(f"/{resource_type}", json=resource).json()["id"]
    assert httpx.get(f"{site.base}/{resource_type}/{another}", headers=bearer).status_code == 403


def test_smart_O5_a_relative_fhir_user_means_the_same(site: Site):
    made = site.client().post("/Practitioner", json={"resourceType": "Practitioner", "name": [{"family": "One"}]})
    me = f"Practitioner/{made.json()['id']}"
    token = site.token("openid fhirUser", role="CLINICIAN", fhir_user=me)
    assert httpx.get(f"{site.base}/{me}", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert userinfo(site, token).json()["fhirUser"] == f"{site.base}/{me}"


def test_identity_tokens_of_a_running_server_are_of_now(site: Site):
    """The site's ring signs as a worker's does; a library reads the JWKS over HTTP."""
    keys = KeySet.import_key_set(httpx.get(f"{site.settings.base_url}/oauth/jwks").json())
    issuer = Issuer(site.settings.base_url, site.base)
    parts = SimpleNamespace(ring=site.ring, issuer=issuer, settings=site.settings, seconds=int(time.time()))
    token = jwt.decode(identity_token(CLAIMS, parts), keys, algorithms=["RS256"])
    assert token.claims["exp"] > time.time()
