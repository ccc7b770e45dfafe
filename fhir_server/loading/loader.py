"""Loading into one organization: in batches, twice changes nothing, what is refused is listed and the rest goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Table, insert, select, update

from fhir_server.errors import RequestError
from fhir_server.fhir.json_body import parse_json
from fhir_server.loading.bundles import WHOLE, NotLoadable, Resource, resources_of
from fhir_server.loading.graph import row_of, tables_of, without_repeats
from fhir_server.loading.sources import Source
from fhir_server.validation.validate import validate_resource
from storage.access import Access
from storage.engine import Database
from storage.errors import AuditUnavailable, DatabaseUnavailable, StorageError
from storage.projection.sources import MAPPED_TABLES
from storage.resources import ResourceKey, Write
from storage.store import ResourceStore
from storage.transaction import Change, UnitOfWork

BATCH: Final = 500
ROW_BATCH: Final = 500
FATAL: Final = (DatabaseUnavailable, AuditUnavailable)
"""Failures of the database itself: loading stops, nothing half-written."""
Progress = Callable[[int], None]
Audit = Callable[[UnitOfWork, Sequence[ResourceKey]], Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not loaded, where it stood, and why."""

    source: str
    what: str
    reason: str


@dataclass(slots=True)
class Summary:
    """What loading did. `written` counts resources by type, `rows` table rows, both without the unchanged ones."""

    sources: int = 0
    resources: int = 0
    table_rows: int = 0
    written: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)


class Loader:
    """Loads files with the given access. `progress` is told how many resources or rows were dealt with."""

    def __init__(
        self,
        database: Database,
        store: ResourceStore,
        access: Access,
        *,
        audit: Audit,
        progress: Progress = lambda _: None,
    ) -> None:
        self.database = database
        self.store = store
        self.access = access
        self.audit = audit
        self.progress = progress
        self.summary = Summary()
        self.change = Change(actor=access.actor, client_id=access.client_id, api="load")
        self._slots = asyncio.Semaphore(3 if database.dialect == "postgresql" else 1)

    async def load(self, sources: Iterable[Source]) -> Summary:
        """Load every source; raises DatabaseUnavailable when the database is away."""
        async with asyncio.TaskGroup() as tasks:
            for source in sources:
                await self._slots.acquire()
                task = tasks.create_task(self._load_source(source))
                task.add_done_callback(lambda _: self._slots.release())
        return self.summary

    async def _load_source(self, source: Source) -> None:
        self.summary.sources += 1
        try:
            if source.is_lines:
                await self._load_lines(source)
            else:
                await self._load_document(source)
        except FATAL:
            raise
        except (OSError, EOFError, RequestError, StorageError) as error:
            self._refuse(source, "the whole file", error)

    async def _load_document(self, source: Source) -> None:
        document = parse_json(source.read())
        if not isinstance(document, dict):
            raise NotLoadable("the file holds neither a resource nor tables of rows")
        if "resourceType" not in document:
            await self._load_tables(source, document)
        elif document["resourceType"] != "Bundle":
            await self._write_each(source, [("the resource", document)])
        elif document.get("type") in WHOLE:
            resources = resources_of(document)
            for resource in resources:
                validate_resource(resource)
            await self._write(resources)
        else:
            await self._write_each(source, [(_name(each), each) for each in resources_of(document)])

    async def _load_lines(self, source: Source) -> None:
        batch: list[tuple[str, Resource]] = []
        for number, line in source.lines():
            try:
                resource = parse_json(line)
                if not isinstance(resource, dict) or "id" not in resource:
                    raise NotLoadable("the line holds no resource with an id")
            except RequestError as error:
                self._refuse(source, f"line {number}", error)
                continue
            batch.append((f"line {number}", resource))
            if len(batch) >= BATCH:
                await self._write_each(source, batch)
                batch = []
        await self._write_each(source, batch)

    async def _write_each(self, source: Source, named: Sequence[tuple[str, Resource]]) -> None:
        """Write resources that stand for themselves: in batches, and one by one where a batch is refused."""
        valid: list[tuple[str, Resource]] = []
        for name, resource in named:
            try:
                validate_resource(resource)
            except RequestError as error:
                self._refuse(source, name, error)
            else:
                valid.append((name, resource))
        for start in range(0, len(valid), BATCH):
            batch = valid[start : start + BATCH]
            try:
                await self._write([resource for _, resource in batch])
            except FATAL:
                raise
            except StorageError:
                await self._write_singly(source, batch)

    async def _write_singly(self, source: Source, batch: Sequence[tuple[str, Resource]]) -> None:
        for name, resource in batch:
            try:
                await self._write([resource])
            except FATAL:
                raise
            except StorageError as error:
                self._refuse(source, name, error)

    async def _write(self, resources: Sequence[Resource]) -> None:
        """Write resources under their ids in one unit of work; of equal ids the last one counts."""
        writes = {
            key: Write(key, resource)
            for resource in resources
            for key in (ResourceKey(resource["resourceType"], resource["id"]),)
        }

        async def work(unit: UnitOfWork) -> list[ResourceKey]:
            written = await self.store.write(unit, list(writes.values()), self.access)
            changed = [key for key, result in zip(writes, written, strict=True) if result.changed]
            await self.audit(unit, changed)
            return changed

        if writes:
            changed = await self.database.transact(self.access.organization_id, self.change, work)
            self.summary.written.update(key.resource_type for key in changed)
        self.summary.resources += len(resources)
        self.progress(len(resources))

    async def _load_tables(self, source: Source, document: Mapping[str, Any]) -> None:
        for table, items in tables_of(document):
            rows: list[dict[str, Any]] = []
            for position, item in enumerate(items):
                try:
                    rows.append(row_of(table, item, self.access.organization_id))
                except NotLoadable as error:
                    self._refuse(source, f"{table.name}[{position}]", error)
            distinct = without_repeats(table, rows)
            for start in range(0, len(distinct), ROW_BATCH):
                await self._save_rows(table, distinct[start : start + ROW_BATCH])
            self.summary.table_rows += len(items)
            self.progress(len(items))

    async def _save_rows(self, table: Table, rows: Sequence[dict[str, Any]]) -> None:
        async def work(unit: UnitOfWork) -> int:
            changed = await save_changed(unit, table, rows)
            await self.audit(unit, [])
            return changed

        changed = await self.database.transact(self.access.organization_id, self.change, work)
        self.summary.rows[table.name] += changed

    def _refuse(self, source: Source, what: str, error: Exception) -> None:
        self.summary.refused.append(Refused(source.name, what, str(error)))


def _name(resource: Resource) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"


async def save_changed(unit: UnitOfWork, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert new rows and update changed ones; returns how many that were. Mapped rows are touched."""
    ids = [row["id"] for row in rows]
    statement = select(table).where(table.c.organization_id == unit.organization_id, table.c.id.in_(ids))
    known = {row["id"]: row for row in (await unit.connection.execute(statement)).mappings()}
    changed = 0
    for row in rows:
        before = known.get(row["id"])
        if before is None:
            await unit.connection.execute(insert(table).values(row))
        elif any(_comparable(before[name]) != _comparable(value) for name, value in row.items()):
            own = (table.c.organization_id == unit.organization_id) & (table.c.id == row["id"])
            await unit.connection.execute(update(table).where(own).values(row))
        else:
            continue
        changed += 1
        if table.name in MAPPED_TABLES:
            unit.touch(table.name, row["id"])
    return changed


def _comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
