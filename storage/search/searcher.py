"""Searches: a page of matches with what it includes, or just the keys of matches for conditional interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final

from storage.access import Access, Right
from storage.driver import Driver, Row
from storage.history.record import PastRecordReader
from storage.reading import Reader
from storage.resources import ResourceKey, Version
from storage.search.canonicals import CanonicalIncludes
from storage.search.compile import VERSION_COLUMNS, after_name, compile_plan, is_of_one_type
from storage.search.cursor import CursorSealer
from storage.search.everything import Everything
from storage.search.includes import INCLUDE_COLUMNS, Included, Step, compile_includes, plan_includes
from storage.search.latest import LatestReader
from storage.search.lower import Lowering
from storage.search.page import Page
from storage.search.plan import Plan, plan_count, plan_ids, plan_page
from storage.search.query import MAX_INCLUDED, MAX_ROUNDS, Criterion, Include, Search, Total
from storage.search.records import RecordReader
from storage.search.shape import Binder
from storage.search.snapshots import SNAPSHOT
from storage.search.terminology import Terminology, resolves
from storage.visibility import access_parameters

TOO_MANY_INCLUDED: Final = f"more than {MAX_INCLUDED} resources would be included: the rest is left out"
TOO_MANY_ROUNDS: Final = f"includes were followed for {MAX_ROUNDS} rounds: the rest is left out"
MOST_BARREN: Final = 20
"""Stretches of a page's length that are read before a page is answered that has nothing: all of it was changed."""
_RID: Final = INCLUDE_COLUMNS.index("rid")


