"""Backend services (`smart.md` §13, security OA-9): a signed assertion in, a short token of the client's own out."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_server.oauth.client_credentials import granted_scope
from fhir_server.oauth.errors import InvalidScopes
from storage.engine import Database
from storage.repositories.entities import Client
from storage.repositories.platform import OrganizationRepository
from tests.conftest import ORGANIZATION
from tests.oauth.granting import SECRET, change_client, new_client, refused
from tests.oauth.test_token_endpoint import basic
from tests.site import Site, site

__all__ = ["site"]

KEYS = {"RS384": RSAKey.generate_key(2048, private=True), "ES384": ECKey.generate_key("P-384", private=True)}
JWKS = {"keys": [{**key.as_dict(private=False), "kid": name} for name, key in KEYS.items()]}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE = "system/Patient.rs system/Observation.cruds system/Condition.read"


@pytest.fixture(scope="module")
async def backend(database: Database) -> Client:
    return await new_client(database, type="backend", jwks=JWKS, scope=SCOPE, redirect_uris=())


def form(
    site: Site, client: Client, scope: str | None = "system/Patient.rs", algorithm: str = "RS384"
) -> dict[str, str]:
    now = int(time.time())
    claims = {
        "iss": client.id,
        "sub": client.id,
        "aud": f"{site.settings.base_url}/oauth/token",
        "jti": secrets.token_urlsafe(16),
        "exp": now + 300,
    }
    header = {"alg": algorithm, "kid": algorithm, "typ": "JWT"}
    assertion = jwt.encode(header, claims, KEYS[algorithm], algorithms=[algorithm])
    sent = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    return sent if scope is None else sent | {"scope": scope}


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_smart_B1_B2_a_backend_client_gets_a_token_for_itself(
    http: httpx.Client, site: Site, backend: Client, algorithm: str
):
    answer = http.post("/oauth/token", data=form(site, backend, algorithm=algorithm))
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert body["token_type"] == "bearer"
    assert body["expires_in"] == 300
    assert body["scope"] == "system/Patient.rs"
    claims = jwt.decode(body["access_token"], KeySet.import_key_set(site.ring.jwks()), algorithms=["RS384"]).claims
    assert (claims["sub"], claims["role"], claims["organization"]) == (backend.id, "SERVICE", ORGANIZATION)
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    assert httpx.get(f"{site.base}/Patient", headers=headers).status_code == 200
    assert httpx.get(f"{site.base}/Observation", headers=headers).status_code == 403


@pytest.mark.parametrize("scope", [None, "", " "])
def test_smart_B1_without_scope_it_is_invalid_scope(http: httpx.Client, site: Site, backend: Client, scope: str | None):
    refused(http.post("/oauth/token", data=form(site, backend, scope)), "invalid_scope")


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Patient.rs", "system/Patient.rs"),
        ("system/Patient.read", "system/Patient.read"),
        ("system/*.read", "system/Patient.rs system/Observation.rs system/Condition.rs"),
        ("system/Patient.cruds", "system/Patient.rs"),
        ("system/Patient.rs system/Procedure.rs", "system/Patient.rs"),
        ("system/Patient.rs user/Patient.rs patient/Patient.rs openid offline_access", "system/Patient.rs"),
        ("system/Patient.rs system/Nothing.rs something", "system/Patient.rs"),
    ],
)
def test_smart_B3_B4_security_OA12_what_is_granted_is_within_the_registration_and_told(asked: str, granted: str):
    assert granted_scope(asked, SCOPE + " user/*.rs openid offline_access") == granted


@pytest.mark.parametrize("asked", ["system/Procedure.rs", "user/Patient.rs", "openid", "system/Patient.c", "nonsense"])
def test_smart_B3_when_nothing_is_left_it_is_invalid_scope(asked: str):
    with pytest.raises(InvalidScopes):
        granted_scope(asked, SCOPE + " user/*.rs openid offline_access")


def test_security_OA6_scopes_that_no_token_has_room_for_are_refused():
    many = " ".join(f"system/Observation.rs?code=http://loinc.org|{10_000 + number}-7" for number in range(99))
    with pytest.raises(InvalidScopes, match="fewer"):
        granted_scope(many, "system/*.rs")


def test_smart_B3_over_http(http: httpx.Client, site: Site, backend: Client):
    refused(http.post("/oauth/token", data=form(site, backend, "system/Procedure.rs")), "invalid_scope")


async def test_smart_R1_a_shorter_life_is_the_clients_own_and_a_longer_one_is_cut(
    database: Database, http: httpx.Client, site: Site
):
    for registered, given in ((60, 60), (3600, 300)):
        client = await new_client(database, type="backend", jwks=JWKS, scope=SCOPE, access_token_ttl=registered)
        assert http.post("/oauth/token", data=form(site, client)).json()["expires_in"] == given


def test_security_OA9_an_assertion_is_good_once(http: httpx.Client, site: Site, backend: Client):
    sent = form(site, backend)
    assert http.post("/oauth/token", data=sent).status_code == 200
    refused(http.post("/oauth/token", data=sent), "invalid_client", 401)


async def test_security_OA9_of_ten_at_once_one_is_answered(site: Site, backend: Client):
    sent = form(site, backend)
    async with httpx.AsyncClient(base_url=site.settings.base_url, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/oauth/token", data=sent) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 9]


def test_smart_T8_an_unknown_grant_type_does_not_use_the_assertion_up(http: httpx.Client, site: Site, backend: Client):
    sent = form(site, backend)
    refused(http.post("/oauth/token", data=sent | {"grant_type": "not_a_grant_type"}), "unsupported_grant_type")
    assert http.post("/oauth/token", data=sent).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"client_assertion_type": "not_an_assertion_type"}, {"client_assertion": "not_a_jwt"}]
)
def test_smart_T9_a_wrong_assertion_or_type_is_401(
    http: httpx.Client, site: Site, backend: Client, changes: dict[str, str]
):
    refused(http.post("/oauth/token", data=form(site, backend) | changes), "invalid_client", 401)


async def test_smart_B1_a_client_with_a_secret_has_no_client_credentials(
    database: Database, http: httpx.Client, site: Site
):
    client = await new_client(database, site.settings, type="confidential")
    sent = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    refused(http.post("/oauth/token", data=sent, headers=basic(client.id, SECRET)), "unauthorized_client")


async def test_smart_B1_a_confidential_client_with_keys_has_none_either(
    database: Database, http: httpx.Client, site: Site
):
    client = await new_client(database, type="confidential", jwks=JWKS, scope="user/*.rs")
    refused(http.post("/oauth/token", data=form(site, client)), "unauthorized_client")


async def test_smart_R6_a_disabled_client_is_401(database: Database, http: httpx.Client, site: Site):
    client = await new_client(database, type="backend", jwks=JWKS, scope=SCOPE)
    await change_client(database, client, is_active=False)
    refused(http.post("/oauth/token", data=form(site, client)), "invalid_client", 401)


async def test_smart_R6_a_disabled_organization_has_no_clients(database: Database, http: httpx.Client, site: Site):
    client = await new_client(database, type="backend", organization_id="health-hub", jwks=JWKS, scope=SCOPE)
    async with database.platform() as connection:
        organizations = OrganizationRepository(connection)
        hub = await organizations.get("health-hub")
        await organizations.update(replace(hub, is_active=False))
    refused(http.post("/oauth/token", data=form(site, client)), "invalid_client", 401)
    async with database.platform() as connection:
        await OrganizationRepository(connection).update(hub)
    assert http.post("/oauth/token", data=form(site, client)).status_code == 200


async def test_smart_I4_a_backend_client_introspects_by_an_assertion_of_its_own(
    database: Database, http: httpx.Client, site: Site, backend: Client
):
    token = http.post("/oauth/token", data=form(site, backend)).json()["access_token"]
    sent = {name: value for name, value in form(site, backend, None).items() if name != "grant_type"}
    answer = http.post("/oauth/introspect", data=sent | {"token": token})
    assert answer.json()["active"] is True
    assert answer.json()["sub"] == backend.id
    sent = {name: value for name, value in form(site, backend, None).items() if name != "grant_type"}
    assert http.post("/oauth/revoke", data=sent | {"token": token}).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{site.base}/Patient", headers=headers).status_code == 401
