"""Reading the audit trail back: pages, counts and single records, newest or oldest first (security AD-6).

Records are in the order of their instants. On SQLite they lie in two files, which are read side by side. Row-level
security binds these statements as it does all others.

What only a walk finds, since no index is made for it, is walked in stretches: a page may hold fewer records than were
asked for and still have one after it, so that no answer takes longer for a long trail than for a short one.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, func, literal, select, tuple_

from mappers.audit_event import RecordedAccess
from storage.audit_conditions import AuditColumns, AuditFilter, Condition, one_of
from storage.audit_sqlite import audit_path
from storage.driver import Row
from storage.errors import AuditUnavailable
from storage.reading import Reader
from storage.sql import Prepared, prepare
from storage.tables.audit import rbac_logs

STRETCH: Final = 50_000
"""Records that are looked at for one page, where no index leads to those that are meant."""
_READS: Final = "r"
"""Before the id of a record of the second file."""
_ID: Final = re.compile(rf"({_READS}?)(0|[1-9][0-9]{{0,18}})\Z")
_BEYOND: Final = 1 << 63
_COLUMNS: Final = tuple(column for column in rbac_logs.columns if column.name != "mac")
_NAMES: Final = tuple(column.name for column in _COLUMNS)
_LISTS: Final = tuple(_NAMES.index(name) for name in ("patients", "resource_ids"))
_ORGANIZATION: Final = rbac_logs.c.organization_id == bindparam("organization_id")

Fetch = Callable[[str, Prepared, Mapping[str, Any]], Awaitable[list[Row]]]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record stands in the order of all."""

    at: int
    id: int
    trail: int = 0


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some records in order; `next` is the place to go on after, None where that was all."""

    records: list[RecordedAccess]
    next: Place | None


@dataclass(frozen=True, slots=True)
class Use:
    """Who used the data of a person in a period: one actor with one client for one purpose.

    `first` and `last` in microseconds since 1970 UTC; `count` is the number of requests.
    """

    actor_id: str
    actor_role: str
    client_id: str | None
    purpose: str | None
    resource: str
    action: str
    first: int
    last: int
    count: int


def record_id(record: RecordedAccess) -> str:
    """Return the id of a record's AuditEvent."""
    return f"{_READS if record.trail else ''}{record.id}"


def record_position(text: str) -> tuple[int, int] | None:
    """Return trail and id of the record that an AuditEvent's id names; None for what is no such id."""
    match = _ID.fullmatch(text)
    if match is None or int(match[2]) >= _BEYOND:
        return None
    return (1 if match[1] else 0), int(match[2])


