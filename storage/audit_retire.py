"""Removes months of the audit trail whose time is over (AD-5); everything else about the trail only grows.

It runs as the owner of the tables, for all organizations at once, in one transaction a database: on PostgreSQL whole
partitions are dropped, on SQLite (and in the default partition) the rows of whole months are deleted, with the trigger
that forbids it lifted within that transaction. Each organization keeps a retirement (`audit_retirements.py`), its
seals, and a record of the removal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, exc, func, insert, select, text

from storage.audit import AuditKey, AuditRecord
from storage.audit_partitions import partitions
from storage.audit_retirements import Retirement, retirements
from storage.audit_seals import FETCH, MAIN, Trail, enter, leaf
from storage.clock import IdSource, epoch_microseconds, microseconds_at
from storage.errors import AuditUnavailable, StorageError
from storage.legal_holds import Hold, covered_since, holds_in_force
from storage.tables.audit import audit_retirements, audit_seals, rbac_logs
from storage.transaction_ids import CURRENT, TRANSACTION_BITS
from storage.triggers import append_only_sqlite

MINIMUM_YEARS: Final = 7
"""AD-5: nothing younger can be removed, whatever is set."""
LOCK_SECONDS: Final = 2
"""How long records may wait for the lock that takes a month out; requests answer 503 after five."""
LOCK_ATTEMPTS: Final = 15
LOCK_PAUSE_SECONDS: Final = 1.0
_SEES_ALL: Final = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")


class RetirementRefused(StorageError):
    """Records may not be removed; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Retired:
    """What was, or would be, removed of one organization's trail; `before` is the first day that stays."""

    trail: str
    organization_id: str
    records: int
    before: date


def check_age(before: date, today: date, years: int) -> None:
    """Raise RetirementRefused when any record of before that day could be younger than it may be removed."""
    kept = max(years, MINIMUM_YEARS)
    latest = _years_before(today, kept)
    if before > latest:
        raise RetirementRefused(
            f"records are kept for {kept} years: what is from {latest} or later stays, and {before} is later than that"
        )


def _years_before(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year - years, day=28)


def survey(trail: Trail, before: date) -> list[Retired]:
    """Return what `retire` would remove; raises RetirementRefused, and AuditUnavailable when the database fails."""
    with _transaction(trail) as connection:
        limit = _limit(connection, before)
        return [] if limit is None else _concerned(trail, connection, limit)


def check_holds(trails: Sequence[Trail], before: date) -> None:
    """Raise RetirementRefused when a legal hold covers any record that would be removed; it names the holds."""
    with _transaction(trails[0]) as connection:  # the only one that has holds
        holds = holds_in_force(connection)
    held: list[tuple[Hold, int]] = []
    for trail in trails:
        with _transaction(trail) as connection:
            limit = _limit(connection, before)
            held += [] if limit is None else _held(connection, holds, limit)
    _refuse_held(held)


def _held(connection: Connection, holds: Sequence[Hold], limit: int) -> list[tuple[Hold, int]]:
    """Return the holds that cover records from before the limit, each with the instant of the oldest of them."""
    found = ((hold, covered_since(connection, hold, limit)) for hold in holds)
    return [(hold, since) for hold, since in found if since is not None]


def _refuse_held(held: Sequence[tuple[Hold, int]]) -> None:
    if not held:
        return
    named = dict.fromkeys(
        f"{hold.id} of {hold.organization_id} ({hold.customer_id or 'all records'})" for hold, _ in held
    )
    first = _day(min(since for _, since in held)).replace(day=1)
    raise RetirementRefused(f"legal holds cover them: {', '.join(named)}; what is before {first} is not held")


