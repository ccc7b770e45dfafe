"""Rows that are read on the driver itself are those that SQLAlchemy reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mappers.rows import CustomerProfile, LabResult, WearableDailyStat, WearableReading
from storage.engine import Database
from storage.repositories.catalogue import MetricDefinitionRepository
from storage.repositories.labs import LabRepository
from storage.repositories.profiles import ProfileRepository
from storage.repositories.quick import Condition, Glimpse, find_page, find_row
from storage.repositories.table import Window
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.rows import save_row
from storage.stops import NO_STOPS, Stops
from storage.transaction import Change
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

AT = datetime(2026, 3, 20, 14, 30, 0, 123456, tzinfo=UTC)


def row_of_everything() -> Sequence[tuple[str, Any]]:
    """Rows with a value of every kind of column: text, days, instants, decimals, JSON, lists, truth, nothing."""
    profile = CustomerProfile(
        "quick-1",
        ORGANIZATION,
        "login-1",
        "quick@example.org",
        date_of_birth=date(1985, 6, 15),
        conditions=("a, b", 'with "quotes"', ""),
        medications=(),
        metadata={"number": Decimal("1.10"), "list": [None, True]},
    )
    lab = LabResult("lab-1", ORGANIZATION, "quick-1", "pending", {"ldl": {"value": Decimal("3.40"), "unit": "mmol/L"}})
    reading = WearableReading(
        "reading-1", ORGANIZATION, "quick-1", "hrv", Decimal("55.50"), "ms", "oura", AT, metadata={"a": 1}
    )
    stat = WearableDailyStat(
        "stat-1", ORGANIZATION, "quick-1", date(2026, 3, 20), "hrv", "ms", Decimal("55.5"), count=2, closed_at=AT
    )
    return [
        ("customer_profiles", profile),
        ("lab_results", lab),
        *(("lab_results", replace(lab, id=f"lab-{n}", status="reviewed", upload_id=f"u{n}")) for n in range(2, 6)),
        ("patient_wearable_readings", reading),
        ("patient_wearable_readings", replace(reading, id="reading-2", recorded_at=AT + timedelta(hours=1))),
        ("patient_wearable_daily_stats", stat),
        ("patient_wearable_daily_stats", replace(stat, id="stat-2", date=date(2026, 3, 21))),
    ]


@pytest.fixture(scope="module")
async def stocked(database: Database) -> Database:
    async with database.begin(ORGANIZATION, Change("tester", "tests", "test")) as unit:
        for table, row in row_of_everything():
            await save_row(unit.connection, table, row, new=True)
    return database


@pytest.mark.parametrize("repository", [ProfileRepository, LabRepository, ReadingRepository, DailyStatRepository])
async def test_a_glimpse_gives_the_rows_that_a_snapshot_gives(stocked: Database, repository: Any):
    quick = repository(Glimpse(ORGANIZATION, stocked, NO_STOPS))
    async with stocked.glance(ORGANIZATION) as snapshot:
        slow = repository(snapshot)
        for window in (Window(), Window(2), Window(2, 1), Window(20, 100)):
            assert await quick.list(window=window) == await slow.list(window=window)
        for row in (await slow.list()).rows:
            assert await quick.find(row.id) == await slow.find(row.id) == row
        assert await quick.find("nobody") is None


async def test_a_glimpse_filters_by_values_of_every_kind(stocked: Database):
    glimpse = Glimpse(ORGANIZATION, stocked, NO_STOPS)

    async def found(table: str, newest: str, *conditions: Condition) -> list[str]:
        rows, total = await find_page(glimpse, table, conditions, newest=newest, limit=10, offset=0)
        assert total == len(rows)
        return [row.id for row in rows]

    readings, stats = "patient_wearable_readings", "patient_wearable_daily_stats"
    assert await found(readings, "recorded_at", Condition("recorded_at", ">=", AT)) == ["reading-2", "reading-1"]
    assert await found(readings, "recorded_at", Condition("recorded_at", ">", AT)) == ["reading-2"]
    assert await found(stats, "date", Condition("date", "<=", date(2026, 3, 20))) == ["stat-1"]
    assert await found(stats, "date", Condition("customer_id", "=", "nobody")) == []
    reviewed = Condition("status", "=", "reviewed")
    assert await found("lab_results", "created_at", reviewed) == ["lab-5", "lab-4", "lab-3", "lab-2"]


async def test_security_AZ1_a_glimpse_sees_its_own_organization_alone(stocked: Database):
    other = Glimpse(OTHER_ORGANIZATION, stocked, NO_STOPS)
    assert await find_row(other, "customer_profiles", "quick-1") is None
    assert await find_page(other, "lab_results", [], newest="created_at", limit=10, offset=0) == ([], 0)


async def test_a_column_that_cannot_be_used_is_not_read(stocked: Database):
    stops = Stops(unusable={"customer_profiles": frozenset({"metadata"})})
    row = await find_row(Glimpse(ORGANIZATION, stocked, stops), "customer_profiles", "quick-1")
    assert (row.metadata, row.email) == (None, "quick@example.org")


async def test_a_glimpse_writes_nothing_and_shows_no_shared_rows(stocked: Database):
    glimpse = Glimpse(ORGANIZATION, stocked, NO_STOPS)
    with pytest.raises(TypeError):
        await ProfileRepository(glimpse).update("quick-1", {"first_name": "x"})
    with pytest.raises(TypeError):
        await MetricDefinitionRepository(glimpse).list()
