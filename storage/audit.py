"""The audit trail: who did what to whose data, durable before the answer leaves (security §6, settled §4.7).

Records of writes are inserted in the writing transaction; records of reads go through `AuditWriter`, which commits them
in groups: a batch leaves when the previous commit returned, or a moment later where others are about to join it. Each
record carries an HMAC over everything it says, its id and its instant included, so none can be altered, copied or
moved. `audit_seals.py` seals them.

Ids ascend with commits: on PostgreSQL they are made of the transaction id, so that nothing can appear below the oldest
running transaction; on SQLite, where writers take turns, each is above the one before.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import bindparam, func, select

from storage.errors import AuditUnavailable
from storage.sql import Prepared, prepare
from storage.tables.audit import rbac_logs
from storage.transaction import UnitOfWork
from storage.transaction_ids import TRANSACTION_BITS

MAXIMUM_IDS: Final = 100
MAXIMUM_TEXT: Final = 256
_COLUMNS: Final = tuple(column.name for column in rbac_logs.columns)


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One access. No values and no names: ids, and which words of the interface were used.

    `customer_id` is the one patient concerned; `patients` all of them when they are several. `resource` is a resource
    type or a resource of an internal API, `resource_ids` what was touched or returned (the first 100 are kept),
    `count` how many a search returned. `action` is read, write, delete or export, `outcome` allowed or denied, `status`
    the HTTP status, `path` a template without ids, `grant_id` the id of the access token.
    """

    organization_id: str
    actor_id: str
    actor_role: str
    resource: str
    action: str
    outcome: str = "allowed"
    client_id: str | None = None
    customer_id: str | None = None
    patients: Sequence[str] = ()
    resource_ids: Sequence[str] = ()
    interaction: str | None = None
    status: int | None = None
    count: int | None = None
    request_id: str | None = None
    method: str | None = None
    path: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    purpose: str | None = None
    grant_id: str | None = None


Row = tuple[Any, ...]


class AuditKey:
    """Makes and checks the HMAC-SHA-256 of records; one key per installation, derived from its secret."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def row(self, record: AuditRecord, record_id: int, at: int) -> Row:
        """Return the row of a record in the order of the table's columns; `at` in microseconds since 1970 UTC."""
        said = (
            record_id,
            record.organization_id,
            at,
            _clean(record.actor_id),
            record.actor_role,
            _clean(record.client_id),
            record.customer_id,
            _as_list(record.patients),  # all of them: whose data was shown has to be told (security AD-6)
            record.resource,
            _as_list(record.resource_ids[:MAXIMUM_IDS]),
            record.action,
            record.interaction,
            record.outcome,
            record.status,
            record.count,
            _clean(record.request_id),
            record.method,
            record.path,
            record.ip_address,
            _clean(record.user_agent),
            record.purpose,
            record.grant_id,
        )
        return (*said, self.mac(said))

    def mac(self, said: Sequence[Any]) -> bytes:
        """Return the HMAC of what a record says: every column but the last, in order."""
        return hmac.digest(self._key, msgspec.json.encode(said), hashlib.sha256)

    def holds(self, row: Sequence[Any]) -> bool:
        """Return whether a row says what was recorded."""
        return hmac.compare_digest(self.mac(tuple(row[:-1])), row[-1])


def _as_list(values: Sequence[str]) -> str | None:
    return msgspec.json.encode(values).decode() if values else None


def _clean(text: str | None) -> str | None:
    """Cut long text and replace what no database takes: a client chose it."""
    if text is None:
        return None
    if len(text) > MAXIMUM_TEXT:
        text = text[:MAXIMUM_TEXT]
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


LATEST = select(func.coalesce(func.max(rbac_logs.c.id), 0)).where(
    rbac_logs.c.organization_id == bindparam("organization_id")
)
_LATEST_SQLITE: Final[Prepared] = prepare(LATEST, "sqlite")


