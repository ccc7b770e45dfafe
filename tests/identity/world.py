"""People of one organization, who they are taken for, and the Patients that show them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from storage.access import system_access
from storage.codec import decode
from storage.engine import Database
from storage.persons.matches import Match, MatchQueue
from storage.persons.merges import Merge, merge_records, survivor_of, unmerge
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.person_records import Record
from storage.projection.places import Places
from storage.repositories.table import Window
from storage.resources import ResourceKey
from storage.store import ResourceStore
from storage.transaction import Change, UnitOfWork
from tests.storage.people import People

T = TypeVar("T")
CHANGE = Change(actor="tester", client_id="tests", api="test")
C, P, F = "customer_profiles", "patients", "profiles"


class World(People):
    """People written by another program, and what became of it."""

    def __init__(self, database: Database, url: str, organization: str) -> None:
        super().__init__(url, organization)
        database.flush = flush
        self.database = database
        self.store = ResourceStore(database, Places())
        self.access = system_access(organization, "tester")

    async def settle(self) -> None:
        """Return when everything that was written is shown."""
        while await Projector(self.database).drain():
            pass

    async def work(self, work: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        """Do something in a unit of work, when everything before is shown."""
        await self.settle()
        return await self.database.transact(self.organization, CHANGE, work)

    async def merge(self, survivor: Record, merged: Record) -> Merge:
        return await self.work(lambda unit: merge_records(unit, survivor, merged, "nurse", "one person"))

    async def unmerge(self, merge: Merge) -> Merge:
        return await self.work(lambda unit: unmerge(unit, merge.id, "nurse", "two persons"))

    async def survivor(self, record: Record) -> Record:
        async with self.database.glance(self.organization) as snapshot:
            return await survivor_of(snapshot, *record)

    async def matches(self, status: str | None = None, outcome: str | None = None) -> list[Match]:
        """Return the queue."""
        await self.settle()
        async with self.database.glance(self.organization) as snapshot:
            found = await MatchQueue(snapshot).page(status=status, outcome=outcome, window=Window(100))
        return sorted(found.rows, key=lambda each: each.records)

    async def pairs(self) -> dict[tuple[str, str], str]:
        """Return the ids of the open pairs, and what is said of them."""
        return {(each.first_id, each.second_id): each.outcome for each in await self.matches("open")}

    async def patient_shown(self, key: str) -> dict[str, Any]:
        await self.settle()
        return decode((await self.store.read(ResourceKey("Patient", key), self.access)).body)

    async def links(self, key: str) -> list[tuple[str, str]]:
        """Return type and id of the links of a Patient."""
        shown = (await self.patient_shown(key)).get("link", [])
        return [(each["type"], each["other"]["reference"].removeprefix("Patient/")) for each in shown]


ADA = {"first_name": "Ada", "last_name": "Quimby", "date_of_birth": "1970-01-02"}
"""What `customer` takes for one person."""