class Searcher:
    """Answers searches from the index; `clock` gives milliseconds since 1970 UTC.

    `reader` is the database, or a unit of work whose own writes shall be seen.
    """

    def __init__(self, reader: Reader, signing_secret: bytes, clock: Callable[[], int]) -> None:
        self.reader = reader
        self.clock = clock
        self._sealer = CursorSealer(signing_secret)

    async def search(self, search: Search, access: Access) -> Page:
        """Return one page.

        Raises InteractionForbidden when the caller may not search a type or the types a chain leads through,
        ValueSetUnknown, HierarchyUnknown, SearchTooCostly, CursorInvalid and CursorExpired.
        """
        for part in search.parts:
            access.require(part.resource_type, Right.SEARCH)
        if any(resolves(criterion) for part in search.parts for criterion in part.criteria):
            search = await self._terminology(access).search(search)
        if search.count == 0:
            return Page([], [], await self._count(search, access), None, ())
        now = self.clock()
        back, snapshot, *place = self._sealer.read(search, access, now) if search.cursor is not None else (False, None)
        found = await self._found(search, access, _From(back, snapshot, place))
        rows, snapshot, columns = found.rows, found.snapshot, found.columns
        has_next, has_previous = (bool(rows), found.more) if back else (found.more, bool(place and rows))
        shown = [columns.version(row) for row in found.shown]
        total = await self._total(search, access, len(shown), more=found.more)
        includes, warnings = await self._includes(search, access, found, shown)
        return Page(
            shown,
            includes,
            total,
            self._sealer.make(search, access, [False, snapshot, *columns.place(rows[-1])], now) if has_next else None,
            warnings,
            self._sealer.make(search, access, [True, snapshot, *columns.place(rows[0])], now) if has_previous else None,
        )

    async def find(
        self, driver: Driver, resource_type: str, criteria: Sequence[Criterion], access: Access, limit: int
    ) -> list[ResourceKey]:
        """Return the keys of at most `limit` matches, newest first, as the driver's transaction sees them.

        Raises InteractionForbidden, ValueSetUnknown, HierarchyUnknown and SearchTooCostly.
        """
        if any(map(resolves, criteria)):
            criteria = await Terminology(driver.fetch, driver.dialect, access).criteria(criteria)
        lowering = self._lowering(access)
        plan = plan_ids(resource_type, criteria, access, lowering, limit)
        rows = await driver.fetch(compile_plan(plan, driver.dialect), _parameters(access, lowering.binder))
        return [ResourceKey(resource_type, row[0]) for row in rows]

    async def everything(self, asked: Everything, access: Access) -> Page:
        """Return one page of a patient's record: the Patient, its compartment, then what these refer to.

        Raises InteractionForbidden, ResourceNotFound, ResourceGone, CursorInvalid and CursorExpired.
        """
        reading = RecordReader if asked.at is None else PastRecordReader
        return await reading(self.reader, self._sealer, access, self.clock()).page(asked)

    async def latest(self, criteria: Sequence[Criterion], most: int, access: Access) -> list[Version]:
        """Return the newest `most` Observations of each kind among those that meet the criteria, ties included.

        Raises InteractionForbidden and SearchTooCostly.
        """
        if any(map(resolves, criteria)):
            criteria = await self._terminology(access).criteria(criteria)
        return await LatestReader(self.reader, access, self.clock).find(criteria, most)

    async def _found(self, search: Search, access: Access, start: _From) -> _Found:
        """Return the rows of a page; of rows that were changed alone no page is made."""
        found: list[Row] = []
        shown: list[Row] = []
        for _ in range(MOST_BARREN):
            rows, columns = await self._page_rows(search, access, start)
            snapshot = columns.mark(rows[0]) if rows and not start.place else start.snapshot
            more = len(rows) > search.count
            stretch = rows[: search.count]
            found += stretch
            shown += [row for row in stretch if columns.is_unchanged(row)] if columns.tells_changes else stretch
            if not more or shown:
                break
            start = _From(start.back, snapshot, columns.place(found[-1]))
        if start.back:
            found.reverse()
            shown.reverse()
        return _Found(found, shown, more, snapshot, columns)

    async def _page_rows(self, search: Search, access: Access, start: _From) -> tuple[list[Row], _Columns]:
        lowering = self._lowering(access)
        plans = plan_page(search, access, lowering, after=bool(start.place), back=start.back, marked=True)
        parameters = _parameters(access, lowering.binder)
        parameters.update((after_name(at), value) for at, value in enumerate(start.place))
        if start.place and plans[0].marked:
            parameters[SNAPSHOT] = start.snapshot
        rows = await self._fetch(plans, access, parameters)
        resource_type = search.parts[0].resource_type if is_of_one_type(plans) else None
        return rows, _Columns(resource_type, plans[0].marked, tells_changes=plans[0].marked and plans[0].after)

    async def _count(self, search: Search, access: Access) -> int:
        lowering = self._lowering(access)
        plans = plan_count(search, access, lowering)
        rows = await self._fetch(plans, access, _parameters(access, lowering.binder))
        total: int = rows[0][0]
        return total

    async def _total(self, search: Search, access: Access, shown: int, *, more: bool) -> int | None:
        """Return the total when it was asked for, or when the only page shows it."""
        if search.total is Total.NONE:
            return None
        if search.cursor is None and not more:
            return shown
        return None if search.total is Total.DEFAULT else await self._count(search, access)

    async def _fetch(self, plans: tuple[Plan, ...], access: Access, parameters: dict[str, Any]) -> list[Row]:
        statement = compile_plan(plans, self.reader.dialect)
        return await self.reader.fetch(access.organization_id, statement, parameters)

    async def _includes(
        self, search: Search, access: Access, page: _Found, shown: Sequence[Version]
    ) -> tuple[list[Version], tuple[str, ...]]:
        """Return what the includes bring, round by round; nothing comes twice, and no match comes again (Q7, Q8)."""
        if not search.includes or not shown:
            return [], ()
        starts = [page.columns.start(version, row) for version, row in zip(shown, page.shown, strict=True)]
        seen = {start.rid for start in starts}
        found: list[Version] = []
        includes: Sequence[Include] = search.includes
        for _ in range(MAX_ROUNDS):
            rows = [row for row in await self._round(includes, starts, access) if row[_RID] not in seen]
            unique = {row[_RID]: row for row in sorted(rows, key=itemgetter(_RID))}
            seen.update(unique)
            brought = [_version(row[0], row[1:]) for row in unique.values()]
            found.extend(brought)
            if len(found) > MAX_INCLUDED:
                return found[:MAX_INCLUDED], (TOO_MANY_INCLUDED,)
            includes = [include for include in search.includes if include.iterate]
            starts = [_start(version, row[1:]) for version, row in zip(brought, unique.values(), strict=True)]
            if not includes or not starts:
                return found, ()
        return found, (TOO_MANY_ROUNDS,)

    async def _round(self, includes: Sequence[Include], starts: Sequence[Included], access: Access) -> list[Row]:
        binder = Binder()
        rows = await self._included(plan_includes(includes, starts, access, binder), binder, access)
        binder, canonicals = Binder(), CanonicalIncludes()
        canonicals.plan(includes, starts, access, binder)
        named = await self._included(canonicals.steps, binder, access)
        return rows + [row for row in named if canonicals.keeps(row)]

    async def _included(self, steps: Sequence[Step], binder: Binder, access: Access) -> list[Row]:
        if not steps:
            return []
        statement = compile_includes(tuple(steps), self.reader.dialect)
        return await self.reader.fetch(access.organization_id, statement, _parameters(access, binder))

    def _terminology(self, access: Access) -> Terminology:
        return Terminology(partial(self.reader.fetch, access.organization_id), self.reader.dialect, access)

    def _lowering(self, access: Access) -> Lowering:
        return Lowering(access, self.clock() * 1000)