class AuditReader:
    """Reads the records of one organization at a time. Raises AuditUnavailable when the second file cannot be read."""

    def __init__(self, reader: Reader, database_url: str) -> None:
        self._reader = reader
        self.columns = AuditColumns(reader.dialect)
        self._trails: tuple[Fetch, ...] = (reader.fetch,)
        if reader.dialect == "sqlite":
            self._trails = (reader.fetch, _SecondFile(str(audit_path(database_url))).fetch)

    async def find(self, organization_id: str, text: str) -> RecordedAccess | None:
        """Return the record of an AuditEvent's id; None where there is none."""
        place = record_position(text)
        if place is None or place[0] >= len(self._trails):
            return None
        trail, number = place
        statement = select(*_COLUMNS).where(_ORGANIZATION, rbac_logs.c.id == number)
        rows = await self._trails[trail](organization_id, self._prepared(statement), self._own(organization_id))
        return _record(rows[0], trail) if rows else None

    async def page(
        self,
        organization_id: str,
        asked: AuditFilter,
        count: int,
        *,
        after: Place | None = None,
        descending: bool = True,
        stretch: int = STRETCH,
    ) -> AuditPage:
        """Return at most `count` records from a place on; fewer, too, where the stretch that was looked at has fewer.

        Raises DatabaseUnavailable and AuditUnavailable.
        """
        order = _Order(after, descending)
        end = await self._end(organization_id, asked, order, stretch) if asked.walks else None
        found: list[RecordedAccess] = []
        for trail in range(len(self._trails)):
            for conditions in self._branches(asked, trail):
                statement = order.page(select(*_COLUMNS), (*conditions, *order.up_to(end, trail)), trail, count + 1)
                found += [_record(row, trail) for row in await self._fetch(trail, organization_id, statement)]
        found.sort(key=place_of, reverse=descending)
        shown = found[:count]
        if len(found) > count:
            return AuditPage(shown, place_of(shown[-1]) if shown else after)
        return AuditPage(shown, end)

    async def horizon(self, organization_id: str, asked: AuditFilter, stretch: int) -> AuditFilter | None:
        """Return the filter confined to the newest `stretch` records; None where it has no more than these anyway.

        For answers that count: they look at no more.
        """
        end = await self._end(organization_id, asked, _Order(None, descending=True), stretch)
        return None if end is None else replace(asked, since=max(end.at, asked.since or end.at))

    async def count(self, organization_id: str, asked: AuditFilter) -> int:
        """Return how many records are meant."""
        rows = self._grouped(organization_id, asked, (), (func.count(),))
        return sum([number async for (number,) in rows])

    async def window(self, organization_id: str, asked: AuditFilter, offset: int, limit: int) -> list[RecordedAccess]:
        """Return the records from the `offset`-th on, newest first; the ones before it are counted, not read."""
        order = _Order(None, descending=True)
        places: list[list[Place]] = []
        for trail in range(len(self._trails)):
            for conditions in self._branches(asked, trail):
                keys = order.page(select(rbac_logs.c.at, rbac_logs.c.id), conditions, trail, offset + limit)
                rows = await self._fetch(trail, organization_id, keys)
                places.append([Place(at, key, trail) for at, key in rows])
        wanted = list(heapq.merge(*places, reverse=True))[offset : offset + limit]
        found: dict[Place, RecordedAccess] = {}
        for trail in {place.trail for place in wanted}:
            own = [place for place in wanted if place.trail == trail]
            # The instants tell PostgreSQL in which months to look.
            within = (rbac_logs.c.at >= own[-1].at, rbac_logs.c.at <= own[0].at)
            statement = select(*_COLUMNS).where(
                _ORGANIZATION, *within, one_of(rbac_logs.c.id, [place.id for place in own])
            )
            for row in await self._fetch(trail, organization_id, statement):
                record = _record(row, trail)
                found[place_of(record)] = record
        return [found[place] for place in wanted if place in found]

    async def uses(self, organization_id: str, asked: AuditFilter) -> list[Use]:
        """Return who used what is meant, what for and how often: the records counted by these."""
        columns = rbac_logs.c
        keys = (
            columns.actor_id, columns.actor_role, columns.client_id, columns.purpose, columns.resource, columns.action,
        )  # fmt: skip
        facts = (func.min(columns.at), func.max(columns.at), func.count())
        merged: dict[tuple[Any, ...], Use] = {}
        async for row in self._grouped(organization_id, asked, keys, facts):
            key, each = row[: len(keys)], Use(*row)
            merged[key] = _together(merged[key], each) if key in merged else each
        return sorted(merged.values(), key=lambda each: (-each.last, each.actor_id, each.resource, each.action))

    async def _grouped(
        self,
        organization_id: str,
        asked: AuditFilter,
        keys: tuple[ColumnElement[Any], ...],
        facts: tuple[ColumnElement[Any], ...],
    ) -> AsyncIterator[Row]:
        """Give groups of records with facts about each: one stretch after another, so that no statement takes long."""
        order = _Order(None, descending=True)
        while True:
            end = await self._end(organization_id, asked, order, STRETCH) if asked.walks else None
            for trail in range(len(self._trails)):
                for conditions in self._branches(asked, trail):
                    within = (*conditions, *order.beyond(trail), *order.up_to(end, trail))
                    statement = select(*keys, *facts).select_from(rbac_logs).where(_ORGANIZATION, *within)
                    for row in await self._fetch(trail, organization_id, statement.group_by(*keys)):
                        yield row
            if end is None:
                return
            order = _Order(end, descending=True)

    async def _end(self, organization_id: str, asked: AuditFilter, order: _Order, stretch: int) -> Place | None:
        """Return the last place that a stretch reaches; None where it reaches the end of the trail."""
        several = () if asked.people is None else (rbac_logs.c.patients.is_not(None),)
        within = (*_period(asked), *several)
        reached: list[Place] = []
        for trail in range(len(self._trails)):
            keys = order.page(select(rbac_logs.c.at, rbac_logs.c.id), within, trail, 1, offset=stretch - 1)
            rows = await self._fetch(trail, organization_id, keys)
            reached += [Place(at, key, trail) for at, key in rows]
        if not reached:
            return None
        return max(reached) if order.descending else min(reached)

    def _branches(self, asked: AuditFilter, trail: int) -> tuple[tuple[Condition, ...], ...]:
        """Return the conditions, in two parts where people are asked for: each part has an index of its own."""
        places = asked.places
        named = () if places is None else (one_of(rbac_logs.c.id, sorted(key for at, key in places if at == trail)),)
        common = (*_period(asked), *named, *asked.conditions)
        if asked.people is None:
            return (common,)
        return (
            (self.columns.of_one(asked.people), *common),
            (self.columns.of_several(asked.people), *common),
        )

    async def _fetch(self, trail: int, organization_id: str, statement: Select[Any]) -> list[Row]:
        return await self._trails[trail](organization_id, self._prepared(statement), self._own(organization_id))

    def _prepared(self, statement: Select[Any]) -> Prepared:
        return prepare(statement, self._reader.dialect)

    def _own(self, organization_id: str) -> Mapping[str, Any]:
        return {"organization_id": organization_id}