async def insert_records(unit: UnitOfWork, records: Sequence[AuditRecord], key: AuditKey) -> None:
    """Insert the records of a write into its own transaction: no audit, no change (AD-2).

    Raises ValueError for a record of another organization than the unit of work's.
    """
    if any(record.organization_id != unit.organization_id for record in records):
        raise ValueError("an audit record belongs to the organization of its unit of work")
    first = await _first_id(unit)
    rows = [key.row(record, first + n, unit.now * 1000) for n, record in enumerate(records)]
    unit.audited += len(rows)
    await unit.driver.insert(rbac_logs, rows)


async def _first_id(unit: UnitOfWork) -> int:
    if unit.driver.dialect == "postgresql":
        return (unit.xid << TRANSACTION_BITS) + unit.audited
    ((latest,),) = await unit.driver.fetch(_LATEST_SQLITE, {"organization_id": unit.organization_id})
    return max(int(latest) + 1, unit.ids.surrogate())


class AuditStore(Protocol):
    """Where records of reads go. `append` is never called twice at a time."""

    def prepare(self, organization_id: str) -> None:
        """Hear that records of this organization are being gathered for the next `append`."""
        ...

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Make the records durable, all or none; raises AuditUnavailable."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


GATHER_SECONDS: Final = 0.001
"""How long a batch waits for as many records as lately came together: a commit costs as much as several reads."""


class AuditWriter:
    """Commits records of reads in groups. One per worker.

    A batch leaves when it has as many records as the one before it and those that came while that was committed, at
    the latest after `GATHER_SECONDS` (AD-3 permits 5 ms). So who comes alone does not wait.
    """

    def __init__(self, store: AuditStore, *, capacity: int = 10_000, batch: int = 200) -> None:
        self._store = store
        self._capacity = capacity
        self._batch = batch
        self._waiting: deque[tuple[AuditRecord, asyncio.Future[None]]] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._expected = 1
        self._gathered: asyncio.Future[None] | None = None
        self._closed = False

    async def record(self, record: AuditRecord) -> None:
        """Return when the record is durable.

        Raises AuditUnavailable when it could not be made so, when too many wait, and after `close`: then no answer may
        leave.
        """
        if self._closed or len(self._waiting) >= self._capacity:
            raise AuditUnavailable("the audit trail takes no more records now")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="audit")
        elif self._gathered is not None and len(self._waiting) >= self._expected:
            _complete(self._gathered)
        await done

    async def _drain(self) -> None:
        """Commit what waits, batch after batch, until nothing does."""
        try:
            while self._waiting:
                if len(self._waiting) < self._expected:
                    self._store.prepare(self._waiting[0][0].organization_id)
                    await self._gather()
                batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
                await self._commit(batch)
                self._expected = min(len(batch) + len(self._waiting), self._batch)
        finally:
            self._draining = None

    async def _gather(self) -> None:
        """Wait until as many records are there as are expected, or for as long as that may take."""
        loop = asyncio.get_running_loop()
        self._gathered = loop.create_future()
        late = loop.call_later(GATHER_SECONDS, _complete, self._gathered)
        try:
            await self._gathered
        finally:
            late.cancel()
            self._gathered = None

    async def _commit(self, batch: list[tuple[AuditRecord, asyncio.Future[None]]]) -> None:
        try:
            await self._store.append([record for record, _ in batch])
        except AuditUnavailable as error:
            # Who queued meanwhile fails with the batch: each would wait for the same database.
            batch.extend(self._waiting)
            self._waiting.clear()
            _fail(batch, error)
            return
        except Exception as error:  # noqa: BLE001 whatever it is, no request may wait for ever
            _fail(batch, error)
            return
        for _, done in batch:
            if not done.done():  # its request may have been cancelled
                done.set_result(None)

    async def close(self) -> None:
        """Make everything that waits durable, then close the store (DU-8)."""
        self._closed = True
        if self._draining is not None:
            await self._draining
        await self._store.close()


def _fail(batch: Sequence[tuple[AuditRecord, asyncio.Future[None]]], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)


def _complete(gathered: asyncio.Future[None]) -> None:
    if not gathered.done():
        gathered.set_result(None)


def column_names() -> tuple[str, ...]:
    """Return the columns of a row, in order."""
    return _COLUMNS