def retire(trail: Trail, before: date, key: AuditKey, record: AuditRecord) -> list[Retired]:
    """Remove the whole months before a day and return what was removed; all of it or, on any failure, nothing.

    `record` is what each organization's trail keeps of it, its organization and count filled in. Ages and holds are
    checked before (`check_age`, `check_holds`). Raises RetirementRefused when records are not sealed yet, and
    AuditUnavailable when the database fails or others hold the table.
    """
    with _transaction(trail) as connection:
        limit = _limit(connection, before)
        if limit is None:
            return []
        _check_holds_again(trail, connection, limit)
        months = _months(connection, limit)
        for name in months:
            connection.execute(text(f"LOCK TABLE {name} IN SHARE MODE"))  # what is counted is what is removed
        concerned = _concerned(trail, connection, limit)
        for each in concerned:
            enter(connection, each.organization_id)
            _note(connection, each, limit, key)
        if connection.dialect.name == "sqlite":
            _delete(connection, limit)
        else:
            _drop(connection, months, limit)
        for each in concerned:
            enter(connection, each.organization_id)
            own = msgspec.structs.replace(record, organization_id=each.organization_id, count=each.records)
            _record(connection, own, key)
        return concerned


def _check_holds_again(trail: Trail, connection: Connection, limit: int) -> None:
    """Look whether a hold came since; on PostgreSQL none can come from here on."""
    if trail.name != MAIN:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE legal_holds IN SHARE MODE"))
    _refuse_held(_held(connection, holds_in_force(connection), limit))


@contextmanager
def _transaction(trail: Trail) -> Iterator[Connection]:
    """Give a transaction that sees all organizations."""
    try:
        with trail.engine.execution_options(sealing=True).begin() as connection:
            if connection.dialect.name == "postgresql" and not connection.scalar(_SEES_ALL):
                raise RetirementRefused(
                    "row-level security hides rows from this role: retire as a superuser or a role with BYPASSRLS"
                )
            yield connection
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be changed now") from None


def _limit(connection: Connection, before: date) -> int | None:
    """Return the instant up to which whole months can be removed, in microseconds since 1970; None: there are none."""
    wanted = _instant(before.replace(day=1))
    if connection.dialect.name == "sqlite":
        oldest = connection.scalar(select(func.min(rbac_logs.c.at)))
        return wanted if oldest is not None and oldest < wanted else None
    return max((each.high for each in partitions(connection) if each.high <= wanted), default=None)


def _months(connection: Connection, limit: int) -> list[str]:
    if connection.dialect.name == "sqlite":
        return []
    return [each.name for each in partitions(connection) if each.high <= limit]


def _concerned(trail: Trail, connection: Connection, limit: int) -> list[Retired]:
    columns = rbac_logs.c
    counted = select(columns.organization_id, func.count()).where(columns.at < limit)
    grouped = counted.group_by(columns.organization_id).order_by(columns.organization_id)
    return [Retired(trail.name, name, count, _day(limit)) for name, count in connection.execute(grouped)]


def _note(connection: Connection, retired: Retired, limit: int, key: AuditKey) -> None:
    """Add the retirement of one organization: through which seal nothing is left, and the leaves beyond it."""
    before = retirements(connection, retired.organization_id)
    last = before[-1] if before else None
    through, seal_hash, last_id = _emptied(connection, retired.organization_id, limit)
    if last is not None and last.through_seal >= through:
        through, seal_hash = last.through_seal, last.seal_hash
    noted = Retirement(
        sequence=last.sequence + 1 if last else 1,
        before_at=limit,
        through_seal=through,
        seal_hash=seal_hash,
        records=retired.records,
        leaves=tuple(_leaves(connection, retired.organization_id, limit, last_id)),
        previous=last.hash if last else b"",
        retired_at=epoch_microseconds(),
    )
    noted = replace(noted, hash=noted.signed(retired.organization_id, key))
    connection.execute(insert(audit_retirements).values(**noted.row(retired.organization_id)))


