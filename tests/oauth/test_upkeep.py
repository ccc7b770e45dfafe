"""What nothing can come of any more is forgotten; what still counts stays."""

from __future__ import annotations

import asyncio
import time

import pytest

from fhir_server.oauth.upkeep import kept_seconds, running_upkeep
from fhir_server.settings import Settings
from storage.authorization import upkeep
from storage.authorization.assertions import use_assertion
from storage.authorization.codes import organization_of_code
from storage.authorization.failures import failed
from storage.authorization.opaque import digest
from storage.authorization.upkeep import forget
from storage.engine import Database
from storage.repositories.entities import Client
from storage.tables.authorization import AUTHORIZATION_TABLES, break_glass
from tests.oauth.granting import Granted, Person, find_grant, grant, new_client, new_person, new_session

NOW = int(time.time())
DAY = 86_400
KEPT = 365 * DAY


@pytest.fixture
async def client(fresh_database: Database) -> Client:
    return await new_client(fresh_database)


@pytest.fixture
async def person(fresh_database: Database) -> Person:
    return await new_person(fresh_database)


def knows_every_table() -> set[str]:
    return {table.name for table in upkeep.forgettable(NOW, KEPT)}


def test_every_table_of_the_authorization_server_is_looked_after_but_the_record_of_emergencies():
    assert knows_every_table() == {table.name for table in AUTHORIZATION_TABLES} - {break_glass.name}


async def test_a_grant_stays_while_it_could_be_refreshed_or_is_remembered(
    fresh_database: Database, client: Client, person: Person
):
    ages = {"young": (10, -1), "alive": (500, 1), "over": (500, -1)}
    made: dict[str, Granted] = {}
    for name, (days, left) in ages.items():
        made[name] = await grant(
            fresh_database, client, person, created_at=NOW - days * DAY, expires_at=NOW + left * DAY
        )
    assert await forget(fresh_database, NOW, KEPT) == {"grants": 1}
    async with fresh_database.platform() as connection:
        stays = {name: await find_grant(connection, each.grant.id) is not None for name, each in made.items()}
    assert stays == {"young": True, "alive": True, "over": False}


async def test_security_OA4_a_code_is_known_for_a_day_so_that_a_replay_is_still_noticed(
    fresh_database: Database, client: Client, person: Person
):
    recent = await grant(fresh_database, client, person, code_expires_at=NOW - DAY + 60)
    old = await grant(fresh_database, client, person, code_expires_at=NOW - DAY - 60)
    assert await forget(fresh_database, NOW, KEPT) == {"authorization_codes": 1}
    assert await organization_of_code(fresh_database, digest(recent.code)) is not None
    assert await organization_of_code(fresh_database, digest(old.code)) is None


async def test_sessions_assertions_and_failures_go_when_they_are_over(
    fresh_database: Database, client: Client, person: Person
):
    await new_session(fresh_database, person, expires_at=NOW - 2 * DAY)
    await new_session(fresh_database, person, expires_at=NOW + 60)
    async with fresh_database.platform() as connection:
        assert await use_assertion(connection, client.id, "old", NOW - 1, NOW - 60)
        assert await use_assertion(connection, client.id, "new", NOW + 60, NOW - 60)
        await failed(connection, "account", "old", NOW - DAY)
        await failed(connection, "account", "new", NOW)
    assert await forget(fresh_database, NOW, KEPT) == {"sessions": 1, "client_assertions": 1, "sign_in_failures": 1}
    assert await forget(fresh_database, NOW, KEPT) == {}


async def test_many_go_in_batches(
    fresh_database: Database, client: Client, person: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upkeep, "BATCH", 3)
    async with fresh_database.platform() as connection:
        for number in range(10):
            await use_assertion(connection, client.id, str(number), NOW - 1, NOW - 60)
    assert await forget(fresh_database, NOW, KEPT) == {"client_assertions": 10}


async def test_two_workers_at_once_do_not_stop_each_other(fresh_database: Database, client: Client):
    async with fresh_database.platform() as connection:
        for number in range(50):
            await use_assertion(connection, client.id, str(number), NOW - 1, NOW - 60)
    both = await asyncio.gather(*(forget(fresh_database, NOW, KEPT) for _ in range(2)))
    assert sum(each.get("client_assertions", 0) for each in both) == 50


async def test_a_worker_forgets_in_the_background(fresh_database: Database, client: Client):
    async with fresh_database.platform() as connection:
        await use_assertion(connection, client.id, "old", NOW - 1, NOW - 60)
    async with running_upkeep(fresh_database, Settings(), time.time, every=0.01):
        until = time.monotonic() + 30
        while not await unknown(fresh_database, client):
            assert time.monotonic() < until
            await asyncio.sleep(0.01)


async def unknown(database: Database, client: Client) -> bool:
    from sqlalchemy import func, select

    from storage.tables.authorization import client_assertions

    async with database.platform() as connection:
        return await connection.scalar(select(func.count()).select_from(client_assertions)) == 0


def test_what_a_person_agreed_to_is_kept_as_long_as_it_is_remembered():
    settings = Settings()
    longer = settings.model_copy(update={"remembered_consent_days": settings.refresh_token_days + 1})
    assert kept_seconds(settings) == settings.refresh_token_days * DAY
    assert kept_seconds(longer) == (settings.refresh_token_days + 1) * DAY