@dataclass(frozen=True, slots=True)
class _Order:
    """Newest or oldest first, from a place on."""

    after: Place | None
    descending: bool

    def page(
        self, columns: Select[Any], conditions: Sequence[Condition], trail: int, count: int, *, offset: int = 0
    ) -> Select[Any]:
        keys = (rbac_logs.c.at, rbac_logs.c.id)
        ordered = [key.desc() for key in keys] if self.descending else list(keys)
        found = columns.where(_ORGANIZATION, *conditions, *self.beyond(trail)).order_by(*ordered).limit(literal(count))
        return found.offset(literal(offset)) if offset else found

    def beyond(self, trail: int) -> tuple[Condition, ...]:
        """Return the condition that a record stands after the place to go on after."""
        return () if self.after is None else (self._compared(self.after, inclusive=self._is_open(trail)),)

    def up_to(self, end: Place | None, trail: int) -> tuple[Condition, ...]:
        """Return the condition that a record stands before the end of a stretch, or there."""
        if end is None:
            return ()
        backward = _Order(None, descending=not self.descending)
        first = trail >= end.trail if self.descending else trail <= end.trail
        return (backward._compared(end, inclusive=first),)

    def _is_open(self, trail: int) -> bool:
        """Whether a record at the very place, but of this trail, comes after it."""
        after = self.after
        return after is not None and (trail < after.trail if self.descending else trail > after.trail)

    def _compared(self, place: Place, *, inclusive: bool) -> Condition:
        columns = tuple_(rbac_logs.c.at, rbac_logs.c.id)
        values = tuple_(literal(place.at), literal(place.id))
        if self.descending:
            return columns <= values if inclusive else columns < values
        return columns >= values if inclusive else columns > values


class _SecondFile:
    """The file of the audit of reads, on SQLite: a connection for each statement, for these are few."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one statement; raises AuditUnavailable."""
        values = {**statement.bind(parameters), "organization_id": organization_id}
        try:
            return await asyncio.to_thread(self._rows, statement.sql, values)
        except sqlite3.Error:
            raise AuditUnavailable("the audit trail cannot be read") from None

    def _rows(self, sql: str, values: Mapping[str, Any]) -> list[Row]:
        # mode=rw: a file that is not there is an error, not a new and empty one
        with closing(sqlite3.connect(f"file:{self._path}?mode=rw", uri=True, timeout=5)) as connection:
            connection.execute("PRAGMA query_only=1")
            return [tuple(row) for row in connection.execute(sql, values)]


def place_of(record: RecordedAccess) -> Place:
    """Return where a record stands."""
    return Place(record.at, record.id, record.trail)


def _period(asked: AuditFilter) -> tuple[Condition, ...]:
    since = () if asked.since is None else (rbac_logs.c.at >= asked.since,)
    until = () if asked.until is None else (rbac_logs.c.at < asked.until,)
    return (*since, *until)


def _record(row: Row, trail: int) -> RecordedAccess:
    values = list(row)
    for at in _LISTS:
        values[at] = tuple(msgspec.json.decode(values[at])) if values[at] else ()
    return RecordedAccess(**dict(zip(_NAMES, values, strict=True)), trail=trail)


def _together(one: Use, other: Use) -> Use:
    return replace(
        one, first=min(one.first, other.first), last=max(one.last, other.last), count=one.count + other.count
    )
