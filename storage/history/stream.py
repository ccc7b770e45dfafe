"""Histories of a type, of all types, and of what a List names (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import select

from capability.elements import RESOURCE_TYPES
from storage.access import Access, Reach, Right
from storage.driver import Driver, Row
from storage.errors import InteractionForbidden
from storage.history.instance import visible_versions
from storage.history.statements import (
    COLUMNS,
    PAGE_COLUMNS,
    PLACE,
    StreamShape,
    compile_count,
    compile_stream,
    place_parameters,
)
from storage.reading import Reader
from storage.resources import Creation, ResourceKey, Version
from storage.search.agreement import AGREED
from storage.search.cursor import CursorSealer
from storage.search.includes import TypesWithin
from storage.search.own import ORGANIZATION
from storage.search.query import Search
from storage.search.shape import Binder
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.visibility import access_parameters

MOST_COUNTED: Final = 10_000
"""A total above it is not given: counting shall not cost more than the page."""
_HISTORY: Final = "_history"


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """Which versions of which resources, newest first.

    `resource_type` is empty for all types. `since` and the half-open range `at` are milliseconds. `listed` are the
    resources that a List names, each with the version it names or None for all (None: no List was asked for).
    `parameters` are the pairs as the self link shows them; a page's place is bound to them. `count` 0 asks for the
    total alone.
    """

    resource_type: str
    count: int
    since: int | None = None
    at: tuple[int, int] | None = None
    listed: Mapping[ResourceKey, frozenset[int] | None] | None = None
    cursor: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()

    def as_search(self) -> Search:
        """Return what the page's place is bound to."""
        return Search(self.resource_type, parameters=((_HISTORY, ""), *self.parameters), cursor=self.cursor)


@dataclass(frozen=True, slots=True)
class StreamPage:
    """A page of versions. `total` is None where it is not known, `next_cursor` on the last page."""

    versions: tuple[Version, ...]
    total: int | None
    next_cursor: str | None


class Streams:
    """Reads histories that go across resources; `clock` gives milliseconds since 1970 UTC."""

    def __init__(self, reader: Reader, signing_secret: bytes, clock: Callable[[], int]) -> None:
        self.reader = reader
        self.clock = clock
        self._signing_secret = signing_secret
        self._sealer = CursorSealer(signing_secret)

    def reading(self, reader: Reader) -> Streams:
        """Return the same histories, read elsewhere: inside a unit of work, for instance."""
        return Streams(reader, self._signing_secret, self.clock)

    async def page(self, query: StreamQuery, access: Access) -> StreamPage:
        """Return one page; what is written later comes above its first version and so on no later page.

        On PostgreSQL it stops before the oldest running transaction (settled §3.4). Raises InteractionForbidden,
        CursorInvalid and CursorExpired.
        """
        seen = _seen(query.resource_type, access)
        place: list[Any] = []
        total: int | None = None
        reaches = _digest(seen, access)
        if query.cursor is not None:
            *place, total, counted_by = self._sealer.read(query.as_search(), access, self.clock())
            total = (
                total if counted_by == reaches else None
            )  # a narrower token is not told what a wider one sees (AZ-10)
        if query.listed is not None:
            seen = {key.resource_type: seen[key.resource_type] for key in query.listed if key.resource_type in seen}
        async with self.reader.read(access.organization_id) as driver:  # bodies and versions in one snapshot
            walk = _Walk(self.reader, driver, query, access, seen)
            rows = await walk.rows(place, query.count + 1) if query.count else []
            shown = rows[: query.count]
            more = len(rows) > query.count
            if query.cursor is None:
                total = await walk.total() if more or not query.count else len(shown)
        cursor = None
        if more and shown:
            kept = [*shown[-1][: len(PLACE)], total, reaches]
            cursor = self._sealer.make(query.as_search(), access, kept, self.clock())
        return StreamPage(tuple(map(_version, shown)), total, cursor)


def _seen(resource_type: str, access: Access) -> Mapping[str, Reach]:
    """Return how far the caller sees each type asked for: histories across resources go by the right to search."""
    if resource_type:
        return {resource_type: access.require(resource_type, Right.SEARCH)}
    reaches = {name: access.reach(name, Right.SEARCH) for name in RESOURCE_TYPES}
    seen = {name: reach for name, reach in reaches.items() if reach is not Reach.NONE}
    if not seen:
        raise InteractionForbidden("any type", Right.SEARCH.name.lower())
    return seen


