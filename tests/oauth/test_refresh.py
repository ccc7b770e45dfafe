"""Refreshing (`smart.md` §10, security OA-5): one use each, a family that dies whole, scopes that only shrink."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import httpx
import pytest

from fhir_server.oauth.refresh import narrowed
from storage.authorization.emergencies import Emergency, add_emergency, end_emergency
from storage.authorization.grants import revoke_grant
from storage.authorization.opaque import digest
from storage.authorization.refresh_tokens import find_refresh_token
from storage.authorization.sessions import end_sessions
from storage.engine import Database
from storage.repositories.entities import Client
from storage.repositories.platform import OrganizationRepository, UserOrganizationRepository, UserRepository
from storage.tables.authorization import grants, refresh_tokens, sessions
from tests.conftest import ORGANIZATION
from tests.oauth.granting import (
    SCOPE,
    SECRET,
    Granted,
    Person,
    change_client,
    find_grant,
    grant,
    new_client,
    new_id,
    new_person,
    new_session,
    refresh_form,
    refused,
)
from tests.oauth.test_token_endpoint import basic, exchange
from tests.site import Site, site

__all__ = ["site"]

DAY = 86_400


@pytest.fixture(scope="module")
async def app(database: Database) -> Client:
    return await new_client(database)


@pytest.fixture
async def person(database: Database) -> Person:
    return await new_person(database)


@pytest.fixture
async def granted(database: Database, app: Client, person: Person) -> Granted:
    return await grant(database, app, person, encounter="enc-1", context={"need_patient_banner": True})


@pytest.fixture
def first(http: httpx.Client, granted: Granted) -> str:
    """The first refresh token of a grant."""
    return str(exchange(http, granted).json()["refresh_token"])


def refresh(http: httpx.Client, client: Client, token: str, **more: str) -> httpx.Response:
    return http.post("/oauth/token", data=refresh_form(client, token, **more))


async def test_smart_F2_the_answer_repeats_scope_and_context_and_has_a_new_refresh_token(
    http: httpx.Client, app: Client, granted: Granted, first: str, site: Site
):
    answer = refresh(http, app, first)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == site.settings.access_token_ttl
    assert body["scope"] == SCOPE
    assert body["patient"] == granted.grant.patient
    assert body["encounter"] == "enc-1"
    assert body["need_patient_banner"] is True
    assert body["refresh_token"] != first
    assert "id_token" not in body
    bearer = {"Authorization": f"Bearer {body['access_token']}"}
    assert httpx.get(f"{site.base}/Patient", headers=bearer).status_code == 200


def test_smart_F7_public_apps_rotate_again_and_again(http: httpx.Client, app: Client, first: str):
    token = first
    for _ in range(4):
        answer = refresh(http, app, token)
        assert answer.status_code == 200
        token = answer.json()["refresh_token"]


async def test_smart_F4_security_OA5_a_second_use_ends_the_family(
    database: Database, http: httpx.Client, app: Client, granted: Granted, first: str, site: Site
):
    second = refresh(http, app, first).json()
    refused(refresh(http, app, first), "invalid_grant")
    refused(refresh(http, app, second["refresh_token"]), "invalid_grant")
    bearer = {"Authorization": f"Bearer {second['access_token']}"}
    assert httpx.get(f"{site.base}/Patient", headers=bearer).status_code == 401
    async with database.platform() as connection:
        found = await find_grant(connection, granted.grant.id)
    assert found is not None
    assert found.revoked_for == "refresh token reused"


async def test_smart_F4_of_twenty_at_once_one_succeeds_and_then_nothing_is_left(
    http: httpx.Client, app: Client, first: str, site: Site
):
    async with httpx.AsyncClient(base_url=site.settings.base_url, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/oauth/token", data=refresh_form(app, first)) for _ in range(20)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert all(answer.json()["error"] == "invalid_grant" for answer in answers if answer is not good[0])
    refused(refresh(http, app, good[0].json()["refresh_token"]), "invalid_grant")


@pytest.mark.parametrize(
    "scope",
    [SCOPE, "patient/*.rs", "patient/*.rs  openid", "openid openid launch/patient"],
)
async def test_smart_F3_the_scope_may_shrink_in_the_words_that_were_granted(
    http: httpx.Client, app: Client, first: str, scope: str
):
    answer = refresh(http, app, first, scope=scope)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == " ".join(dict.fromkeys(scope.split()))
    wide = refresh(http, app, answer.json()["refresh_token"])
    assert wide.json()["scope"] == SCOPE, "the grant itself stays as wide as it was"


@pytest.mark.parametrize("scope", ["patient/*.cruds", "user/*.rs", "patient/Observation.rs", SCOPE + " profile", " "])
def test_smart_F3_security_OA12_the_scope_never_grows_and_a_refusal_spends_nothing(
    http: httpx.Client, app: Client, first: str, scope: str
):
    refused(refresh(http, app, first, scope=scope), "invalid_scope")
    assert refresh(http, app, first).status_code == 200


def test_smart_F3_words_are_compared_as_they_were_granted():
    granted = "patient/Observation.read patient/Condition.rs?category=a|b offline_access"
    assert narrowed("patient/Condition.rs?category=a|b", granted) == "patient/Condition.rs?category=a|b"
    assert narrowed(None, granted) == granted


@pytest.mark.parametrize("token", ["unknown", "x" * 5000, "a.b.c"])
def test_smart_F5_an_unknown_token_is_400(http: httpx.Client, app: Client, token: str):
    refused(refresh(http, app, token), "invalid_grant")


def test_smart_F5_a_request_without_token_is_invalid(http: httpx.Client, app: Client):
    refused(refresh(http, app, ""), "invalid_request")


async def test_smart_F5_another_client_gets_nothing_and_ends_the_family(
    database: Database, http: httpx.Client, app: Client, first: str
):
    thief = await new_client(database)
    refused(refresh(http, thief, first), "invalid_grant")
    refused(refresh(http, app, first), "invalid_grant")


async def test_smart_F1_a_confidential_client_authenticates(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    client = await new_client(database, site.settings, type="confidential")
    asked = await grant(database, client, person)
    form = asked.form(client_id=None)
    token = http.post("/oauth/token", data=form, headers=basic(client.id, SECRET)).json()["refresh_token"]
    refused(refresh(http, client, token), "invalid_client", 401)
    renewal = {"grant_type": "refresh_token", "refresh_token": token}
    assert http.post("/oauth/token", data=renewal, headers=basic(client.id, SECRET)).status_code == 200


async def test_smart_F6_offline_access_lasts_ninety_days_without_use_and_a_year_in_all(
    database: Database, http: httpx.Client, app: Client, person: Person, first: str
):
    now = int(time.time())
    known = await find_refresh_token(database, digest(first))
    assert known is not None
    assert abs(known.expires_at - (now + 90 * DAY)) < 60
    old = await grant(database, app, person, created_at=now - 300 * DAY)
    late = await find_refresh_token(database, digest(exchange(http, old).json()["refresh_token"]))
    assert late is not None
    assert abs(late.expires_at - (now + 65 * DAY)) < 60


async def test_smart_F6_a_client_has_its_own_idle_time(database: Database, http: httpx.Client, person: Person):
    client = await new_client(database, refresh_token_ttl=3600)
    token = exchange(http, await grant(database, client, person)).json()["refresh_token"]
    known = await find_refresh_token(database, digest(token))
    assert known is not None
    assert known.expires_at - known.issued_at == 3600


async def test_smart_F6_an_idle_token_is_refused(database: Database, http: httpx.Client, app: Client, first: str):
    async with database.platform() as connection:
        idle = refresh_tokens.update().where(refresh_tokens.c.token == digest(first))
        await connection.execute(idle.values(expires_at=int(time.time()) - 1))
    refused(refresh(http, app, first), "invalid_grant")


ONLINE = "launch/patient online_access patient/*.rs"


async def test_smart_F6_online_access_lasts_as_long_as_the_session(
    database: Database, http: httpx.Client, app: Client, person: Person
):
    session = await new_session(database, person)
    asked = await grant(database, app, person, scope=ONLINE, session_id=session.id)
    token = exchange(http, asked).json()["refresh_token"]
    known = await find_refresh_token(database, digest(token))
    assert known is not None
    assert known.expires_at == session.expires_at
    answer = refresh(http, app, token)
    assert answer.status_code == 200
    async with database.platform() as connection:
        await end_sessions(connection, [sessions.c.id == session.id], "signed out", int(time.time()))
    refused(refresh(http, app, answer.json()["refresh_token"]), "invalid_grant")


async def test_smart_F6_online_access_ends_when_nobody_is_there_any_more(
    database: Database, http: httpx.Client, app: Client, person: Person, site: Site
):
    session = await new_session(database, person)
    asked = await grant(database, app, person, scope=ONLINE, session_id=session.id)
    token = exchange(http, asked).json()["refresh_token"]
    gone = site.settings.session_idle_seconds + site.settings.access_token_ttl
    before = int(time.time()) - gone - 1
    async with database.platform() as connection:
        await connection.execute(sessions.update().where(sessions.c.id == session.id).values(last_seen_at=before))
    answer = refresh(http, app, token)
    assert answer.status_code == 200, "the app was in use a moment ago"
    async with database.platform() as connection:
        await connection.execute(grants.update().where(grants.c.id == asked.grant.id).values(last_used_at=before))
    refused(refresh(http, app, answer.json()["refresh_token"]), "invalid_grant")


async def test_smart_F1_online_access_without_a_session_has_no_refresh_token(
    database: Database, http: httpx.Client, app: Client, person: Person
):
    asked = await grant(database, app, person, scope=ONLINE)
    assert "refresh_token" not in exchange(http, asked).json()


async def test_smart_F8_a_disabled_user_gets_nothing(
    database: Database, http: httpx.Client, app: Client, person: Person, first: str
):
    async with database.platform() as connection:
        await UserRepository(connection).update(replace(person.user, is_active=False))
    refused(refresh(http, app, first), "invalid_grant")


@pytest.mark.parametrize("changes", [{"is_active": False}, {"role": "STAFF"}], ids=["out", "another role"])
async def test_smart_F8_who_is_no_longer_in_the_role_gets_nothing(
    database: Database, http: httpx.Client, app: Client, person: Person, first: str, changes: dict[str, object]
):
    async with database.platform() as connection:
        await UserOrganizationRepository(connection).update(replace(person.membership, **changes))
    refused(refresh(http, app, first), "invalid_grant")


async def test_smart_F8_a_patient_link_that_was_removed_gives_nothing(
    database: Database, http: httpx.Client, app: Client, person: Person, first: str
):
    async with database.platform() as connection:
        await UserRepository(connection).set_patients(person.user.id, ORGANIZATION, ["another"])
    refused(refresh(http, app, first), "invalid_grant")


async def test_smart_F8_security_OA8_a_withdrawn_grant_gives_nothing(
    database: Database, http: httpx.Client, app: Client, granted: Granted, first: str
):
    async with database.platform() as connection:
        assert await revoke_grant(connection, granted.grant.id, "withdrawn", int(time.time()))
    refused(refresh(http, app, first), "invalid_grant")


async def test_smart_F8_a_disabled_client_is_401(database: Database, http: httpx.Client, person: Person):
    client = await new_client(database)
    token = exchange(http, await grant(database, client, person)).json()["refresh_token"]
    await change_client(database, client, is_active=False)
    refused(refresh(http, client, token), "invalid_client", 401)


async def test_smart_F8_a_disabled_organization_gives_nothing_until_it_is_enabled_again(
    database: Database, http: httpx.Client, app: Client
):
    elsewhere = await new_person(database, organization="health-hub")
    token = exchange(http, await grant(database, app, elsewhere)).json()["refresh_token"]
    async with database.platform() as connection:
        organizations = OrganizationRepository(connection)
        hub = await organizations.get("health-hub")
        await organizations.update(replace(hub, is_active=False))
    refused(refresh(http, app, token), "invalid_grant")
    async with database.platform() as connection:
        await OrganizationRepository(connection).update(hub)
    assert refresh(http, app, token).status_code == 200, "nothing was spent"


async def test_smart_F1_a_public_client_need_not_name_itself_and_a_confidential_one_still_authenticates(
    database: Database, http: httpx.Client, app: Client, person: Person, first: str, site: Site
):
    nameless = {"grant_type": "refresh_token", "refresh_token": first}
    answer = http.post("/oauth/token", data=nameless)
    assert answer.status_code == 200, answer.text
    refused(http.post("/oauth/token", data=nameless), "invalid_grant")
    refused(refresh(http, app, answer.json()["refresh_token"]), "invalid_grant")
    client = await new_client(database, site.settings, type="confidential")
    asked = await grant(database, client, person)
    token = http.post("/oauth/token", data=asked.form(), headers=basic(client.id, SECRET)).json()["refresh_token"]
    stolen = {"grant_type": "refresh_token", "refresh_token": token}
    refused(http.post("/oauth/token", data=stolen), "invalid_client", 401)
    refused(http.post("/oauth/token", data=stolen | {"refresh_token": "unknown"}), "invalid_client", 401)


async def emergency_of(database: Database, person: Person, seconds: int) -> str:
    now = int(time.time())
    made = Emergency(new_id("emergency"), person.user.id, ORGANIZATION, "pat-1", "Unconscious", now, now + seconds)
    async with database.platform() as connection:
        await add_emergency(connection, made)
    return made.id


async def test_security_TN7_tokens_of_emergency_access_end_with_it(
    database: Database, http: httpx.Client, app: Client, site: Site
):
    clinician = await new_person(database, "CLINICIAN")
    emergency = await emergency_of(database, clinician, 120)
    asked = await grant(database, app, clinician, role="EMERGENCY", break_glass_id=emergency)
    body = exchange(http, asked).json()
    assert 60 < body["expires_in"] <= 120 < site.settings.access_token_ttl
    known = await find_refresh_token(database, digest(body["refresh_token"]))
    assert known is not None
    assert known.expires_at <= time.time() + 120
    again = refresh(http, app, body["refresh_token"])
    assert again.status_code == 200
    async with database.platform() as connection:
        assert await end_emergency(connection, emergency, clinician.user.id, int(time.time()))
    refused(refresh(http, app, again.json()["refresh_token"]), "invalid_grant")


async def test_security_TN7_emergency_access_that_is_over_gives_no_token(
    database: Database, http: httpx.Client, app: Client
):
    clinician = await new_person(database, "CLINICIAN")
    emergency = await emergency_of(database, clinician, -1)
    refused(
        exchange(http, await grant(database, app, clinician, role="EMERGENCY", break_glass_id=emergency)),
        "invalid_grant",
    )
