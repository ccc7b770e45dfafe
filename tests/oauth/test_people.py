"""What may happen once to a person's password and second factor happens once, however many ask (security AU-4)."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from storage.authorization.people import (
    apps_called,
    drop_second_factor,
    replace_password,
    replace_recovery_codes,
    roles_of,
    set_second_factor,
    signed_in_at,
    take_step,
)
from storage.engine import Database
from storage.grants import instant
from storage.repositories.entities import Client, User, UserOrganization
from storage.repositories.platform import ClientRepository, UserOrganizationRepository, UserRepository

CODES = ("a", "b", "c")


@pytest.fixture
async def user_id(database: Database) -> str:
    known = uuid4().hex
    async with database.platform() as connection:
        await UserRepository(connection).insert(User(known, f"{known}@example.org", "old"))
        await UserOrganizationRepository(connection).insert(UserOrganization(known, known, "loop-health", "NURSE"))
    return known


async def at_once(database: Database, change, times: int = 8) -> int:
    """Return for how many of those who ask at the same time something happens."""

    async def one() -> bool:
        async with database.platform() as connection:
            return await change(connection)

    return sum(await asyncio.gather(*(one() for _ in range(times))))


async def test_security_AU4_a_code_works_once_however_many_send_it_at_the_same_time(database: Database, user_id: str):
    async with database.platform() as connection:
        assert not await take_step(connection, user_id, 7), "there is no second factor yet"
        assert await set_second_factor(connection, user_id, "sealed", 7, CODES)
        assert not await set_second_factor(connection, user_id, "another", 7, CODES)
    assert await at_once(database, lambda connection: take_step(connection, user_id, 8)) == 1
    async with database.platform() as connection:
        assert not await take_step(connection, user_id, 7)
        assert await take_step(connection, user_id, 9)


async def test_security_AU4_a_recovery_code_works_once_however_many_send_it_at_the_same_time(
    database: Database, user_id: str
):
    async with database.platform() as connection:
        await set_second_factor(connection, user_id, "sealed", 7, CODES)
    assert await at_once(database, lambda connection: replace_recovery_codes(connection, user_id, CODES, ("a",))) == 1
    async with database.platform() as connection:
        assert (await UserRepository(connection).get(user_id)).backup_codes == ("a",)
        assert await drop_second_factor(connection, user_id)
        assert not await drop_second_factor(connection, user_id)
        found = await UserRepository(connection).get(user_id)
        assert (found.mfa_enabled, found.mfa_secret, found.mfa_last_step, found.backup_codes) == (False, None, None, ())


async def test_a_password_is_replaced_once(database: Database, user_id: str):
    assert await at_once(database, lambda connection: replace_password(connection, user_id, "old", "new")) == 1
    async with database.platform() as connection:
        assert not await replace_password(connection, user_id, None, "newer")
        await signed_in_at(connection, user_id, instant(1_800_000_000))
        found = await UserRepository(connection).get(user_id)
        assert (found.password_hash, found.last_login_at) == ("new", instant(1_800_000_000))


async def test_roles_and_apps_are_named(database: Database, user_id: str):
    async with database.platform() as connection:
        assert [(known, role) for known, _, role in await roles_of(connection, user_id)] == [("loop-health", "NURSE")]
        await ClientRepository(connection).insert(Client(f"app-{user_id}", "public", publisher="Somebody"))
        named = await apps_called(connection, [f"app-{user_id}", "nobody"])
        (app,) = named.values()
        assert (app.name, app.publisher, app.is_verified) == (f"app-{user_id}", "Somebody", False)
