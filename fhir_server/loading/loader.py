"""Loading into one organization: in batches, twice changes nothing, what is refused is listed and the rest goes on.

Every batch is a unit of work of its own, so a load that was cut off is resumed by running it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from fhir_server.errors import RequestError
from fhir_server.fhir.json_body import JsonLimits, parse_json
from fhir_server.loading.bundles import UNPACKED, WHOLE, Loadable, Resource, identify, require_all, resources_of
from fhir_server.loading.errors import NotLoadable, reason_of
from fhir_server.loading.sources import Source
from fhir_server.loading.trail import LoadTrail
from fhir_server.validation.validate import validate_resource
from storage.access import Access
from storage.audit import AuditKey
from storage.engine import Database
from storage.errors import AuditUnavailable, DatabaseUnavailable, StorageError
from storage.repositories.errors import NoRow
from storage.repositories.graph_json import (
    LoadedTable,
    keep_received,
    key_of,
    name_of,
    remarks_of,
    row_of,
    subject_of,
    tables_of,
    unpacked,
    without_repeats,
)
from storage.repositories.loading import RowsRefused, Saved, save_rows
from storage.repositories.row_homes import RowHomes
from storage.resources import ResourceKey, Version, Write
from storage.store import ResourceStore
from storage.tables.columns import SHARED
from storage.transaction import Change, UnitOfWork

BATCH: Final = 500
"""Resources or rows of a unit of work, a transaction Bundle aside, which is one whatever its size."""
WHOLE_FILE: Final = JsonLimits(nodes=10_000_000)
"""What a file of an operator may hold: one person's export with 700,000 readings."""
AT_ONCE: Final = 3
"""Files that are loaded at a time on PostgreSQL: while it writes for one, the next is parsed."""
API: Final = "load"
FATAL: Final = (DatabaseUnavailable, AuditUnavailable)
"""Failures of the database itself: loading stops, nothing half-written."""
Progress = Callable[[int, int], None]
"""Told how many resources or rows were dealt with, and how many bytes of the files, since it was last told."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was not loaded, where it stood, and why."""

    source: str
    what: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """How many of one resource type, or of one table, were written, were there already, and were refused."""

    written: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(slots=True)