def _digest(seen: Mapping[str, Reach], access: Access) -> str:
    """Return what tells apart how far tokens reach, on every worker alike; who agreed to partners is none of it."""
    values = sorted((name, value) for name, value in access.filters.items() if name != AGREED)
    return blake2b(repr((sorted(seen.items()), values)).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class _Walk:
    """The versions of one request, in one snapshot."""

    reader: Reader
    driver: Driver
    query: StreamQuery
    access: Access
    seen: Mapping[str, Reach]

    async def rows(self, place: Sequence[Any], limit: int) -> list[Row]:
        """Return rows of PAGE_COLUMNS after a place; those that only more than the statement tells away are gone."""
        found: list[Row] = []
        while self.seen:
            shape, values = self._shape(limit, after=bool(place))
            parameters = {**values, **place_parameters(place)} if place else values
            rows = await self.driver.fetch(compile_stream(shape, self.driver.dialect), parameters)
            found += await self._kept(rows)
            if len(rows) < limit or len(found) >= limit:
                break
            place = rows[-1][: len(PLACE)]
        return found[:limit]

    async def total(self) -> int | None:
        """Return how many versions all pages hold together; None when they are many, or only a walk would tell."""
        shape, values = self._shape(MOST_COUNTED + 1, after=False)
        count = 0
        if shape.whole is not None:
            if self.query.at is not None:
                return None
            ((counted,),) = await self.driver.fetch(compile_count(shape, self.driver.dialect), values)
            count = int(counted)
        if shape.bound and count <= MOST_COUNTED:
            bound = replace(self, seen={name: reach for name, reach in self.seen.items() if self._is_bound(reach)})
            count += len(await bound.rows((), MOST_COUNTED + 1))
        return count if count <= MOST_COUNTED else None

    def _is_bound(self, reach: Reach) -> bool:
        return reach is not Reach.ORGANIZATION or self.query.listed is not None

    def _shape(self, limit: int, *, after: bool) -> tuple[StreamShape, dict[str, Any]]:
        binder = Binder()
        by_reach: dict[Reach, list[str]] = {}
        for name, reach in self.seen.items():
            by_reach.setdefault(reach, []).append(name)
        whole, many = None, False
        bound: list[TypesWithin] = []
        for reach, names in by_reach.items():
            if self._is_bound(reach):
                bound.append(TypesWithin(*binder.bind_list(names), reach))
            else:
                whole, many = binder.bind_list(names)
        query = self.query
        values = {"organization_id": self.access.organization_id, **binder.values}
        values |= access_parameters(self.access)
        if query.since is not None:
            values["since"] = query.since
        if query.at is not None:
            values["at_start"], values["at_end"] = query.at
        if query.listed is not None:
            values["listed"] = [key.hash for key in query.listed]
        listed = query.listed is not None
        shape = StreamShape(
            whole, many, tuple(bound), listed, query.since is not None, query.at is not None, after, limit
        )
        return shape, values

    async def _kept(self, rows: Sequence[Row]) -> list[Row]:
        """Leave out what the statement could not: by the List's version, the instant, or what a body says."""
        current = await self._current(rows) if self.query.at is not None else {}
        own: dict[ResourceKey, frozenset[int]] = {}
        kept: list[Row] = []
        for row in rows:
            named = _named(row)
            key = ResourceKey(named["resource_type"], named["id"])
            if self.query.listed is not None:
                versions = self.query.listed.get(key)
                if versions is not None and named["version"] not in versions:
                    continue
            is_old = named["self_key"] is None
            if is_old and self.query.at is not None and current.get(key.hash, self.query.at[1]) <= self.query.at[0]:
                continue
            if _is_unclear(named, self.seen[key.resource_type]):
                if key not in own:
                    own[key] = await self._own_versions(key)
                if named["version"] not in own[key]:
                    continue
            kept.append(row)
        return kept

    async def _current(self, rows: Sequence[Row]) -> dict[int, int]:
        """Return when the current versions of what these superseded ones belong to were written, by self_key."""
        keys = {ResourceKey(row[2], row[3]).hash for row in rows if _named(row)["self_key"] is None}
        if not keys:
            return {}
        parameters = {"organization_id": self.access.organization_id, "keys": sorted(keys)}
        return dict(await self.driver.fetch(_updated_statement(self.driver.dialect), parameters))

    async def _own_versions(self, key: ResourceKey) -> frozenset[int]:
        reach = self.seen[key.resource_type]
        rows = await visible_versions(self.driver.fetch, self.reader, key, self.access, reach)
        return frozenset(map(itemgetter(0), rows))


def _is_unclear(named: Mapping[str, Any], reach: Reach) -> bool:
    """Say whether only bodies tell if a version may be seen: what was, unless a patient says it (V6, smart.md E3)."""
    is_old = named["self_key"] is None
    if reach.is_granular:
        return is_old or bool(named["deleted"])
    return is_old and reach is not Reach.ORGANIZATION and named["patient"] == 0


def _named(row: Row) -> dict[str, Any]:
    return dict(zip(COLUMNS, row[: len(COLUMNS)], strict=True))


def _version(row: Row) -> Version:
    named = dict(zip(PAGE_COLUMNS, row, strict=True))
    deleted = bool(named["deleted"])
    return Version(
        ResourceKey(named["resource_type"], named["id"]),
        named["version"],
        named["last_updated"],
        deleted,
        b"" if deleted else bytes(named["body"]),
        Creation(named["creation"]),
    )


@lru_cache
def _updated_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c.organization_id == ORGANIZATION, member_of(rows.c.self_key, "keys"))
    return prepare(select(rows.c.self_key, rows.c.last_updated).where(*own), dialect)
