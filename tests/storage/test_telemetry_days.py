"""Statistics of days are those of their readings, whatever came in whatever order (settled §3.2, decision 31)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappers.rows import CustomerProfile, WearableDailyStat, WearableReading
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.projection.flush import flush
from storage.repositories.profiles import ProfileRepository
from storage.repositories.table import MAX_LIMIT, Window
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.rls import ROLE
from storage.telemetry.days import bounds, day_of
from storage.telemetry.ingest import Ingested, Measured, UnknownCustomers, ingest
from storage.telemetry.statistics import OfUnit, day_statistics
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION

CHANGE = Change("tester", "tests", "test")
ALL = Window(MAX_LIMIT)
ZONES = ("America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", None, "Nowhere/Atall")
MIDNIGHT = datetime(2026, 3, 8, 5, tzinfo=UTC)
"""The beginning, in New York, of a day of 23 hours."""
PER_MMOL = Fraction(180156, 10_000)


@dataclass
class Clinic:
    """A database, and the loop that it runs on."""

    runner: asyncio.Runner
    database: Database
    numbers: Iterator[int]

    def customer(self, zone: str | None) -> str:
        key = f"c{next(self.numbers)}"

        async def work(unit: UnitOfWork) -> None:
            await ProfileRepository(unit).insert(CustomerProfile(key, ORGANIZATION, key, f"{key}@x.org", timezone=zone))

        self.runner.run(self.database.transact(ORGANIZATION, CHANGE, work))
        return key

    def ingest(self, readings: Sequence[Measured]) -> Ingested:
        return self.runner.run(self.database.transact(ORGANIZATION, CHANGE, lambda unit: ingest(unit, readings)))

    def together(self, batches: Sequence[Sequence[Measured]]) -> None:
        async def all_of_them() -> None:
            transact = self.database.transact
            await asyncio.gather(*(transact(ORGANIZATION, CHANGE, partial(ingest, readings=each)) for each in batches))

        self.runner.run(all_of_them())

    def change(self, key: str, **values: object) -> None:
        async def work(unit: UnitOfWork) -> None:
            await ReadingRepository(unit).update(key, values)

        self.runner.run(self.database.transact(ORGANIZATION, CHANGE, work))

    def delete(self, key: str) -> None:
        async def work(unit: UnitOfWork) -> None:
            await ReadingRepository(unit).delete(key)

        self.runner.run(self.database.transact(ORGANIZATION, CHANGE, work))

    def record(self, row: WearableDailyStat) -> None:
        async def work(unit: UnitOfWork) -> None:
            await DailyStatRepository(unit).record(row)

        self.runner.run(self.database.transact(ORGANIZATION, CHANGE, work))

    def rows(self, customer: str) -> tuple[Sequence[WearableReading], Sequence[WearableDailyStat]]:
        async def look() -> tuple[Sequence[WearableReading], Sequence[WearableDailyStat]]:
            async with self.database.glance(ORGANIZATION) as snapshot:
                readings = await ReadingRepository(snapshot).list(customer_id=customer, window=ALL)
                days = await DailyStatRepository(snapshot).list(customer_id=customer, window=ALL)
            assert not readings.has_more
            return readings.rows, days.rows

        return self.runner.run(look())


@pytest.fixture(scope="module")
def clinic(database_url: str) -> Iterator[Clinic]:
    with asyncio.Runner() as runner:
        database = create_database(database_url, ids=IdSource(), role=ROLE)
        database.flush = flush
        runner.run(database.open())
        yield Clinic(runner, database, count())
        runner.run(database.close())


def measured(customer: str, **more: object) -> Measured:
    reading = Measured(customer, "glucose", Decimal(100), "mg/dL", "dexcom", MIDNIGHT)
    return replace(reading, **more)  # type: ignore[arg-type]


def by_hand(readings: Sequence[WearableReading], zone: str | None) -> dict[tuple[date, str], tuple[int, Fraction]]:
    """Return count and sum of each day, added up one by one in the unit that most readings of the day have."""
    place = ZoneInfo(zone) if zone in ZONES[:3] else UTC
    days: dict[tuple[date, str], list[WearableReading]] = {}
    for row in readings:
        if row.status != "entered-in-error":
            days.setdefault((row.recorded_at.astimezone(place).date(), row.data_type), []).append(row)
    found = {}
    for day, rows in days.items():
        units = [row.unit for row in rows]
        most = min(set(units), key=lambda unit: (-units.count(unit), unit))
        scale = {"mg/dL": Fraction(1), "mmol/L": PER_MMOL}
        values = [Fraction(row.value) * scale[row.unit] / scale[most] for row in rows]
        found[day] = (len(rows), sum(values, Fraction()))
    return found


SENT = st.builds(
    measured,
    st.just(""),
    data_type=st.sampled_from(["glucose", "hrv"]),
    value=st.decimals(-1000, 1000, places=3, allow_nan=False, allow_infinity=False),
    unit=st.sampled_from(["mg/dL", "mmol/L"]),
    source_key=st.sampled_from(["k1", "k2", "k3", None]),
    recorded_at=st.integers(-3000, 3000).map(lambda minutes: MIDNIGHT + timedelta(minutes=minutes)),
    is_wrong=st.sampled_from([False, False, False, True]),
)


@given(
    st.lists(st.lists(SENT, min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from(ZONES),
    st.integers(0, 30),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_statistics_are_those_of_the_readings_whatever_came_in_whatever_order(
    clinic: Clinic, batches: list[list[Measured]], zone: str | None, which: int
) -> None:
    customer = clinic.customer(zone)
    for batch in batches:
        own = [
            replace(each, customer_id=customer, unit="mg/dL" if each.data_type == "hrv" else each.unit)
            for each in batch
        ]
        done = clinic.ingest(own)
        assert done.created + done.corrected + done.unchanged == len(batch)
    readings, _ = clinic.rows(customer)
    one = readings[which % len(readings)]
    clinic.change(one.id, status="entered-in-error")
    readings, days = clinic.rows(customer)
    found = {(day.date, day.data_type): (day.count, day.sum_value) for day in days}
    expected = by_hand(readings, zone)
    assert found.keys() == expected.keys()
    for key, (number, total) in expected.items():
        assert found[key][0] == number
        assert abs(Fraction(found[key][1] or 0) - total) <= Fraction(1, 10**6)


def test_two_who_write_the_same_day_at_once_lose_nothing(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    batches = [
        [measured(customer, recorded_at=MIDNIGHT + timedelta(minutes=10 * batch + n)) for n in range(5)]
        for batch in range(6)
    ]
    clinic.together(batches)
    _, days = clinic.rows(customer)
    assert [(day.date, day.count) for day in days] == [(date(2026, 3, 8), 30)]


def test_the_same_readings_sent_twice_at_once_are_there_once(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    batch = [measured(customer, recorded_at=MIDNIGHT + timedelta(minutes=n)) for n in range(5)]
    clinic.together([batch, batch, batch])
    readings, days = clinic.rows(customer)
    assert (len(readings), days[0].count) == (5, 5)


def test_readings_of_nobody_are_refused_and_nothing_is_written(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    with pytest.raises(UnknownCustomers) as refused:
        clinic.ingest([measured(customer), measured("nobody")])
    assert refused.value.customers == {"nobody"}
    assert clinic.rows(customer) == ((), ())


def test_a_deleted_reading_leaves_its_day(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    clinic.ingest([measured(customer), measured(customer, recorded_at=MIDNIGHT + timedelta(minutes=1))])
    readings, _ = clinic.rows(customer)
    clinic.delete(readings[0].id)
    assert [day.count for day in clinic.rows(customer)[1]] == [1]
    clinic.delete(readings[1].id)
    assert clinic.rows(customer)[1] == ()


def test_a_day_that_others_spoke_of_changes_with_readings_in_volume_only(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    clinic.ingest([measured(customer)])
    (day,) = clinic.rows(customer)[1]
    theirs = replace(day, count=288, metadata={"by": "the provider"})
    clinic.record(theirs)
    (reading,) = clinic.rows(customer)[0]
    clinic.change(reading.id, value=Decimal(5))
    assert clinic.rows(customer)[1][0].count == 288
    clinic.ingest([measured(customer, value=Decimal(7))])
    (day,) = clinic.rows(customer)[1]
    assert (day.count, day.avg_value, day.metadata["by"]) == (1, Decimal(7), "the provider")


def test_late_data_of_a_closed_day_correct_it(clinic: Clinic) -> None:
    customer = clinic.customer("UTC")
    clinic.ingest([measured(customer)])
    (day,) = clinic.rows(customer)[1]
    clinic.record(replace(day, closed_at=MIDNIGHT + timedelta(days=2)))
    clinic.ingest([measured(customer, recorded_at=MIDNIGHT + timedelta(minutes=1), value=Decimal(1))])
    (day,) = clinic.rows(customer)[1]
    assert (day.count, day.corrected, day.closed_at) == (2, True, MIDNIGHT + timedelta(days=2))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("America/Sao_Paulo", date(2018, 11, 4), 23),  # midnight itself was left out
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("UTC", date(2026, 3, 8), 24),
    ],
)
def test_days_are_as_long_as_clocks_make_them(zone: str, day: date, hours: float) -> None:
    start, end = bounds(day, zone)
    assert end - start == timedelta(hours=hours)
    assert day_of(start, zone) == day_of(end - timedelta(microseconds=1), zone) == day
    assert day_of(start - timedelta(microseconds=1), zone) == day - timedelta(days=1)


def test_a_mean_has_the_places_of_its_readings_at_least_and_six_at_most_beyond() -> None:
    thirds = day_statistics("hrv", [OfUnit("ms", 3, Decimal("1.0"), Decimal("0.2"), Decimal("0.5"))])
    assert thirds is not None
    assert (str(thirds.avg_value), str(thirds.sum_value)) == ("0.333333", "1")
    hundred = day_statistics("steps", [OfUnit("steps", 2, Decimal("2E+2"), Decimal(100), Decimal(100))])
    assert hundred is not None
    assert str(hundred.avg_value) == "100"
