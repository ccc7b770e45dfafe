"""Days that are over are closed, by the clock of the customer's time zone (settled §3.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from mappers.rows import CustomerProfile, WearableDailyStat
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.projection.flush import flush
from storage.repositories.profiles import ProfileRepository
from storage.repositories.wearables import DailyStatRepository
from storage.rls import ROLE
from storage.telemetry.closing import close_days
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

CHANGE = Change("tester", "tests", "test")
MONDAY = date(2026, 3, 2)


class Clock:
    """A clock that a test sets."""

    at = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> int:
        return int(self.at.timestamp() * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ward(fresh_database_url: str, clock: Clock) -> AsyncIterator[Database]:
    made = create_database(fresh_database_url, ids=IdSource(clock), role=ROLE)
    made.flush = flush
    await made.open()
    yield made
    await made.close()


async def put(database: Database, zone: str | None, *days: date, organization: str = ORGANIZATION) -> None:
    key = f"c-{zone}-{organization}"

    async def work(unit: UnitOfWork) -> None:
        row = CustomerProfile(key, organization, key, f"{hash(key)}@x.org", timezone=zone)
        await ProfileRepository(unit).insert(row)
        for day in days:
            stat = WearableDailyStat(f"{key}-{day}", organization, key, day, "steps", "steps", count=1)
            await DailyStatRepository(unit).insert(stat)

    await database.transact(organization, CHANGE, work)


async def closed(database: Database, organization: str = ORGANIZATION) -> set[tuple[str, date]]:
    async with database.glance(organization) as snapshot:
        found = await DailyStatRepository(snapshot).list()
    return {(row.customer_id, row.date) for row in found.rows if row.closed_at is not None}


async def test_a_day_is_closed_six_hours_after_its_end_where_the_customer_lives(ward: Database, clock: Clock) -> None:
    for zone in ("Pacific/Kiritimati", "UTC", "Pacific/Honolulu"):
        await put(ward, zone, MONDAY)
    for moment, who in (
        (datetime(2026, 3, 2, 15, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 2, 16, 0, tzinfo=UTC), "Pacific/Kiritimati"),
        (datetime(2026, 3, 3, 5, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 3, 6, 0, tzinfo=UTC), "UTC"),
        (datetime(2026, 3, 3, 15, 59, tzinfo=UTC), None),
        (datetime(2026, 3, 3, 16, 0, tzinfo=UTC), "Pacific/Honolulu"),
    ):
        clock.at = moment
        before = await closed(ward)
        assert await close_days(ward) == (who is not None)
        assert await closed(ward) - before == ({(f"c-{who}-{ORGANIZATION}", MONDAY)} if who else set())


async def test_every_organization_has_its_turn_and_closed_days_are_left_alone(ward: Database, clock: Clock) -> None:
    days = [MONDAY - timedelta(days=number) for number in range(20)]
    await put(ward, "UTC", *days)
    await put(ward, "UTC", date(1, 1, 1), organization=OTHER_ORGANIZATION)
    clock.at = datetime(2026, 3, 4, tzinfo=UTC)
    assert await close_days(ward) == 21
    assert await close_days(ward) == 0
    assert len(await closed(ward)) == 20


async def test_more_days_than_one_step_takes_are_closed_in_several(
    ward: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.telemetry.closing.STEP", 3)
    await put(ward, "UTC", *(MONDAY - timedelta(days=number) for number in range(7)))
    clock.at = datetime(2026, 3, 2, 12, tzinfo=UTC)  # Monday goes on
    assert await close_days(ward) == 6
