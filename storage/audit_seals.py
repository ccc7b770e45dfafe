"""Seals over the audit trail, and their verification (security AD-4, settled §4.7).

A seal covers the records of one organization since the seal before: first and last id, their count, and the root, a
SHA-256 over ids and record hashes in order. It holds the hash of the seal before and an HMAC over itself, so a chain of
seals tells what was removed or inserted; the records' own HMACs tell what was altered. What is removed before it is
sealed, within about a second, is the residual risk.

This runs in a thread of its own, on connections of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, NullPool, Select, create_engine, event, exc, insert, make_url, select, text

from storage.audit import AuditKey
from storage.audit_sqlite import audit_path
from storage.errors import AuditUnavailable
from storage.tables.audit import audit_seals, rbac_logs
from storage.transaction_ids import OLDEST_RUNNING, TRANSACTION_BITS

RECORDS_PER_SEAL: Final = 20_000
_FETCH: Final = 2_000


class Fault(StrEnum):
    """What verification can find."""

    ALTERED = "altered"
    """A record does not say what was recorded, or was recorded elsewhere."""
    REMOVED = "removed"
    """A sealed range holds fewer records than were sealed."""
    INSERTED = "inserted"
    """A sealed range holds more records than were sealed."""
    REPLACED = "replaced"
    """A sealed range holds as many records as were sealed, but other ones or in another order."""
    SEAL_BROKEN = "seal broken"
    """A seal was altered or removed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault; `first_id` and `last_id` tell where, `sequence` in which seal (None: not sealed yet)."""

    fault: Fault
    trail: str
    first_id: int
    last_id: int
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at in one trail, what is wrong with it, and its newest seal, to be kept elsewhere."""

    trail: str
    records: int
    seals: int
    unsealed: int
    findings: tuple[Finding, ...]
    head: str | None


@dataclass(frozen=True, slots=True)
class Trail:
    """One database that holds audit records: `main`, and on SQLite `reads`."""

    name: str
    engine: Engine


def open_trails(url: str, *, role: str | None) -> tuple[Trail, ...]:
    """Return the trails of a database; `role` is the role to take on PostgreSQL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        reads = parsed.set(database=str(audit_path(url)))
        return (
            Trail("main", _sqlite_engine(str(parsed.database))),
            Trail("reads", _sqlite_engine(str(reads.database))),
        )
    options = {"options": f"-c role={role}"} if role else {}
    return (
        Trail(
            "main", create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=NullPool, connect_args=options)
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
    _enter(connection, organization_id)
    lease = text("SELECT pg_try_advisory_xact_lock(hashtext('audit_seals'), hashtext(:organization_id))")
    return bool(connection.scalar(lease, {"organization_id": organization_id}))


def _enter(connection: Connection, organization_id: str) -> None:
    if connection.dialect.name == "postgresql":
        context = text("SELECT set_config('app.organization_id', :organization_id, true)")
        connection.execute(context, {"organization_id": organization_id})


def _horizon(connection: Connection) -> int | None:
    """Return the id that every record of a running transaction reaches; None: there is none running."""
    if connection.dialect.name == "sqlite":
        return None
    oldest = connection.scalar(text(f"SELECT {OLDEST_RUNNING}"))
    return int(oldest or 0) << TRANSACTION_BITS


def _seal_some(connection: Connection, organization_id: str, key: AuditKey) -> int:
    last = connection.execute(
        select(audit_seals.c.sequence, audit_seals.c.last_id, audit_seals.c.hash)
        .where(audit_seals.c.organization_id == organization_id)
        .order_by(audit_seals.c.sequence.desc())
        .limit(1)
    ).first()
    sequence, last_id, previous = (last.sequence, last.last_id, bytes(last.hash)) if last else (0, -1, b"")
    horizon = _horizon(connection)
    if horizon is not None and horizon <= last_id:
        raise AuditUnavailable("transaction ids went back: start the server anew, see 'Restoring' in docs/security.md")
    root = hashlib.sha256()
    first_id, count = None, 0
    for record_id, mac in connection.execute(_unsealed(organization_id, last_id, horizon)):
        first_id = record_id if first_id is None else first_id
        last_id = record_id
        count += 1
        root.update(leaf((record_id, mac) if mac else _whole(connection, organization_id, record_id)))
    if first_id is None:
        return 0
    content = (organization_id, sequence + 1, first_id, last_id, count, root.digest(), previous)
    sealed_at = time.time_ns() // 1000
    connection.execute(insert(audit_seals).values((*content, key.mac(_sealed(*content, sealed_at)), sealed_at)))
    return count


def _unsealed(organization_id: str, after: int, below: int | None) -> Select[int, bytes]:
    columns = rbac_logs.c
    statement = select(columns.id, columns.mac).where(columns.organization_id == organization_id, columns.id > after)
    if below is not None:
        statement = statement.where(columns.id < below)
    return statement.order_by(columns.id).limit(RECORDS_PER_SEAL)


def _whole(connection: Connection, organization_id: str, record_id: int) -> Sequence[Any]:
    statement = select(*rbac_logs.columns).where(
        rbac_logs.c.organization_id == organization_id, rbac_logs.c.id == record_id
    )
    return connection.execute(statement).one()


def _records(connection: Connection, organization_id: str, after: int, below: int | None) -> Iterator[Sequence[Any]]:
    """Give whole records in the order of their ids, a few at a time."""
    statement = select(*rbac_logs.columns).where(rbac_logs.c.organization_id == organization_id, rbac_logs.c.id > after)
    if below is not None:
        statement = statement.where(rbac_logs.c.id < below)
    yield from connection.execution_options(yield_per=_FETCH).execute(statement.order_by(rbac_logs.c.id))


def leaf(row: Sequence[Any]) -> bytes:
    """Return what the root takes of a record: its id and its HMAC, or the hash of one that came without."""
    mac = bytes(row[-1]) or hashlib.sha256(msgspec.json.encode(tuple(row[:-1]))).digest()
    return int(row[0]).to_bytes(8, "big") + mac


def _sealed(*content: str | int | bytes) -> tuple[str | int, ...]:
    """Return what the HMAC of a seal covers: all its other columns, in order."""
    return ("seal", *(each.hex() if isinstance(each, bytes) else each for each in content))


def verify(trail: Trail, organization_id: str, key: AuditKey) -> Verification:
    """Check every record and seal of an organization's trail; raises AuditUnavailable when the database fails."""
    try:
        with trail.engine.begin() as connection:
            _enter(connection, organization_id)
            return _Verifier(trail.name, organization_id, key).run(connection)
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be read") from None