@dataclass(frozen=True, slots=True)
class _From:
    """Where a page begins: the direction, the mark of the first page, the place; no place for the first page."""

    back: bool
    snapshot: Any
    place: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the rows of a page have what: all of them are read, few are looked at.

    Of searches over several types (`resource_type` is None) the type comes first. Then come VERSION_COLUMNS, the sort
    keys, and with `marked` the mark of a first page, or with `tells_changes`, later, whether the row is unchanged.
    """

    resource_type: str | None
    marked: bool
    tells_changes: bool

    def version(self, row: Row) -> Version:
        """Return the version."""
        return _version(row[0], row[1:]) if self.resource_type is None else _version(self.resource_type, row)

    def start(self, version: Version, row: Row) -> Included:
        """Return what includes start from."""
        return _start(version, row[1:] if self.resource_type is None else row)

    def place(self, row: Row) -> Sequence[Any]:
        """Return the place in the order."""
        keys = len(VERSION_COLUMNS) + (self.resource_type is None)
        return row[keys:-1] if self.marked else row[keys:]

    def mark(self, row: Row) -> Any:
        """Return the mark of the first page; None where there is none."""
        return row[-1] if self.marked else None

    def is_unchanged(self, row: Row) -> bool:
        """Say whether the row is as it was when the search began."""
        return not self.tells_changes or row[-1] is None or bool(row[-1])


@dataclass(frozen=True, slots=True)
class _Found:
    """The rows of a page in order, those of them that are unchanged, whether there are more, the first page's mark."""

    rows: list[Row]
    shown: list[Row]
    more: bool
    snapshot: Any
    columns: _Columns


def _parameters(access: Access, binder: Binder) -> dict[str, Any]:
    """Return all parameters of a statement; a caller's Patient is given whether or not the statement asks for it."""
    return {
        "organization_id": access.organization_id,
        **access_parameters(access),
        **binder.values,
    }


def _version(resource_type: str, row: Row) -> Version:
    resource_id, version, last_updated, body = row[:4]
    return Version(ResourceKey(resource_type, resource_id), version, last_updated, deleted=False, body=bytes(body))


def _start(version: Version, row: Row) -> Included:
    rid, self_key, patient = row[4:7]
    return Included(version.key.resource_type, rid, self_key, patient, version.body)
