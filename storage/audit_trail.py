"""The audit trail of one worker, put together: records of reads and writes in, seals over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import make_url

from storage.audit import AuditKey, AuditRecord, AuditStore, AuditWriter, insert_records
from storage.audit_postgres import PostgresAuditStore
from storage.audit_seals import Trail, open_trails, seal
from storage.audit_sqlite import SqliteAuditStore, audit_path
from storage.errors import AuditUnavailable
from storage.schema import create_audit_file
from storage.transaction import UnitOfWork

SEAL_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 64.0
"""A write may commit that long after its record was inserted and is still sealed by this worker."""

log = structlog.get_logger("storage.audit")


@dataclass(slots=True)
class _Due:
    """When to look at an organization's trail next, and how long to wait if nothing is found then; seconds."""

    at: float
    wait: float = SEAL_SECONDS


class AuditTrail:
    """Takes records, and seals them about every second where there is something to seal."""

    def __init__(
        self,
        writer: AuditWriter,
        trails: Sequence[Trail],
        key: AuditKey,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._trails = trails
        self._key = key
        self._monotonic = monotonic
        self._due: dict[str, _Due] = {}
        self._sealing: asyncio.Task[None] | None = None

    async def record(self, record: AuditRecord) -> None:
        """Return when the record of a read is durable; raises AuditUnavailable, and then no answer may leave."""
        await self._writer.record(record)
        self._note(record.organization_id)

    async def insert(self, unit: UnitOfWork, records: Sequence[AuditRecord]) -> None:
        """Insert the records of a write into its own transaction."""
        await insert_records(unit, records, self._key)
        self._note(unit.organization_id)

    def _note(self, organization_id: str) -> None:
        due = self._due.get(organization_id)
        if due is None:
            self._due[organization_id] = _Due(self._monotonic() + SEAL_SECONDS)
        elif due.wait > SEAL_SECONDS:
            due.at, due.wait = min(due.at, self._monotonic() + SEAL_SECONDS), SEAL_SECONDS

    def start(self, organizations: Iterable[str]) -> None:
        """Seal from now on; first what an earlier run of any of the organizations left unsealed."""
        for organization_id in organizations:
            self._note(organization_id)
        self._sealing = asyncio.create_task(self._keep_sealing(), name="audit-sealer")

    async def _keep_sealing(self) -> None:
        while True:
            await asyncio.sleep(SEAL_SECONDS)
            now = self._monotonic()
            try:
                await self._seal_all([name for name, due in self._due.items() if due.at <= now])
            except Exception as error:  # noqa: BLE001 nobody else would seal
                log.warning("audit_not_sealed", reason=type(error).__name__)

    async def seal_once(self) -> int:
        """Seal now what is unsealed and return how many records that were."""
        return await self._seal_all(list(self._due))

    async def _seal_all(self, organizations: Sequence[str]) -> int:
        total = 0
        for organization_id in organizations:
            try:
                sealed = await asyncio.to_thread(self._seal, organization_id)
            except AuditUnavailable as error:
                sealed = 0
                log.warning("audit_not_sealed", organization=organization_id, reason=str(error))
            self._plan(organization_id, found=sealed > 0)
            total += sealed
        return total

    def _plan(self, organization_id: str, *, found: bool) -> None:
        """Look again ever later while nothing is found: a running transaction may hold records back."""
        due = self._due[organization_id]
        if found:
            due.wait = SEAL_SECONDS
        elif due.wait < LONGEST_WAIT_SECONDS:
            due.wait *= 2
        else:
            del self._due[organization_id]
            return
        due.at = self._monotonic() + due.wait

    def _seal(self, organization_id: str) -> int:
        return sum(seal(trail, organization_id, self._key) for trail in self._trails)

    async def close(self) -> None:
        """Make everything that waits durable, seal it and close (DU-8)."""
        if self._sealing is not None:
            self._sealing.cancel()
            with suppress(asyncio.CancelledError):
                await self._sealing
            self._sealing = None
        await self._writer.close()
        await self.seal_once()


def create_audit_trail(
    url: str, key: AuditKey, *, role: str | None, capacity: int = 10_000, batch: int = 200
) -> AuditTrail:
    """Return the audit trail of a migrated database; on SQLite the file of reads is made if need be.

    `role` is the role to take on PostgreSQL; `capacity` how many records may wait, `batch` how many one commit takes.
    """
    store: AuditStore
    if make_url(url).get_backend_name() == "sqlite":
        create_audit_file(audit_path(url))
        store = SqliteAuditStore(audit_path(url), key)
    else:
        store = PostgresAuditStore(url, key, role=role)
    return AuditTrail(AuditWriter(store, capacity=capacity, batch=batch), open_trails(url, role=role), key)
