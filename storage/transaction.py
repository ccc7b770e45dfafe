"""The unit of work: one transaction, in one organization, on behalf of one caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from storage.clock import IdSource
from storage.driver import Driver
from storage.stops import NO_STOPS, Stops
from storage.tables import fhir


@dataclass(frozen=True, slots=True)
class Change:
    """Who writes, and through which API; one row of `fhir_changes` per unit of work that wrote a version."""

    actor: str
    client_id: str
    api: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One organization's rows as they are at one moment, for repositories that only read.

    `connection` cannot write; no writer waits for it.
    """

    organization_id: str
    connection: AsyncConnection


@dataclass(slots=True)
class UnitOfWork:
    """An open transaction.

    `connection` is for repositories (SQLAlchemy Core), `driver` the same connection for compiled statements.
    `now` is the database's clock at the start in milliseconds, `xid` the transaction's id (0 on SQLite). `base_url` is
    this server's FHIR base: absolute references below it are local ones.
    Rows that repositories change are named with `touch`; they are projected to FHIR before COMMIT.
    """

    organization_id: str
    connection: AsyncConnection
    driver: Driver
    change: Change
    now: int
    xid: int
    ids: IdSource
    base_url: str
    stops: Stops = NO_STOPS
    """What it does without, because the database is not as mappers declare."""
    touched: dict[tuple[str, str], bool] = field(default_factory=dict)
    """Table and key of changed rows, and whether the row is new."""
    audited: int = 0
    """How many audit records it holds so far."""
    _change_id: int | None = None

    @property
    def started(self) -> datetime:
        """The start of the unit of work by the database's clock."""
        return datetime.fromtimestamp(self.now // 1000, UTC).replace(microsecond=self.now % 1000 * 1000)

    def touch(self, table: str, key: str, *, new: bool = False) -> None:
        """Name a changed (inserted, updated or deleted) row of a mapped table; `new` for one that nobody saw before."""
        self.touched[table, key] = self.touched.get((table, key), new)

    async def change_id(self) -> int:
        """Return the id of this unit of work's row in `fhir_changes`, which the first call inserts."""
        if self._change_id is None:
            self._change_id = self.ids.surrogate()
            change = self.change
            row = (
                self.organization_id,
                self._change_id,
                self.now,
                change.actor,
                change.client_id,
                change.api,
                change.request_id,
            )
            await self.driver.insert(fhir.changes, [row])
        return self._change_id
