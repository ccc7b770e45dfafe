"""Introspection (RFC 7662, `smart.md` I1 to I5): who is told what of which token."""

from __future__ import annotations

import time

import httpx
import pytest

from storage.authorization.grants import revoke_grant
from storage.engine import Database
from storage.repositories.entities import Client
from tests.oauth.granting import SECRET, Granted, Person, change_client, grant, new_client, new_person, refused
from tests.oauth.test_token_endpoint import basic, exchange
from tests.site import Site, site

__all__ = ["site"]

INACTIVE = {"active": False}


@pytest.fixture(scope="module")
async def portal(database: Database, site: Site) -> Client:
    return await new_client(database, site.settings, type="confidential")


@pytest.fixture(scope="module")
async def gateway(database: Database, site: Site) -> Client:
    return await new_client(database, site.settings, type="confidential", may_introspect=True)


@pytest.fixture
async def granted(database: Database, portal: Client, person: Person) -> Granted:
    context = {"intent": "summary", "need_patient_banner": True}
    return await grant(database, portal, person, encounter="enc-1", context=context)


@pytest.fixture
def tokens(http: httpx.Client, granted: Granted) -> dict[str, str]:
    answer = http.post("/oauth/token", data=granted.form(), headers=basic(granted.grant.client_id, SECRET))
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def ask(http: httpx.Client, token: str, headers: dict[str, str], **more: str) -> httpx.Response:
    return http.post("/oauth/introspect", data={"token": token, **more}, headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_smart_I1_I2_a_client_learns_of_its_own_access_token(
    http: httpx.Client, site: Site, granted: Granted, tokens: dict[str, str]
):
    answer = ask(http, tokens["access_token"], basic(granted.grant.client_id, SECRET), token_type_hint="access_token")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    issued, expires = body.pop("iat"), body.pop("exp")
    assert expires - issued == site.settings.access_token_ttl
    assert body == {
        "active": True,
        "token_type": "Bearer",
        "scope": tokens["scope"],
        "client_id": granted.grant.client_id,
        "sub": granted.grant.user_id,
        "iss": site.settings.base_url,
        "aud": site.base,
        "fhirUser": f"{site.base}/{granted.grant.fhir_user}",
        "patient": granted.grant.patient,
        "encounter": "enc-1",
        "intent": "summary",
        "need_patient_banner": True,
    }


@pytest.mark.parametrize("token", ["unknown", "a.b.c", "x y", "é", "x" * 9000])
def test_smart_I3_what_is_no_token_is_inactive_and_nothing_else(http: httpx.Client, portal: Client, token: str):
    answer = ask(http, token, basic(portal.id, SECRET))
    assert answer.status_code == 200
    assert answer.json() == INACTIVE


async def test_smart_I3_another_clients_token_is_inactive(
    database: Database, http: httpx.Client, site: Site, tokens: dict[str, str]
):
    other = await new_client(database, site.settings, type="confidential")
    assert ask(http, tokens["access_token"], basic(other.id, SECRET)).json() == INACTIVE
    assert ask(http, tokens["refresh_token"], basic(other.id, SECRET)).json() == INACTIVE


async def test_smart_I3_a_revoked_token_is_inactive_at_once(
    database: Database, http: httpx.Client, portal: Client, granted: Granted, tokens: dict[str, str]
):
    async with database.platform() as connection:
        await revoke_grant(connection, granted.grant.id, "withdrawn", int(time.time()))
    assert ask(http, tokens["access_token"], basic(portal.id, SECRET)).json() == INACTIVE
    assert ask(http, tokens["refresh_token"], basic(portal.id, SECRET)).json() == INACTIVE


def test_smart_I4_a_token_may_ask_for_itself(http: httpx.Client, tokens: dict[str, str]):
    assert ask(http, tokens["access_token"], bearer(tokens["access_token"])).json()["active"] is True


async def test_smart_I4_a_bearer_is_not_told_of_other_tokens(
    database: Database, http: httpx.Client, portal: Client, person: Person, tokens: dict[str, str]
):
    another = await grant(database, portal, person)
    other = http.post("/oauth/token", data=another.form(), headers=basic(portal.id, SECRET)).json()
    assert ask(http, tokens["access_token"], bearer(other["access_token"])).json() == INACTIVE
    assert ask(http, tokens["refresh_token"], bearer(tokens["access_token"])).json() == INACTIVE


async def test_smart_I4_a_client_that_may_introspect_is_told_of_every_access_token_of_its_organization(
    database: Database, http: httpx.Client, gateway: Client, person: Person, tokens: dict[str, str]
):
    assert ask(http, tokens["access_token"], basic(gateway.id, SECRET)).json()["active"] is True
    own = await grant(database, gateway, person)
    held = http.post("/oauth/token", data=own.form(), headers=basic(gateway.id, SECRET)).json()["access_token"]
    assert ask(http, tokens["access_token"], bearer(held)).json()["active"] is True
    app = await new_client(database)
    elsewhere = await grant(database, app, await new_person(database, organization="health-hub"))
    foreign = exchange(http, elsewhere).json()["access_token"]
    assert ask(http, foreign, basic(gateway.id, SECRET)).json() == INACTIVE
    assert ask(http, foreign, bearer(held)).json() == INACTIVE


async def test_security_OA14_the_right_to_introspect_ends_when_it_is_withdrawn(
    database: Database, http: httpx.Client, site: Site, person: Person, tokens: dict[str, str]
):
    client = await new_client(database, site.settings, type="confidential", may_introspect=True)
    own = await grant(database, client, person)
    held = http.post("/oauth/token", data=own.form(), headers=basic(client.id, SECRET)).json()["access_token"]
    await change_client(database, client, may_introspect=False)
    assert ask(http, tokens["access_token"], bearer(held)).json() == INACTIVE


def test_smart_I4_without_authentication_it_is_401(http: httpx.Client, tokens: dict[str, str]):
    refused(ask(http, tokens["access_token"], {}), "invalid_client", 401)
    refused(ask(http, tokens["access_token"], bearer("wrong")), "invalid_token", 401)
    refused(ask(http, tokens["access_token"], bearer(tokens["refresh_token"])), "invalid_token", 401)


async def test_smart_I4_a_public_client_by_its_name_alone_is_401(
    database: Database, http: httpx.Client, person: Person
):
    app = await new_client(database)
    token = exchange(http, await grant(database, app, person)).json()["access_token"]
    refused(ask(http, token, {}, client_id=app.id), "invalid_client", 401)


def test_smart_I5_a_refresh_token_is_told_of_to_its_own_client_only(
    http: httpx.Client, portal: Client, gateway: Client, granted: Granted, tokens: dict[str, str]
):
    own = ask(http, tokens["refresh_token"], basic(portal.id, SECRET), token_type_hint="refresh_token").json()
    assert own["active"] is True
    assert own["client_id"] == portal.id
    assert own["patient"] == granted.grant.patient
    assert own["exp"] > own["iat"]
    assert ask(http, tokens["refresh_token"], basic(gateway.id, SECRET)).json() == INACTIVE


def test_smart_I3_a_rotated_refresh_token_is_inactive(http: httpx.Client, portal: Client, tokens: dict[str, str]):
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert http.post("/oauth/token", data=form, headers=basic(portal.id, SECRET)).status_code == 200
    assert ask(http, tokens["refresh_token"], basic(portal.id, SECRET)).json() == INACTIVE


def test_smart_I1_a_request_without_token_is_invalid(http: httpx.Client, portal: Client):
    refused(http.post("/oauth/introspect", data={}, headers=basic(portal.id, SECRET)), "invalid_request")


def test_smart_I1_the_token_comes_in_the_body(http: httpx.Client, portal: Client, tokens: dict[str, str]):
    address = f"/oauth/introspect?token={tokens['access_token']}"
    refused(http.post(address, data={"token": "x"}, headers=basic(portal.id, SECRET)), "invalid_request")
    assert http.get("/oauth/introspect").status_code == 405
