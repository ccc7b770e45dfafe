"""Sessions: how long they last, what ends them, and what ends with them (security AU-5, `smart.md` V3, §15)."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest

from fhir_server.pages.browser import cookie_name
from storage.authorization.grants import Grant, add_grant
from storage.authorization.sessions import (
    Session,
    add_session,
    end_grants_of,
    end_session,
    end_sessions_of,
    find_sessions,
    renew_browser,
    see_session,
    session_of,
    sign_in_again,
    try_second_factor,
)
from storage.engine import Database
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.tables.authorization import sessions
from tests.conftest import ORGANIZATION
from tests.oauth.granting import find_grant
from tests.pages.people import add_user, in_database, run_sql, sign_in, trail
from tests.site import Site

NOW = 1_800_000_000
IDLE = 900


def test_security_AU5_a_session_ends_when_nothing_is_done(site: Site, browser):
    user = add_user(site.settings.database_url)
    sign_in(site, user, browser)
    run_sql(site, "UPDATE sessions SET last_seen_at = last_seen_at - 800 WHERE user_id = :id", id=user.id)
    assert browser.get("/account").path == "/account"
    run_sql(site, "UPDATE sessions SET last_seen_at = last_seen_at - 900 WHERE user_id = :id", id=user.id)
    page = browser.get("/account/apps")
    assert page.path == "/sign-in"
    assert page.forms[0].named("next")[0].value == "/account/apps"


def test_security_AU5_a_session_ends_after_twelve_hours_whatever_is_done(site: Site, browser):
    user = add_user(site.settings.database_url)
    sign_in(site, user, browser)
    ((begun, until),) = run_sql(
        site, "SELECT authenticated_at, expires_at FROM sessions WHERE user_id = :id", id=user.id
    )
    assert until - begun == 12 * 3600
    run_sql(site, "UPDATE sessions SET expires_at = :now WHERE user_id = :id", id=user.id, now=int(time.time()))
    assert browser.get("/account").path == "/sign-in"


def test_smart_15_after_signing_out_the_session_is_gone_and_back_shows_nothing(site: Site, browser):
    user = add_user(site.settings.database_url)
    _, account = sign_in(site, user, browser)
    assert account.response.headers["Cache-Control"] == "no-store"
    kept = browser.client.cookies[cookie_name(site.settings)]
    page = browser.press(account, "Sign out")
    assert page.heading == "You are signed out"
    assert browser.get("/account").path == "/sign-in"
    browser.client.cookies.clear()
    browser.client.cookies.set(cookie_name(site.settings), kept)
    assert browser.get("/account").path == "/sign-in", "the old cookie is worth nothing"
    assert ("session", "sign-out", "allowed") in trail(site, user.id)


@pytest.mark.parametrize("origin", [None, "https://evil.example"])
def test_smart_16_csrf_nobody_is_signed_out_from_elsewhere(site: Site, browser, origin: str | None):
    sign_in(site, add_user(site.settings.database_url), browser)
    token = browser.get("/sign-out").forms[0].named("csrf")[0].value
    if origin is None:
        assert browser.post("/sign-out", {"csrf": "0" * 64}).status_code == 403
    else:
        assert browser.post("/sign-out", {"csrf": token}, Origin=origin).status_code == 403
    assert browser.get("/sign-out").heading == "Sign out?", "asking is no doing"
    assert browser.get("/account").path == "/account"


@pytest.mark.parametrize("change", ["users SET is_active = false", "sessions SET ended_at = 1"])
def test_security_AU5_who_is_disabled_is_signed_in_no_more(site: Site, browser, change: str):
    user = add_user(site.settings.database_url)
    sign_in(site, user, browser)
    key = "user_id" if change.startswith("sessions") else "id"
    run_sql(site, f"UPDATE {change} WHERE {key} = :id", id=user.id)
    assert browser.get("/account").path == "/sign-in"


def test_a_cookie_that_we_did_not_make_is_nobodys(site: Site, browser):
    for value in ("", "short", "x" * 43, "x" * 5000):
        browser.client.cookies.clear()
        browser.client.cookies.set(cookie_name(site.settings), value)
        assert browser.get("/account").path == "/sign-in"


def a_session(user_id: str, **more: Any) -> Session:
    known = uuid4().hex
    times = {"authenticated_at": NOW, "last_seen_at": NOW, "expires_at": NOW + 43_200}
    return Session(**{"id": known, "browser": f"b{known}", "user_id": user_id, **times, **more})


def a_grant(user_id: str, client_id: str, **more: Any) -> Grant:
    times = {"authenticated_at": NOW, "created_at": NOW, "last_used_at": NOW, "expires_at": NOW + 3600}
    return Grant(
        **{
            "id": uuid4().hex,
            "client_id": client_id,
            "organization_id": ORGANIZATION,
            "role": "PATIENT",
            "scope": "patient/*.rs",
            "user_id": user_id,
            **times,
            **more,
        }
    )


@pytest.fixture
def user_id(database_url: str) -> str:
    return add_user(database_url, "PATIENT").id


@pytest.fixture
def client_id(database_url: str) -> str:
    known = f"app-{uuid4().hex[:8]}"
    in_database(database_url, lambda connection: ClientRepository(connection).insert(Client(known, "public")))
    return known


async def test_a_session_is_known_by_the_digest_of_its_cookie_while_it_lasts(database: Database, user_id: str):
    made = a_session(user_id)
    async with database.platform() as connection:
        await add_session(connection, made)
        assert await session_of(connection, made.browser, NOW, IDLE) == made
        assert await session_of(connection, made.browser, NOW + IDLE - 1, IDLE) == made
        assert await session_of(connection, made.browser, NOW + IDLE, IDLE) is None
        assert await session_of(connection, made.browser, NOW + 43_200, 100_000) is None
        assert await session_of(connection, made.id, NOW, IDLE) is None


async def test_security_AU5_when_it_was_used_is_written_once_a_minute(database: Database, user_id: str):
    made = a_session(user_id)
    async with database.platform() as connection:
        await add_session(connection, made)
        for at, seen in ((NOW + 59, NOW), (NOW + 60, NOW + 60), (NOW + 100, NOW + 60), (NOW + 121, NOW + 121)):
            await see_session(connection, made.id, at)
            (found,) = await find_sessions(connection, sessions.c.id == made.id)
            assert found.last_seen_at == seen


async def test_security_AU5_a_cookie_is_renewed_once(database: Database, user_id: str):
    made = a_session(user_id)
    async with database.platform() as connection:
        await add_session(connection, made)
        assert await renew_browser(connection, made, "n1" + made.id, second_factor_at=NOW)
        assert not await renew_browser(connection, made, "n2" + made.id)
        assert not await sign_in_again(connection, made, a_session(user_id))
        found = await session_of(connection, "n1" + made.id, NOW, IDLE)
        assert found is not None
        assert found.second_factor_at == NOW
        assert await sign_in_again(connection, found, a_session(user_id, browser="n3" + made.id))
        again = await session_of(connection, "n3" + made.id, NOW, IDLE)
        assert again is not None
        assert (again.id, again.second_factor_at) == (made.id, None), "the code has to be given again"


async def test_security_AU4_five_tries_are_counted_before_the_code_is_looked_at(database: Database, user_id: str):
    made = a_session(user_id)
    async with database.platform() as connection:
        await add_session(connection, made)
        assert [await try_second_factor(connection, made.id) for _ in range(7)] == [True] * 5 + [False] * 2


async def test_smart_V3_the_end_of_a_session_ends_online_access_and_nothing_else(
    database: Database, user_id: str, client_id: str
):
    made, other = a_session(user_id), a_session(user_id)
    online = a_grant(user_id, client_id, session_id=made.id, scope="online_access patient/*.rs")
    elsewhere = a_grant(user_id, client_id, session_id=other.id, scope="online_access patient/*.rs")
    offline = a_grant(user_id, client_id, scope="offline_access patient/*.rs")
    async with database.platform() as connection:
        for session in (made, other):
            await add_session(connection, session)
        for grant in (online, elsewhere, offline):
            await add_grant(connection, grant)
        ended = await end_session(connection, made.id, "signed out", NOW + 5)
        assert [each.id for each in ended] == [online.id]
        assert await end_session(connection, made.id, "signed out", NOW + 6) == []
        found = await find_grant(connection, online.id)
        assert found is not None
        assert (found.revoked_at, found.revoked_for) == (NOW + 5, "signed out")
        assert await session_of(connection, made.browser, NOW + 6, IDLE) is None
        ended = await end_sessions_of(connection, user_id, "password changed", NOW + 7)
        assert [each.id for each in ended] == [elsewhere.id]
        still = await find_grant(connection, offline.id)
        assert still is not None
        assert still.revoked_at is None


async def test_smart_V3_the_session_that_is_kept_loses_its_online_access_too(
    database: Database, user_id: str, client_id: str
):
    made = a_session(user_id)
    online = a_grant(user_id, client_id, session_id=made.id)
    async with database.platform() as connection:
        await add_session(connection, made)
        await add_grant(connection, online)
        ended = await end_sessions_of(connection, user_id, "password changed", NOW, but=made.id)
        assert [each.id for each in ended] == [online.id]
        assert await session_of(connection, made.browser, NOW, IDLE) is not None


async def test_smart_F8_a_patient_taken_away_ends_what_concerned_that_patient(
    database: Database, user_id: str, client_id: str
):
    first = a_grant(user_id, client_id, patient="p1")
    second = a_grant(user_id, client_id, patient="p2")
    whole = a_grant(user_id, client_id, scope="user/Observation.rs")
    identity = a_grant(user_id, client_id, scope="openid")
    elsewhere = a_grant(user_id, client_id, patient="p1", organization_id="health-hub")
    async with database.platform() as connection:
        for grant in (first, second, whole, identity, elsewhere):
            await add_grant(connection, grant)
        ended = await end_grants_of(
            connection, user_id, "patient removed", NOW, organization_id=ORGANIZATION, patient="p1"
        )
        assert {each.id for each in ended} == {first.id, whole.id}
        ended = await end_grants_of(connection, user_id, "user disabled", NOW)
        assert {each.id for each in ended} == {second.id, identity.id, elsewhere.id}