def _emptied(connection: Connection, organization_id: str, limit: int) -> tuple[int, bytes, int]:
    """Return sequence, hash and last id of the last seal of which nothing is left; raises RetirementRefused."""
    columns, seals = rbac_logs.c, audit_seals.c
    mine = columns.organization_id == organization_id
    newest = connection.scalar(select(func.max(columns.id)).where(mine, columns.at < limit))
    sealed = connection.scalar(select(func.max(seals.last_id)).where(seals.organization_id == organization_id))
    if sealed is None or (newest is not None and newest > sealed):
        raise RetirementRefused(f"records of {organization_id} are not sealed yet: let the server run, and come again")
    staying = connection.scalar(select(func.min(columns.id)).where(mine, columns.at >= limit))
    emptied = select(seals.sequence, seals.hash, seals.last_id).where(seals.organization_id == organization_id)
    if staying is not None:
        emptied = emptied.where(seals.last_id < staying)
    found = connection.execute(emptied.order_by(seals.sequence.desc()).limit(1)).first()
    return (0, b"", -1) if found is None else (found.sequence, bytes(found.hash), found.last_id)


def _leaves(connection: Connection, organization_id: str, limit: int, after: int) -> Iterator[tuple[int, bytes]]:
    columns = rbac_logs.c
    beyond = select(*columns).where(columns.organization_id == organization_id, columns.id > after, columns.at < limit)
    for row in connection.execute(beyond.order_by(columns.id), execution_options={"yield_per": FETCH}):
        yield int(row[0]), leaf(row)


def _drop(connection: Connection, months: Sequence[str], limit: int) -> None:
    """Take the partitions out and drop them; nobody's records wait for the lock longer than a moment.

    What lies in the default partition is of months that were not made when it was written: it goes as rows.
    """
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with connection.begin_nested():
                connection.execute(text("LOCK TABLE rbac_logs IN ACCESS EXCLUSIVE MODE"))
                for name in months:
                    connection.execute(text(f"ALTER TABLE rbac_logs DETACH PARTITION {name}"))
                    connection.execute(text(f"DROP TABLE {name}"))
                connection.execute(text("ALTER TABLE rbac_logs_default DISABLE TRIGGER append_only"))
                connection.execute(text("DELETE FROM rbac_logs_default WHERE at < :limit"), {"limit": limit})
                connection.execute(text("ALTER TABLE rbac_logs_default ENABLE TRIGGER append_only"))
                return
        except exc.OperationalError:  # somebody reads the trail: exports and verifications take long
            if attempt == LOCK_ATTEMPTS:
                raise
            time.sleep(LOCK_PAUSE_SECONDS)


def _delete(connection: Connection, limit: int) -> None:
    """Delete the rows of SQLite, the trigger that forbids it lifted for as long."""
    trigger = next(each for each in append_only_sqlite(rbac_logs) if "BEFORE DELETE" in each)
    connection.execute(text(f"DROP TRIGGER {trigger.split()[2]}"))
    connection.execute(delete(rbac_logs).where(rbac_logs.c.at < limit))
    connection.exec_driver_sql(trigger)


def _record(connection: Connection, record: AuditRecord, key: AuditKey) -> None:
    """Insert the record of the removal into the transaction that removes."""
    if connection.dialect.name == "postgresql":
        clock = "(extract(epoch FROM clock_timestamp()) * 1000000)::int8"
        transaction, at = connection.execute(text(f"SELECT {CURRENT}, {clock}")).one()
        record_id = int(transaction) << TRANSACTION_BITS
    else:
        mine = rbac_logs.c.organization_id == record.organization_id
        latest = connection.scalar(select(func.coalesce(func.max(rbac_logs.c.id), 0)).where(mine)) or 0
        record_id, at = max(latest + 1, IdSource().surrogate()), epoch_microseconds()
    row = key.row(record, record_id, int(at))
    connection.execute(insert(rbac_logs).values(row))


def _instant(day: date) -> int:
    return microseconds_at(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _day(instant: int) -> date:
    return datetime.fromtimestamp(instant // 1_000_000, UTC).date()