class _Verifier:
    """Walks seals and records once, side by side, in the order of their ids."""

    def __init__(self, trail: str, organization_id: str, key: AuditKey) -> None:
        self._trail = trail
        self._organization_id = organization_id
        self._key = key
        self._findings: list[Finding] = []
        self._signed_before = False
        self._records = 0

    def run(self, connection: Connection) -> Verification:
        seals = connection.execute(
            select(audit_seals)
            .where(audit_seals.c.organization_id == self._organization_id)
            .order_by(audit_seals.c.sequence)
        ).all()
        sequence, after, previous = 0, -1, b""
        for found in seals:
            self._check_seal(found, sequence + 1, after, previous)
            self._check_range(connection, found, after)
            sequence, after, previous = found.sequence, max(after, found.last_id), bytes(found.hash)
        unsealed = 0
        for row in _records(connection, self._organization_id, after, None):
            self._look_at(row, None)
            unsealed += 1
        head = f"{sequence}:{previous.hex()}" if seals else None
        return Verification(self._trail, self._records, len(seals), unsealed, tuple(self._findings), head)

    def _check_seal(self, found: Any, sequence: int, after: int, previous: bytes) -> None:
        *columns, hash_, sealed_at = found
        content = (bytes(each) if isinstance(each, memoryview) else each for each in columns)
        whole = hmac.compare_digest(self._key.mac(_sealed(*content, sealed_at)), bytes(hash_))
        linked = found.sequence == sequence and bytes(found.previous) == previous and found.first_id > after
        if not (whole and linked):
            self._add(Fault.SEAL_BROKEN, found.first_id, found.last_id, found.sequence)

    def _check_range(self, connection: Connection, found: Any, after: int) -> None:
        root, count = hashlib.sha256(), 0
        for row in _records(connection, self._organization_id, after, found.last_id + 1):
            self._look_at(row, found.sequence)
            root.update(leaf(row))
            count += 1
        if count != found.count:
            fault = Fault.REMOVED if count < found.count else Fault.INSERTED
            self._add(fault, found.first_id, found.last_id, found.sequence)
        elif root.digest() != bytes(found.root):
            self._add(Fault.REPLACED, found.first_id, found.last_id, found.sequence)

    def _look_at(self, row: Sequence[Any], sequence: int | None) -> None:
        """Check one record; one without HMAC can only have come with an import, before any was signed here."""
        self._records += 1
        signed = bool(row[-1])
        holds = self._key.holds(row) if signed else not self._signed_before
        if not holds:
            self._add(Fault.ALTERED, row[0], row[0], sequence)
        self._signed_before = self._signed_before or signed

    def _add(self, fault: Fault, first_id: int, last_id: int, sequence: int | None) -> None:
        self._findings.append(Finding(fault, self._trail, first_id, last_id, sequence))


def export(trail: Trail, organization_id: str) -> Iterator[dict[str, Any]]:
    """Give an organization's records in the order of their ids, HMAC in hexadecimal; raises AuditUnavailable."""
    try:
        with trail.engine.begin() as connection:
            _enter(connection, organization_id)
            for row in _records(connection, organization_id, -1, None):
                yield {**dict(zip(rbac_logs.columns.keys(), row, strict=True)), "mac": bytes(row[-1]).hex()}
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be read") from None
