"""Backoff after failed attempts (security AU-3; smart.md T16): free ones, then waits that double, never for good."""

from __future__ import annotations

import asyncio

from storage.authorization.failures import (
    FORGOTTEN_SECONDS,
    LONGEST_WAIT_SECONDS,
    attempted,
    blocked_for,
    cleared,
    failed,
)
from storage.engine import Database

NOW = 1_800_000_000


async def fail(database: Database, value: str, now: int = NOW, **more: int) -> int:
    async with database.platform() as connection:
        return await failed(connection, "account", value, now, **more)


async def blocked(database: Database, value: str, now: int = NOW) -> int:
    async with database.platform() as connection:
        return await blocked_for(connection, "account", value, now)


async def test_security_AU3_five_failures_are_free_then_the_wait_doubles_to_a_quarter_of_an_hour(database: Database):
    waits = [await fail(database, "one") for _ in range(17)]
    assert waits == [0, 0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert await blocked(database, "one") == LONGEST_WAIT_SECONDS
    assert await blocked(database, "one", NOW + 600) == 300
    assert await blocked(database, "one", NOW + 900) == 0


async def test_security_AU3_failures_of_one_do_not_concern_another(database: Database):
    for _ in range(6):
        await fail(database, "mine")
    assert await blocked(database, "mine") == 2
    assert await blocked(database, "yours") == 0


async def test_security_AU3_success_and_an_hour_of_peace_forget_failures(database: Database):
    for _ in range(8):
        await fail(database, "peace")
    assert await fail(database, "peace", NOW + FORGOTTEN_SECONDS + 1) == 0
    for _ in range(8):
        await fail(database, "right")
    async with database.platform() as connection:
        await cleared(connection, "account", "right")
    assert await blocked(database, "right") == 0
    assert await fail(database, "right") == 0


async def test_security_AU3_failures_that_come_together_are_all_counted(database: Database):
    await asyncio.gather(*(fail(database, "together") for _ in range(8)))
    assert await fail(database, "together") == 16


async def test_smart_T16_how_many_are_free_is_the_callers_choice(database: Database):
    assert await fail(database, "none", free=0) == 2
    assert [await fail(database, "many", free=50) for _ in range(51)][-2:] == [0, 2]


async def attempt(database: Database, value: str, now: int = NOW) -> int:
    async with database.platform() as connection:
        return await attempted(connection, "account", value, now)


async def test_security_AU3_of_attempts_that_come_together_so_many_are_looked_at_as_one_after_the_other(
    database: Database,
):
    waits = await asyncio.gather(*(attempt(database, "rush") for _ in range(20)))
    assert sorted(waits) == [0] * 6 + [2] * 14
    waits = await asyncio.gather(*(attempt(database, "rush", NOW + 2) for _ in range(8)))
    assert sorted(waits) == [0] + [4] * 7


async def test_security_AU3_an_attempt_that_has_to_wait_makes_nobody_wait_longer(database: Database):
    for _ in range(30):
        await attempt(database, "patient")
    assert await blocked(database, "patient") == 2
    async with database.platform() as connection:
        await cleared(connection, "account", "patient")
    assert await attempt(database, "patient") == 0
