"""The telemetry class: readings shown by day only, and days that are still open (settled §3.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine, func, make_url, select, text, update
from sqlalchemy.pool import NullPool

from mappers.rows import CustomerProfile, WearableDailyStat, WearableReading
from mappers.systems import TIMEZONE
from mappers.telemetry import SettingRefused
from storage.clock import IdSource, epoch_milliseconds
from storage.engine import Database, create_database
from storage.errors import MappingRefused, ResourceGone, ResourceNotFound
from storage.projection.flush import flush
from storage.projection.homes import report_homes
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import Findings, reconcile
from storage.repositories.platform import OrganizationRepository
from storage.repositories.profiles import ProfileRepository
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.tables.fhir import history, projection_failures, projections_due, telemetry_settings
from storage.tables.patient_graph import patient_wearable_daily_stats as stats
from storage.tables.patient_graph import patient_wearable_readings as readings
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.regressions.shop import BASE, CHANGE, Resource, Shop

MINUTE = 60_000
CUSTOMER = CustomerProfile("c1", ORGANIZATION, "user_1", "jane@example.com", timezone="UTC")
TAG = {"system": "urn:test", "code": "kept"}


class Clock:
    """The wall clock, which a test moves on."""

    shift = 0

    def __call__(self) -> int:
        return epoch_milliseconds() + self.shift


@dataclass
class Ward(Shop):
    """A shop with a clock of its own, another program that writes, and a projector."""

    url: str
    clock: Clock
    projector: Projector

    def sql(self, *statements: str) -> None:
        """Run statements as another program would: its own connection, plain SQL."""
        url = make_url(self.url)
        driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
        engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement.replace(":", r"\:")))
        engine.dispose()

    def say(self, setting: Any, organization: str = ORGANIZATION) -> None:
        """Set the telemetry setting as another program would."""
        said = json.dumps({"timezone": "UTC", "telemetry": setting})
        self.sql(f"UPDATE organizations SET settings = '{said}' WHERE id = '{organization}'")

    async def set(self, setting: Any) -> None:
        """Set the telemetry setting through the repository, and let it take effect everywhere."""
        async with self.database.begin(ORGANIZATION, CHANGE) as unit:
            repository = OrganizationRepository(unit.connection)
            organization = await repository.get(ORGANIZATION)
            await repository.update(replace(organization, settings={"telemetry": setting}))
            unit.touch("organizations", ORGANIZATION)
        await self.projector.drain()

    async def foreign(self, *statements: str) -> None:
        """Let another program write, and the projector see it."""
        self.sql(*statements)
        await self.projector.drain()

    async def check(self, *, fix: bool = False) -> Findings:
        return await reconcile(self.database, ORGANIZATION, fix=fix)

    async def count(self, table: Any) -> int:
        return int((await self.execute(select(func.count()).select_from(table)))[0][0])

    async def version(self, name: str) -> tuple[str, str]:
        """Return version and status of an Observation."""
        shown = await self.read(name)
        return shown["meta"]["versionId"], shown["status"]


@pytest.fixture
async def ward(fresh_database_url: str) -> AsyncIterator[Ward]:
    clock = Clock()
    database = await opened(fresh_database_url, clock)
    made = Ward(
        database, ResourceStore(database, Places()), url=fresh_database_url, clock=clock, projector=Projector(database)
    )
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        await ProfileRepository(unit).insert(CUSTOMER)
    await made.projector.drain()
    yield made
    await made.database.close()


async def opened(url: str, clock: Clock) -> Database:
    database = create_database(url, ids=IdSource(milliseconds=clock), role=ROLE, base_url=BASE)
    database.flush = flush
    await database.open()
    return database


def reading(key: str, metric: str = "weight", value: str = "61.5") -> str:
    return (
        "INSERT INTO patient_wearable_readings (id, customer_id, data_type, value, unit, source, recorded_at)"
        f" VALUES ('{key}', 'c1', '{metric}', '{value}', 'kg', 'withings', '2026-03-20T14:30:00Z')"
    )


def day(key: str = "d1", average: str = "61.5", closed: str = "NULL") -> str:
    return (
        "INSERT INTO patient_wearable_daily_stats (id, customer_id, date, data_type, avg_value, count, unit, closed_at)"
        f" VALUES ('{key}', 'c1', '2026-03-20', 'resting_heart_rate', '{average}', 3, 'bpm', {closed})"
    )


def average(value: str, key: str = "d1") -> str:
    return f"UPDATE patient_wearable_daily_stats SET avg_value = '{value}' WHERE id = '{key}'"


CLOSING = "UPDATE patient_wearable_daily_stats SET closed_at = '2026-03-21T00:10:00.000000Z' WHERE id = 'd1'"


def written(metric: str = "weight", **more: Any) -> Resource:
    """A reading as a FHIR client writes it."""
    code = {"coding": [{"system": "urn:x", "code": "x"}]}
    loinc = {"weight": "29463-7", "glucose": "99504-3", "body_fat": "41982-0"}[metric]
    unit = {"weight": "kg", "glucose": "mg/dL", "body_fat": "%"}[metric]
    return {
        "resourceType": "Observation", "status": "final",
        "code": code | {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": "Patient/c1"}, "effectiveDateTime": "2026-03-20T14:30:00Z",
        "valueQuantity": {"value": Decimal("61.5"), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        **more,
    }  # fmt: skip


# ---- readings that are shown by day only ---------------------------------------------------------------------------


async def test_map_T2_a_reading_of_a_daily_metric_is_a_row_and_no_resource(ward: Ward) -> None:
    await ward.set({"metrics": {"weight": "daily"}})
    await ward.foreign(reading("r1"), reading("r2", "body_fat"))
    async with ward.database.begin(ORGANIZATION, CHANGE) as unit:
        row = WearableReading("r3", ORGANIZATION, "c1", "weight", Decimal(70), "kg", "oura", datetime.now(UTC))
        await ReadingRepository(unit).insert(row)
    assert await ward.ids("Observation?patient=Patient/c1") == ["r2"]
    for key in ("r1", "r3"):
        with pytest.raises(ResourceNotFound):
            await ward.read(f"Observation/{key}")
    assert await ward.count(readings) == 3
    assert (await ward.check()).agrees
    assert (await ward.check(fix=True)).agrees
    assert await ward.ids("Observation?patient=Patient/c1") == ["r2"]


async def test_map_T2_the_default_holds_for_metrics_that_are_not_named(ward: Ward) -> None:
    await ward.set({"default": "daily", "metrics": {"body_fat": "each"}})
    await ward.foreign(reading("r1"), reading("r2", "body_fat"), reading("r3", "spo2"), day())
    assert await ward.ids("Observation?patient=Patient/c1&_sort=_id") == ["d1", "r2"]


async def test_map_T2_the_setting_is_its_organizations_own(ward: Ward) -> None:
    ward.say({"default": "daily"}, OTHER_ORGANIZATION)
    await ward.foreign(reading("r1"))
    assert await ward.ids("Observation?patient=Patient/c1") == ["r1"]


@pytest.mark.parametrize("by", ["repository", "another program"])
async def test_map_T2_readings_are_withdrawn_and_shown_again_when_the_setting_changes(ward: Ward, by: str) -> None:
    async def say(setting: Any) -> None:
        if by == "repository":
            await ward.set(setting)
        else:
            ward.say(setting)
            await ward.projector.drain()

    await ward.foreign(*(reading(f"r{number}") for number in range(3)), reading("other", "body_fat"))
    await ward.put("Observation/mine", written(meta={"tag": [TAG]}, note=[{"text": "after breakfast"}]))
    shown = await ward.read("Observation/mine")
    await say({"metrics": {"weight": "daily"}})
    assert await ward.ids("Observation?patient=Patient/c1") == ["other"]
    with pytest.raises(ResourceGone):
        await ward.read("Observation/mine")
    assert await ward.count(readings) == 5
    assert (await ward.check()).agrees
    await say({})
    assert len(await ward.ids("Observation?patient=Patient/c1")) == 5
    again = await ward.read("Observation/mine")
    assert {**again, "meta": None} == {**shown, "meta": None}
    assert again["meta"]["tag"] == [TAG]
    assert (await ward.check()).agrees
    assert await ward.projector.drain() == 0


async def test_map_T2_a_long_walk_goes_on_where_it_was(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.projection.telemetry.STEP", 2)
    await ward.foreign(*(reading(f"r{number}") for number in range(7)))
    ward.say({"default": "daily"})
    await Projector(await again(ward)).drain()
    assert await ward.ids("Observation") == []
    assert await ward.execute(select(telemetry_settings.c.walk_after)) == [(None,)]


async def again(ward: Ward) -> Database:
    """Return the same database opened by another process that takes over."""
    await ward.database.close()
    database = await opened(ward.url, ward.clock)
    ward.database = database
    ward.store = ResourceStore(database, Places())
    return database


async def test_map_T2_a_walk_waits_for_writers_that_may_not_know_the_new_setting(ward: Ward) -> None:
    if ward.database.dialect == "sqlite":
        pytest.skip("one writer at a time")
    async with ward.database.begin(ORGANIZATION, CHANGE):
        ward.say({"default": "daily"})
        await ward.projector.drain()
        assert [row[0] for row in await ward.execute(select(telemetry_settings.c.walk_after))] == [""]
    await ward.projector.drain()
    assert await ward.execute(select(telemetry_settings.c.walk_after)) == [(None,)]


async def test_map_T2_a_setting_that_nobody_understands_is_listed_and_the_last_one_stays_in_force(ward: Ward) -> None:
    await ward.set({"metrics": {"weight": "daily"}})
    ward.say({"metrics": {"weight": "hourly"}})
    await ward.foreign(reading("r1"), reading("r2", "body_fat"))
    assert await ward.ids("Observation") == ["r2"]
    (failed,) = await ward.execute(projection_failures.select())
    assert (failed.table_name, failed.key) == ("organizations", ORGANIZATION)
    assert "telemetry.metrics.weight has to be one of: each, daily" in failed.reason
    for fix in (False, True):
        assert list((await ward.check(fix=fix)).failures) == [f"organizations/{ORGANIZATION}"]
    ward.say({})
    await ward.projector.drain()
    assert sorted(await ward.ids("Observation")) == ["r1", "r2"]
    assert (await ward.check()).agrees


async def test_map_T2_a_setting_that_nobody_understands_is_not_saved(ward: Ward) -> None:
    with pytest.raises(SettingRefused):
        await ward.set({"metrics": {"mood": "daily"}})
    assert (await ward.check()).agrees


async def test_map_T2_reconcile_finds_a_setting_that_nobody_noted_and_carries_it_through(ward: Ward) -> None:
    await ward.foreign(reading("r1"))
    ward.say({"default": "daily"})
    ward.sql("DELETE FROM outbox")
    assert (await ward.check()).examples == [f"outdated: organizations/{ORGANIZATION} settings.telemetry"]
    assert await ward.ids("Observation") == ["r1"]
    assert dict((await ward.check(fix=True)).differing) == {"outdated": 1, "left over": 1}
    assert await ward.ids("Observation") == []
    assert (await ward.check()).agrees


async def test_map_T2_a_reading_written_through_fhir_does_not_vanish_it_is_native(ward: Ward) -> None:
    await ward.set({"metrics": {"weight": "daily"}})
    await ward.put("Observation/o1", written())
    assert (await ward.read("Observation/o1"))["valueQuantity"]["value"] == Decimal("61.5")
    assert await ward.ids("Observation?patient=Patient/c1") == ["o1"]
    assert await ward.count(readings) == 0
    homes = await report_homes(ward.database, ORGANIZATION)
    reasons = list(homes["Observation"].reasons)
    assert any("patient_wearable_readings of this metric by day only" in reason for reason in reasons)
    await ward.set({})
    await ward.put("Observation/o1", written(status="corrected"))
    assert await ward.count(readings) == 1, "home is looked for again at the next update"
    assert (await ward.check()).agrees


async def test_map_T2_an_update_that_would_hide_a_reading_is_refused(ward: Ward) -> None:
    await ward.set({"metrics": {"weight": "daily"}})
    await ward.put("Observation/o1", written("body_fat"))
    assert await ward.count(readings) == 1
    with pytest.raises(MappingRefused, match="by day only"):
        await ward.put("Observation/o1", written("weight"))
    assert (await ward.read("Observation/o1"))["code"]["coding"][0]["code"] == "41982-0"


async def test_map_T2_a_withdrawn_reading_is_not_written_over_while_its_row_is_there(ward: Ward) -> None:
    await ward.foreign(reading("r1"))
    await ward.set({"metrics": {"weight": "daily"}})
    await ward.foreign(reading("r2"))
    for key in ("r1", "r2"):
        with pytest.raises(MappingRefused, match="by day only"):
            await ward.put(f"Observation/{key}", written())
    assert await ward.delete("Observation/r1")
    assert await ward.count(readings) == 2
    await ward.foreign("DELETE FROM patient_wearable_readings")
    await ward.put("Observation/r1", written())
    assert (await ward.read("Observation/r1"))["status"] == "final"
    assert (await ward.check()).agrees


async def test_map_T2_a_withdrawn_reading_that_gets_a_shown_metric_is_shown_again(ward: Ward) -> None:
    await ward.put("Observation/o1", written(note=[{"text": "after breakfast"}]))
    await ward.set({"metrics": {"weight": "daily"}})
    await ward.put("Observation/o1", written("body_fat"))
    assert (await ward.read("Observation/o1"))["code"]["coding"][0]["code"] == "41982-0"
    assert await ward.count(readings) == 1
    assert (await ward.check()).agrees


async def test_map_T2_no_superseded_version_is_kept_whatever_takes_its_place(ward: Ward) -> None:
    await ward.foreign(reading("r1"), reading("r2"), reading("r3"))
    await ward.foreign("UPDATE patient_wearable_readings SET value = '70'")
    await ward.foreign("DELETE FROM patient_wearable_readings WHERE id = 'r1'")
    await ward.delete("Observation/r2")
    await ward.set({"default": "daily"})
    observations = select(func.count()).where(history.c.resource_type == "Observation")
    assert (await ward.execute(observations))[0][0] == 0
    assert await ward.versions("Observation/r1") == [3]


# ---- days that are still open --------------------------------------------------------------------------------------


async def test_map_T3_an_open_day_appears_at_once_as_preliminary(ward: Ward) -> None:
    await ward.foreign(day())
    assert await ward.version("Observation/d1") == ("1", "preliminary")


async def test_map_T3_an_open_day_is_shown_at_most_every_quarter_of_an_hour(ward: Ward) -> None:
    await ward.foreign(day())
    for value in ("62", "63", "64"):
        await ward.foreign(average(value))
        ward.clock.shift += 4 * MINUTE
    assert await ward.version("Observation/d1") == ("1", "preliminary")
    assert (await ward.check()).agrees
    assert await ward.projector.drain() == 0
    ward.clock.shift += 4 * MINUTE
    assert await ward.projector.drain() == 1
    assert await ward.version("Observation/d1") == ("2", "preliminary")
    assert (await ward.read("Observation/d1"))["valueQuantity"]["value"] == 64
    assert await ward.count(projections_due) == 0
    assert (await ward.check()).agrees


async def test_map_T3_the_rhythm_holds_for_the_servers_own_writers_too(ward: Ward) -> None:
    row = WearableDailyStat(
        "d1", ORGANIZATION, "c1", date(2026, 3, 20), "steps", "count", sum_value=Decimal(100), count=1
    )  # fmt: skip
    for total in (100, 200, 300):
        async with ward.database.begin(ORGANIZATION, CHANGE) as unit:
            await DailyStatRepository(unit).record(replace(row, sum_value=Decimal(total)))
    assert await ward.version("Observation/d1") == ("1", "preliminary")
    ward.clock.shift = 16 * MINUTE
    await ward.projector.drain()
    assert await ward.version("Observation/d1") == ("2", "preliminary")


async def test_map_T3_what_changes_nothing_that_shows_is_not_remembered(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign("UPDATE patient_wearable_daily_stats SET metadata = '{\"a\": 1}'")
    assert await ward.count(projections_due) == 0


async def test_map_T3_what_is_to_be_shown_later_outlives_the_process(ward: Ward) -> None:
    await ward.foreign(day(), average("62"))
    await ward.foreign(average("63"))
    assert await ward.count(projections_due) == 1
    successor = Projector(await again(ward))
    assert await successor.drain() == 0
    ward.clock.shift = 16 * MINUTE
    assert await successor.drain() == 1
    assert (await ward.read("Observation/d1"))["valueQuantity"]["value"] == 63


async def test_map_T3_closing_the_day_shows_at_once_as_final(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    await ward.foreign(CLOSING)
    assert await ward.version("Observation/d1") == ("2", "final")
    assert (await ward.read("Observation/d1"))["valueQuantity"]["value"] == 62
    ward.clock.shift = 16 * MINUTE
    await ward.projector.drain()
    assert await ward.version("Observation/d1") == ("2", "final")
    assert await ward.count(projections_due) == 0


async def test_map_T3_a_repository_closes_a_day_as_final_and_corrects_it_with_late_data(ward: Ward) -> None:
    row = WearableDailyStat(
        "d1", ORGANIZATION, "c1", date(2026, 3, 20), "steps", "count", sum_value=Decimal(100), count=1
    )  # fmt: skip
    async with ward.database.begin(ORGANIZATION, CHANGE) as unit:
        await DailyStatRepository(unit).record(row)
    closed = replace(row, sum_value=Decimal(200), closed_at=datetime(2026, 3, 21, tzinfo=UTC))
    for late, status in ((closed, "final"), (closed, "final"), (row, "corrected"), (row, "corrected")):
        async with ward.database.begin(ORGANIZATION, CHANGE) as unit:
            await DailyStatRepository(unit).record(late)
        assert (await ward.version("Observation/d1"))[1] == status
    assert await ward.versions("Observation/d1") == [3]
    assert (await ward.check()).agrees


async def test_map_T3_late_data_corrects_a_closed_day_at_once_whoever_writes_it(ward: Ward) -> None:
    await ward.foreign(day(closed="'2026-03-21T00:10:00.000000Z'"))
    assert await ward.version("Observation/d1") == ("1", "final")
    await ward.foreign("UPDATE patient_wearable_daily_stats SET updated_at = '2031-01-01T00:00:00.000000Z'")
    assert await ward.version("Observation/d1") == ("1", "final")
    await ward.foreign(average("70"))
    assert await ward.version("Observation/d1") == ("2", "corrected")
    await ward.foreign(average("71"), "UPDATE patient_wearable_daily_stats SET corrected = NOT corrected")
    assert await ward.version("Observation/d1") == ("3", "corrected")
    await ward.foreign("UPDATE patient_wearable_daily_stats SET closed_at = NULL")
    await ward.foreign(CLOSING)
    assert (await ward.version("Observation/d1"))[1] == "final"


async def test_map_T3_reconcile_calls_no_row_wrong_that_waits_and_fix_shows_it(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    assert (await ward.check()).agrees
    assert await ward.version("Observation/d1") == ("1", "preliminary")
    assert (await ward.check(fix=True)).agrees
    assert (await ward.read("Observation/d1"))["valueQuantity"]["value"] == 62


async def test_map_T3_a_row_that_waits_and_that_nobody_remembers_is_wrong(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    ward.sql("DELETE FROM projections_due")
    assert (await ward.check()).examples == ["outdated: Observation/d1"]
    await ward.check(fix=True)
    assert (await ward.check()).agrees


async def test_map_T3_a_row_that_is_overdue_is_wrong_until_it_is_shown(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    ward.clock.shift = 16 * MINUTE
    assert (await ward.check()).examples == ["outdated: Observation/d1"]
    await ward.projector.drain()
    assert (await ward.check()).agrees


async def test_map_T3_a_row_that_was_deleted_while_it_waited_takes_its_resource_along(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    await ward.foreign("DELETE FROM patient_wearable_daily_stats")
    with pytest.raises(ResourceGone):
        await ward.read("Observation/d1")
    ward.clock.shift = 16 * MINUTE
    await ward.projector.drain()
    assert (await ward.check()).agrees


async def test_map_T3_what_a_client_writes_shows_at_once_and_undoes_nothing_it_has_not_seen(ward: Ward) -> None:
    await ward.foreign(day())
    seen = await ward.read("Observation/d1")
    await ward.foreign("UPDATE patient_wearable_daily_stats SET avg_value = '64', count = 4")
    await ward.put("Observation/d1", {**seen, "note": [{"text": "felt well"}]}, expected_version=1)
    shown = await ward.read("Observation/d1")
    assert (shown["note"], shown["valueQuantity"]["value"]) == ([{"text": "felt well"}], 64)
    (row,) = await ward.execute(select(stats.c.avg_value, stats.c.count))
    assert tuple(row) == (64, 4)
    assert (await ward.check()).agrees
    ward.clock.shift = 16 * MINUTE
    await ward.projector.drain()
    assert await ward.version("Observation/d1") == ("2", "preliminary")


@pytest.mark.parametrize("by", ["client", "another program"])
async def test_map_T3_days_begin_by_another_clock_when_the_customer_moves(ward: Ward, by: str) -> None:
    await ward.foreign(day(closed="'2026-03-21T00:10:00.000000Z'"))
    if by == "client":
        patient = await ward.read("Patient/c1")
        (zone,) = [each for each in patient["extension"] if each["url"] == TIMEZONE]
        zone["valueCode"] = "Europe/Madrid"
        await ward.put("Patient/c1", patient)
        await ward.projector.drain()
    else:
        await ward.foreign("UPDATE customer_profiles SET timezone = 'Europe/Madrid'")
    assert (await ward.read("Observation/d1"))["effectivePeriod"]["start"] == "2026-03-20T00:00:00+01:00"
    assert (await ward.check()).agrees
    assert await ward.projector.drain() == 0
    await ward.foreign("UPDATE customer_profiles SET first_name = 'Janet'")
    assert await ward.version("Observation/d1") == ("2", "final")


async def test_map_T3_a_row_shown_in_between_waits_anew(ward: Ward) -> None:
    await ward.foreign(day())
    await ward.foreign(average("62"))
    await ward.execute(update(projections_due).values(due=0))  # as if it had been noted for an earlier version
    assert await ward.projector.drain() == 1
    assert await ward.version("Observation/d1") == ("1", "preliminary")
    assert await ward.count(projections_due) == 1
    assert (await ward.check()).agrees
