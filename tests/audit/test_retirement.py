"""Seven years, and not a day less: months that are retired, what they leave, and legal holds (security AD-5)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import date
from functools import partial

import psycopg
import pytest
from sqlalchemy import make_url

from storage.audit_retire import RetirementRefused, check_age, check_holds, retire, survey
from storage.audit_seals import Trail, export, open_trails, seal
from storage.audit_verify import Fault, verify
from storage.engine import Database
from storage.legal_holds import Hold, holds_of, place, release
from storage.rls import ROLE
from storage.transaction import Change
from tests.audit.ages import age, instant, write
from tests.audit.conftest import KEY, a_record, faults, intrude

RECORD = a_record(99, resource="audit_log", action="delete", interaction="retire", customer_id=None)
MARCH = date(2017, 3, 1)


@pytest.fixture
def old(fresh_database_url: str, monkeypatch) -> Trail:
    """Records of three months of 2017 and one of 2020, in three seals; the second covers the end of February.

    Ids and instants do not ascend together at the turn of the month, as transactions take their time.
    """
    monkeypatch.setattr("storage.audit_seals.SLACK", instant("1990-01-01"))  # seals are of today
    age(fresh_database_url)
    (trail, *_) = open_trails(fresh_database_url, role=ROLE)
    _add(fresh_database_url, (1, "2017-01-05"), (2, "2017-01-31T23:59:59"))
    assert seal(trail, "loop-health", KEY) == 2
    times = [(3, "2017-02-10"), (4, "2017-03-01T00:00:01"), (5, "2017-02-28T23:59:59"), (6, "2017-03-02")]
    _add(fresh_database_url, *times)
    assert seal(trail, "loop-health", KEY) == 4
    _add(fresh_database_url, (7, "2017-03-20"), (8, "2020-07-01"))
    assert seal(trail, "loop-health", KEY) == 2
    return trail


def _add(url: str, *records: tuple[int, str]) -> None:
    for record_id, at in records:
        write(url, a_record(record_id, customer_id=f"p{record_id}"), record_id, at)


@pytest.fixture
def owner(fresh_database_url: str, old: Trail) -> Trail:
    """The trail as its owner opens it."""
    return open_trails(fresh_database_url, role=None)[0]


@pytest.fixture
def tamper(fresh_database_url: str) -> Callable[..., None]:
    """Alters the trail in the database itself."""
    url = make_url(fresh_database_url)
    return partial(intrude, fresh_database_url, url.database if url.get_backend_name() == "sqlite" else None)


def ids(trail: Trail) -> list[int]:
    return [row["id"] for row in export(trail, "loop-health") if row["id"] < 100]


def test_security_AD5_whole_months_go_and_what_stays_verifies(old: Trail, owner: Trail):
    (retired,) = retire(owner, date(2017, 3, 17), KEY, RECORD)
    assert (retired.organization_id, retired.records, retired.before) == ("loop-health", 4, MARCH)
    assert ids(old) == [4, 6, 7, 8]
    result = verify(old, "loop-health", KEY)
    assert not result.findings
    assert (result.retired, result.records, result.seals, result.unsealed) == (4, 5, 3, 1)
    assert result.head is not None
    assert result.head.startswith("3:")


def test_security_AD5_the_removal_is_recorded_and_sealed(old: Trail, owner: Trail):
    retire(owner, MARCH, KEY, RECORD)
    assert seal(old, "loop-health", KEY) == 1
    (record,) = [row for row in export(old, "loop-health") if row["resource"] == "audit_log"]
    assert (record["action"], record["interaction"], record["count"]) == ("delete", "retire", 4)
    assert not faults(old)


def test_security_AD5_records_of_a_month_that_was_not_made_go_too(fresh_database_url: str, old: Trail, owner: Trail):
    """They lie in the default partition, like those of a month in which a command ran and no server yet."""
    if fresh_database_url.startswith("sqlite"):
        pytest.skip("SQLite has no months")
    with psycopg.connect(fresh_database_url) as connection:
        connection.execute("ALTER TABLE rbac_logs DETACH PARTITION rbac_logs_2017_02")
        connection.execute("INSERT INTO rbac_logs_default SELECT * FROM rbac_logs_2017_02")
        connection.execute("DROP TABLE rbac_logs_2017_02")
    (retired,) = retire(owner, date(2017, 4, 1), KEY, RECORD)
    assert retired.records == 7
    assert ids(old) == [8]
    assert not faults(old)
    with (
        psycopg.connect(fresh_database_url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
    ):
        connection.execute("DELETE FROM rbac_logs_default")


def test_security_AD5_one_retirement_follows_the_other(old: Trail, owner: Trail):
    for month, left in ((2, [3, 4, 5, 6, 7, 8]), (3, [4, 6, 7, 8]), (4, [8])):
        retire(owner, date(2017, month, 1), KEY, RECORD)
        assert ids(old) == left
        assert not faults(old)
    seal(old, "loop-health", KEY)
    result = verify(old, "loop-health", KEY)
    assert (result.findings, result.retired, result.unsealed) == ((), 7, 0)


def test_security_AD5_retiring_the_same_months_again_does_nothing(old: Trail, owner: Trail):
    retire(owner, MARCH, KEY, RECORD)
    assert retire(owner, MARCH, KEY, RECORD) == []
    assert survey(owner, MARCH) == []
    assert not faults(old)


def test_a_survey_removes_nothing(old: Trail, owner: Trail):
    (would,) = survey(owner, MARCH)
    assert (would.records, would.before) == (4, MARCH)
    assert ids(old) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM rbac_logs WHERE id = 4", Fault.REMOVED),
        ("DELETE FROM rbac_logs WHERE id = 8", Fault.REMOVED),
        ("UPDATE rbac_logs SET actor_id = 'other' WHERE id = 6", Fault.ALTERED),
        ("DELETE FROM audit_retirements", Fault.REMOVED),
        ("UPDATE audit_retirements SET through_seal = 2", Fault.RETIREMENT_BROKEN),
        ("UPDATE audit_retirements SET leaves = seal_hash", Fault.RETIREMENT_BROKEN),
        ("UPDATE audit_retirements SET organization_id = 'health-hub'", Fault.REMOVED),
        ("DELETE FROM audit_seals WHERE sequence = 1", Fault.SEAL_BROKEN),
        ("DELETE FROM audit_seals", Fault.RETIREMENT_BROKEN),
    ],
)
def test_security_AD4_what_is_done_by_hand_near_a_retirement_is_found(
    old: Trail, owner: Trail, tamper, statement: str, fault: Fault
):
    retire(owner, MARCH, KEY, RECORD)
    tamper(statement)
    assert fault in faults(old)


def test_security_AD4_a_record_put_into_a_retired_month_is_found(old: Trail, owner: Trail, fresh_database_url: str):
    kept = a_record(1, customer_id="p1")
    retire(owner, MARCH, KEY, RECORD)
    write(fresh_database_url, kept, 1, "2017-01-05")  # exactly what was there
    assert faults(old) == {Fault.INSERTED}


def test_security_AD5_records_that_are_not_sealed_stay(owner: Trail, old: Trail, fresh_database_url: str):
    _add(fresh_database_url, (9, "2017-02-03"))
    with pytest.raises(RetirementRefused, match="not sealed"):
        retire(owner, MARCH, KEY, RECORD)
    assert ids(old) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_security_AD5_the_trail_refuses_changes_again_afterwards(old: Trail, owner: Trail, fresh_database_url: str):
    retire(owner, MARCH, KEY, RECORD)
    if fresh_database_url.startswith("postgresql"):
        with psycopg.connect(fresh_database_url) as connection, pytest.raises(psycopg.Error, match="append-only"):
            connection.execute("DELETE FROM rbac_logs")
    else:
        connection = sqlite3.connect(str(make_url(fresh_database_url).database))
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute("DELETE FROM rbac_logs")
        connection.close()


def test_security_AD5_the_servers_role_cannot_retire(old: Trail):
    if old.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no roles")
    with pytest.raises(RetirementRefused, match="row-level security"):
        retire(old, MARCH, KEY, RECORD)


@pytest.mark.parametrize(
    ("before", "years", "allowed"),
    [
        (date(2019, 11, 1), 7, True),
        (date(2019, 11, 22), 7, True),
        (date(2019, 11, 23), 7, False),
        (date(2026, 1, 1), 7, False),
        (date(2019, 11, 1), 1, True),
        (date(2020, 1, 1), 1, False),
        (date(2016, 11, 22), 10, True),
        (date(2017, 1, 1), 10, False),
    ],
)
def test_security_AD5_nothing_younger_than_seven_years_can_be_removed(before: date, years: int, allowed: bool):
    today = date(2026, 11, 22)
    if allowed:
        check_age(before, today, years)
    else:
        with pytest.raises(RetirementRefused, match=f"kept for {max(years, 7)} years"):
            check_age(before, today, years)


def test_seven_years_before_a_leap_day():
    check_age(date(2021, 2, 28), date(2028, 2, 29), 7)
    with pytest.raises(RetirementRefused):
        check_age(date(2021, 3, 1), date(2028, 2, 29), 7)


@pytest.mark.parametrize(
    ("organization", "patient", "held"),
    [
        ("loop-health", None, True),
        ("loop-health", "p5", True),
        ("loop-health", "p6", False),
        ("loop-health", "p", False),
        ("health-hub", None, False),
    ],
)
async def test_security_AD5_what_a_hold_covers_stays_until_it_is_released(
    fresh_database: Database, change: Change, owner: Trail, old: Trail, organization: str, patient: str, held: bool
):
    async with fresh_database.begin(organization, change) as unit:
        await place(unit, Hold(organization, "h1", patient, "a lawsuit", unit.now * 1000))
    if not held:
        check_holds([owner], MARCH)
        assert len(retire(owner, MARCH, KEY, RECORD)) == 1
        return
    first = "2017-02-01" if patient else "2017-01-01"
    for refused in (lambda: check_holds([owner], MARCH), lambda: retire(owner, MARCH, KEY, RECORD)):
        with pytest.raises(RetirementRefused, match=f"h1 of loop-health.*before {first} is not held"):
            refused()
    assert ids(old) == [1, 2, 3, 4, 5, 6, 7, 8]
    async with fresh_database.begin(organization, change) as unit:
        released = await release(unit, "h1", "settled")
        assert released is not None
        assert await release(unit, "h1", "again") is None
    assert len(retire(owner, MARCH, KEY, RECORD)) == 1
    (hold,) = await holds_of(fresh_database, ["loop-health", "health-hub"])
    assert (hold.release_reason, hold.released_at is not None) == ("settled", True)


async def test_security_AD5_a_hold_covers_records_that_show_many_patients(
    fresh_database: Database, change: Change, owner: Trail, old: Trail, fresh_database_url: str
):
    write(fresh_database_url, a_record(9, customer_id=None, patients=["q1", "q2"]), 9, "2017-01-09")
    seal(old, "loop-health", KEY)
    async with fresh_database.begin("loop-health", change) as unit:
        await place(unit, Hold("loop-health", "h2", "q2", "a lawsuit", unit.now * 1000))
    with pytest.raises(RetirementRefused, match="h2"):
        check_holds([owner], MARCH)


def test_disabling_an_organization_removes_nothing_of_its_trail(old: Trail, fresh_database_url: str):
    """There is no command that deletes a tenant (AD-5); a tenant that is off keeps its trail."""
    statement = "UPDATE organizations SET is_active = false WHERE id = 'loop-health'"
    if fresh_database_url.startswith("postgresql"):
        with psycopg.connect(fresh_database_url) as connection:
            connection.execute(statement)
    else:
        with sqlite3.connect(str(make_url(fresh_database_url).database)) as connection:
            connection.execute(statement)
    assert ids(old) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not faults(old)