class Summary:
    """What loading did. `refused` holds files and lines that were not understood, too."""

    sources: int = 0
    resources: dict[str, Outcome] = field(default_factory=dict)
    rows: dict[str, Outcome] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Remarks within files of tables (names with a leading underscore), which are not loaded."""

    @property
    def loaded(self) -> int:
        """How many resources and rows are there now because of these files, or were before."""
        return sum(each.written + each.unchanged for each in (*self.resources.values(), *self.rows.values()))

    @property
    def written(self) -> int:
        """How many resources and rows were new or differed."""
        return sum(each.written for each in (*self.resources.values(), *self.rows.values()))


class Loader:
    """Loads files with the given access, on the record; `key` signs the records.

    A load that is `confined` writes to the organization of the access alone; else rows of files of tables go to the
    organizations that they belong to. With `claimed` resources have to follow the known profiles that they claim.
    """

    def __init__(
        self,
        database: Database,
        store: ResourceStore,
        access: Access,
        key: AuditKey,
        progress: Progress = lambda _count, _read: None,
        *,
        confined: bool = False,
        claimed: bool = True,
    ) -> None:
        self.database = database
        self.store = store
        self.access = access
        self.trail = LoadTrail(access, key)
        self.progress = progress
        self.confined = confined
        self.claimed = claimed
        self.summary = Summary()
        self.change = Change(actor=access.actor, client_id=access.client_id, api=API)
        self._slots = asyncio.Semaphore(AT_ONCE if database.dialect == "postgresql" else 1)

    async def load(self, sources: Iterable[Source]) -> Summary:
        """Load every source, stage by stage; raises DatabaseUnavailable when the database is away."""
        for _, stage in groupby(sources, key=lambda source: source.stage):
            try:
                async with asyncio.TaskGroup() as tasks:
                    for source in stage:
                        await self._slots.acquire()
                        tasks.create_task(self._load_source(source)).add_done_callback(lambda _: self._slots.release())
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
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
        except (OSError, RequestError, StorageError) as error:
            self._refuse(source, "the whole file", error)

    async def _load_document(self, source: Source) -> None:
        data = source.read()
        document = parse_json(data, WHOLE_FILE)
        if not isinstance(document, dict):
            raise NotLoadable("the file holds neither a resource nor tables of rows")
        document, data = unpacked(document, data)
        if "resourceType" not in document:
            await self._load_tables(source, document, data)
        elif document["resourceType"] == "Bundle" and document.get("type") in UNPACKED:
            await self._load_bundle(source, document)
        else:
            identify(document)
            await self._write_each(source, [Loadable("the resource", document)])
        self.progress(0, source.size)

    def _validate(self, loadable: Loadable) -> None:
        validate_resource(loadable.resource, claimed=self.claimed)

    async def _load_bundle(self, source: Source, bundle: Resource) -> None:
        found = resources_of(bundle)
        if bundle["type"] not in WHOLE:
            await self._write_each(source, found)
            return
        try:
            require_all(found)
            for each in found:
                self._validate(each)
            await self._write(found)
        except FATAL:
            raise
        except (RequestError, StorageError) as error:
            for each in found:
                _outcome(self.summary.resources, each.resource.get("resourceType")).refused += 1
            self._refuse(source, "the whole transaction", error)

    async def _load_lines(self, source: Source) -> None:
        batch: list[Loadable] = []
        told = 0
        for number, read, line in source.lines():
            try:
                resource = parse_json(line)
                if not isinstance(resource, dict):
                    raise NotLoadable("the line holds no resource")
            except RequestError as error:
                self._refuse(source, f"line {number}", error)
                continue
            identify(resource)
            batch.append(Loadable(f"line {number}", resource))
            if len(batch) >= BATCH:
                await self._write_each(source, batch)
                self.progress(0, read - told)
                batch, told = [], read
        await self._write_each(source, batch)
        self.progress(0, source.size - told)

    async def _write_each(self, source: Source, found: Sequence[Loadable]) -> None:
        """Write resources that stand for themselves: in batches, and one by one where a batch is refused."""
        valid: list[Loadable] = []
        for each in found:
            try:
                require_all([each])
                self._validate(each)
            except RequestError as error:
                self._refuse_resource(source, each, error)
            else:
                valid.append(each)
        for start in range(0, len(valid), BATCH):
            batch = valid[start : start + BATCH]
            try:
                await self._write(batch)
            except FATAL:
                raise
            except StorageError:
                await self._write_singly(source, batch)

    async def _write_singly(self, source: Source, batch: Sequence[Loadable]) -> None:
        for each in batch:
            try:
                await self._write([each])
            except FATAL:
                raise
            except StorageError as error:
                self._refuse_resource(source, each, error)

    async def _write(self, batch: Sequence[Loadable]) -> None:
        """Write resources under their ids in one unit of work; of equal ids the last one counts."""
        resources = {ResourceKey(each.resource["resourceType"], each.resource["id"]): each.resource for each in batch}
        # All loads insert in one order: two of them wait for each other once, never in a circle.
        writes = [Write(key, resources[key]) for key in sorted(resources, key=str)]

        async def work(unit: UnitOfWork) -> list[Version]:
            written = await self.store.write(unit, writes, self.access)
            versions = [each.version for each in written if each.changed and each.version is not None]
            await self.trail.note_resources(unit, versions)
            return versions

        versions = await self.database.transact(self.access.organization_id, self.change, work) if writes else []
        changed = Counter(version.key.resource_type for version in versions)
        for resource_type, count in Counter(each.resource["resourceType"] for each in batch).items():
            outcome = _outcome(self.summary.resources, resource_type)
            outcome.written += changed[resource_type]
            outcome.unchanged += count - changed[resource_type]
        self.progress(len(batch), 0)

    async def _load_tables(self, source: Source, document: dict[str, Any], data: bytes) -> None:
        found = tables_of(document)
        keep_received(document, data)
        self.summary.ignored.extend(f"{source.name}: {name}" for name in remarks_of(document))
        homes = RowHomes(self.access.organization_id, confined=self.confined)
        for table, items in found:
            rows: dict[str, list[dict[str, Any]]] = {}
            for position, item in enumerate(items):
                try:
                    home = homes.home_of(table, item)
                    rows.setdefault(home, []).append(row_of(table, item, home))
                except NoRow as error:
                    _outcome(self.summary.rows, table.name).refused += 1
                    self._refuse(source, f"{table.name}[{position}]", error)
            for home in sorted(
                rows, key=lambda each: (each != SHARED, each)
            ):  # what all share is referred to by others
                await self._save_all(source, table, home, rows[home])
            self.progress(len(items), 0)

    async def _save_all(self, source: Source, table: LoadedTable, home: str, rows: Sequence[dict[str, Any]]) -> None:
        distinct = without_repeats(table, rows)
        _outcome(self.summary.rows, table.name).unchanged += len(rows) - len(distinct)
        for start in range(0, len(distinct), BATCH):
            await self._save_rows(source, table, home, distinct[start : start + BATCH])

    async def _save_rows(self, source: Source, table: LoadedTable, home: str, rows: Sequence[dict[str, Any]]) -> None:
        try:
            saved = await self._save_at_once(table, home, rows, singly=False)
        except RowsRefused:
            saved = await self._save_at_once(table, home, rows, singly=True)
        outcome = _outcome(self.summary.rows, table.name)
        outcome.written += len(saved.changed)
        outcome.refused += len(saved.refused)
        outcome.unchanged += len(rows) - len(saved.changed) - len(saved.refused)
        names = {row[key_of(table)]: name_of(table, row) for row in rows}
        for key, reason in saved.refused.items():
            self._refuse(source, f"{table.name}/{names[key]}", NotLoadable(reason))

    async def _save_at_once(
        self, table: LoadedTable, home: str, rows: Sequence[dict[str, Any]], *, singly: bool
    ) -> Saved:
        recorded = {row[key_of(table)]: (name_of(table, row), subject_of(table, row)) for row in rows}

        async def work(unit: UnitOfWork) -> Saved:
            saved = await save_rows(unit, table, rows, singly=singly)
            await self.trail.note_rows(unit, str(table.name), [recorded[key] for key in saved.changed])
            return saved

        return await self.database.transact(home, self.change, work)

    def _refuse_resource(self, source: Source, loadable: Loadable, error: Exception) -> None:
        _outcome(self.summary.resources, loadable.resource.get("resourceType")).refused += 1
        what = loadable.where if loadable.name == loadable.where else f"{loadable.where} ({loadable.name})"
        self._refuse(source, what, error)

    def _refuse(self, source: Source, what: str, error: Exception) -> None:
        self.summary.refused.append(Refused(source.name, what, reason_of(error)))


def _outcome(outcomes: dict[str, Outcome], name: Any) -> Outcome:
    return outcomes.setdefault(name if isinstance(name, str) else "?", Outcome())
