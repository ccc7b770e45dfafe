"""Seals over the audit trail (security AD-4, settled §4.7); `audit_verify.py` checks them.

A seal covers the records of one organization since the seal before: first and last id, their count, and the root, a
SHA-256 over ids and record hashes in order. It holds the hash of the seal before and an HMAC over itself, so a chain of
seals tells what was removed or inserted; the records' own HMACs tell what was altered. What is removed before it is
sealed, within about a second, is the residual risk.

This runs in a thread of its own, on connections of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    NullPool,
    Select,
    create_engine,
    event,
    exc,
    func,
    insert,
    make_url,
    or_,
    select,
    text,
)

from storage.audit import AuditKey
from storage.audit_sqlite import audit_path
from storage.clock import epoch_microseconds
from storage.errors import AuditUnavailable
from storage.tables.audit import audit_seals, rbac_logs
from storage.transaction_ids import OLDEST_RUNNING, TRANSACTION_BITS

MAIN: Final = "main"
"""The trail in the database itself; the only one on PostgreSQL."""
RECORDS_PER_SEAL: Final = 20_000
SLACK: Final = 40 * 86_400 * 1_000_000
"""Microseconds. A record whose instant lies further before the last seal than that is not looked for on PostgreSQL: the
months before are left alone. Only a clock that went back so far while two servers ran could make one."""
ENTER: Final = text(
    "SELECT set_config('app.organization_id', :organization_id, true), set_config('enable_sort', 'off', true)"
)
FETCH: Final = 2_000
"""Rows that are held in memory at a time."""


@dataclass(frozen=True, slots=True)
class Trail:
    """One database that holds audit records: `MAIN`, and on SQLite `reads`."""

    name: str
    engine: Engine


def open_trails(url: str, *, role: str | None) -> tuple[Trail, ...]:
    """Return the trails of a database; `role` is the role to take on PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        reads = parsed.set(database=str(audit_path(url)))
        return (
            Trail(MAIN, _sqlite_engine(str(parsed.database))),
            Trail("reads", _sqlite_engine(str(reads.database))),
        )
    options = {"options": f"-c role={role}"} if role else {}
    return (
        Trail(
            MAIN, create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=options)
        ),
    )


def _sqlite_engine(path: str) -> Engine:
    engine = create_engine(f"sqlite:///file:{path}?mode=rw&uri=true", poolclass=NullPool, connect_args={"timeout": 10})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")


def _begin(connection: Connection) -> None:
    sealing = connection.get_execution_options().get("sealing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if sealing else "BEGIN")


def seal(trail: Trail, organization_id: str, key: AuditKey) -> int:
    """Seal what an organization's trail holds unsealed and return how many records that were.

    Returns 0 when another process is at it. Raises AuditUnavailable when the database fails.
    """
    try:
        with trail.engine.execution_options(sealing=True).begin() as connection:
            if not _take_lease(connection, organization_id):
                return 0
            sealed = 0
            while count := _seal_some(connection, organization_id, key):
                sealed += count
            return sealed
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be sealed") from None


def _take_lease(connection: Connection, organization_id: str) -> bool:
    """Set the organization's context and keep other sealers out until the transaction ends."""
    if connection.dialect.name == "sqlite":
        return True  # BEGIN IMMEDIATE did
    enter(connection, organization_id)
    lease = text("SELECT pg_try_advisory_xact_lock(hashtext('audit_seals'), hashtext(:organization_id))")
    return bool(connection.scalar(lease, {"organization_id": organization_id}))


def enter(connection: Connection, organization_id: str) -> None:
    """Set the organization whose rows this transaction sees on PostgreSQL, and have them read in the order of the key.

    Sorting a whole trail would take its size in temporary files, and nothing could be shown before the end.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(ENTER, {"organization_id": organization_id})


def newest_seal(trail: Trail, organization_id: str) -> tuple[int, str] | None:
    """Return sequence and hash (hexadecimal) of a trail's newest seal; raises AuditUnavailable."""
    seals = audit_seals.c
    mine = select(seals.sequence, seals.hash).where(seals.organization_id == organization_id)
    try:
        with trail.engine.begin() as connection:
            enter(connection, organization_id)
            found = connection.execute(mine.order_by(seals.sequence.desc()).limit(1)).first()
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be read") from None
    return None if found is None else (found.sequence, bytes(found.hash).hex())


def _horizon(connection: Connection) -> int | None:
    """Return the id that every record of a running transaction reaches; None: there is none running."""
    if connection.dialect.name == "sqlite":
        return None
    oldest = connection.scalar(text(f"SELECT {OLDEST_RUNNING}"))
    return int(oldest or 0) << TRANSACTION_BITS


def _seal_some(connection: Connection, organization_id: str, key: AuditKey) -> int:
    last = connection.execute(
        select(audit_seals.c.sequence, audit_seals.c.last_id, audit_seals.c.hash, audit_seals.c.sealed_at)
        .where(audit_seals.c.organization_id == organization_id)
        .order_by(audit_seals.c.sequence.desc())
        .limit(1)
    ).first()
    sequence, last_id, previous = (last.sequence, last.last_id, bytes(last.hash)) if last else (0, -1, b"")
    horizon = _horizon(connection)
    if horizon is not None and horizon <= last_id:
        raise AuditUnavailable("transaction ids went back: start the server anew, see 'Restoring' in docs/security.md")
    since = None if horizon is None or not last else min(last.sealed_at, epoch_microseconds()) - SLACK
    root = hashlib.sha256()
    first_id, count = None, 0
    for record_id, mac in connection.execute(unsealed(organization_id, last_id, horizon, since)):
        first_id = record_id if first_id is None else first_id
        last_id = record_id
        count += 1
        root.update(leaf((record_id, mac) if mac else _whole(connection, organization_id, record_id)))
    if first_id is None:
        return 0
    content = (organization_id, sequence + 1, first_id, last_id, count, root.digest(), previous)
    sealed_at = epoch_microseconds()
    connection.execute(insert(audit_seals).values((*content, _signed(key, *content, sealed_at), sealed_at)))
    return count


def unsealed(organization_id: str, after: int, below: int | None, since: int | None) -> Select[int, bytes]:
    """Return the statement for ids and HMACs of the next records to seal.

    After the id of the last sealed one, below that of running transactions, and none from before the instant `since`.
    """
    columns = rbac_logs.c
    statement = select(columns.id, columns.mac).where(columns.organization_id == organization_id, columns.id > after)
    if below is not None:
        statement = statement.where(columns.id < below)
    if since is not None:
        statement = statement.where(columns.at >= since)
    return statement.order_by(columns.id).limit(RECORDS_PER_SEAL)


def _whole(connection: Connection, organization_id: str, record_id: int) -> Sequence[Any]:
    statement = select(*rbac_logs.columns).where(
        rbac_logs.c.organization_id == organization_id, rbac_logs.c.id == record_id
    )
    return connection.execute(statement).one()


def leaf(row: Sequence[Any]) -> bytes:
    """Return what the root takes of a record: its id and its HMAC, or the hash of one that came without."""
    mac = bytes(row[-1]) or hashlib.sha256(msgspec.json.encode(tuple(row[:-1]))).digest()
    return int(row[0]).to_bytes(8, "big") + mac


def seal_hash(key: AuditKey, found: Any) -> bytes:
    """Return the hash that a row of `audit_seals` must have."""
    *columns, _, sealed_at = found
    content = (bytes(each) if isinstance(each, memoryview) else each for each in columns)
    return _signed(key, *content, sealed_at)


def _signed(key: AuditKey, *content: str | int | bytes) -> bytes:
    """Return the HMAC over all other columns of a seal, in order."""
    return key.mac(("seal", *(each.hex() if isinstance(each, bytes) else each for each in content)))


def concerns(dialect: str, customer_id: str) -> ColumnElement[bool]:
    """Return the condition that a record is about a patient, alone or among others."""
    position = func.strpos if dialect == "postgresql" else func.instr
    among = position(rbac_logs.c.patients, msgspec.json.encode(customer_id).decode()) > 0
    return or_(rbac_logs.c.customer_id == customer_id, among)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records to export: of an instant in [since, until), in microseconds since 1970; None means any."""

    since: int | None = None
    until: int | None = None
    patient: str | None = None
    actor: str | None = None
    action: str | None = None

    def conditions(self, dialect: str) -> list[ColumnElement[bool]]:
        """Return what a record has to meet."""
        columns = rbac_logs.c
        wanted = [
            None if self.since is None else columns.at >= self.since,
            None if self.until is None else columns.at < self.until,
            None if self.patient is None else concerns(dialect, self.patient),
            None if self.actor is None else columns.actor_id == self.actor,
            None if self.action is None else columns.action == self.action,
        ]
        return [each for each in wanted if each is not None]


EVERYTHING: Final = Chosen()


def export(trail: Trail, organization_id: str, chosen: Chosen = EVERYTHING) -> Iterator[dict[str, Any]]:
    """Give an organization's records in the order of their ids, HMAC in hexadecimal; raises AuditUnavailable."""
    names = rbac_logs.columns.keys()
    mine = select(*rbac_logs.columns).where(rbac_logs.c.organization_id == organization_id)
    wanted = mine.where(*chosen.conditions(trail.engine.dialect.name)).order_by(rbac_logs.c.id)
    try:
        with trail.engine.begin() as connection:
            enter(connection, organization_id)
            for row in connection.execute(wanted, execution_options={"yield_per": FETCH}):
                yield {**dict(zip(names, row, strict=True)), "mac": bytes(row[-1]).hex()}
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be read") from None
