"""The versions of one resource (FHIR R4 http.html#history)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import Table, and_, bindparam, exists, literal_column, select, union_all

from storage.access import Access, Reach, Right
from storage.codec import decode
from storage.driver import Row
from storage.errors import ResourceNotFound
from storage.projection.index_values import index_values
from storage.reading import Reader
from storage.resources import Creation, ResourceKey, Version
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.visibility import access_parameters, includes, own_patient, visible

Fetch = Callable[[Prepared, Mapping[str, Any]], Awaitable[list[Row]]]
"""Runs a reading statement in the caller's organization."""

FIRST_PAGE: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which versions of one resource, newest first (http.html#history).

    `since` and the half-open range `at` are milliseconds; `before` is the version below which the page begins.
    `versions` are those that may be shown (None: all).
    """

    count: int
    since: int | None = None
    at: tuple[int, int] | None = None
    before: int = FIRST_PAGE
    versions: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A page of versions; `next_before` continues it, None on the last page."""

    versions: tuple[Version, ...]
    total: int
    next_before: int | None


def key_parameters(key: ResourceKey, access: Access) -> dict[str, Any]:
    """Return the parameters of a statement about one resource."""
    return {
        "organization_id": access.organization_id,
        "self_key": key.hash,
        "resource_type": key.resource_type,
        "id": key.id,
        **access_parameters(access),
    }


def is_at_key(table: Table) -> Any:
    """Return the condition that a row of `fhir_resources` or `fhir_history` is the resource's."""
    names = ["organization_id", "resource_type", "id", *(["self_key"] if "self_key" in table.c else [])]
    return and_(*(table.c[name] == bindparam(name) for name in names))


@lru_cache
def _history_statement(dialect: str, reach: Reach) -> Prepared:
    """All versions without their bodies, newest first, of a resource whose current row is visible."""
    names = ("version", "last_updated", "deleted", "patient", "creation")
    now, old = fhir.resources, fhir.history
    seen = and_(is_at_key(now), visible(now, reach, deletions=True))
    current = select(*(now.c[name] for name in names)).where(seen)
    superseded = select(*(old.c[name] for name in names)).where(
        is_at_key(old), exists(select(literal_column("1")).where(seen))
    )
    versions = union_all(current, superseded).subquery()
    statement = select(*(versions.c[name] for name in names)).order_by(versions.c.version.desc())
    return prepare(statement, dialect, is_short=not reach.is_granular)  # those have endless shapes


@lru_cache
def _bodies_statement(dialect: str) -> Prepared:
    """Bodies of some versions of a resource; only for versions that `_history_statement` gave in the same snapshot."""
    tables = (fhir.resources, fhir.history)
    found = (
        select(table.c.version, table.c.body).where(is_at_key(table), member_of(table.c.version, "versions"))
        for table in tables
    )
    return prepare(union_all(*found), dialect, is_short=True)


def version_of(key: ResourceKey, row: Row, creation: Creation = Creation.NONE) -> Version:
    """Return the version of a row (version, last_updated, deleted, body)."""
    number, last_updated, deleted, body = row
    return Version(key, number, last_updated, bool(deleted), b"" if deleted else bytes(body), creation)


async def history_page(database: Reader, key: ResourceKey, query: HistoryQuery, access: Access) -> HistoryPage:
    """Return versions newest first, deletions included; raises ResourceNotFound for an unknown resource."""
    reach = access.require(key.resource_type, Right.READ)
    if reach is not Reach.ORGANIZATION:  # what a version's body says decides, so one snapshot has to show both
        async with database.read(access.organization_id) as driver:
            return await _page(driver.fetch, database, key, query, access)
    return await _page(partial(database.fetch, access.organization_id), database, key, query, access)


async def visible_versions(fetch: Fetch, database: Reader, key: ResourceKey, access: Access, reach: Reach) -> list[Row]:
    """Return version, last_updated, deleted, patient and creation of what the caller may see, newest first."""
    rows = await fetch(_history_statement(database.dialect, reach), key_parameters(key, access))
    return await _seen(fetch, database, rows, key, access=access, reach=reach)


async def _page(fetch: Fetch, database: Reader, key: ResourceKey, query: HistoryQuery, access: Access) -> HistoryPage:
    """Return a page; a version's content never changes, so its body may be fetched after the list of versions.

    When a version was current, versions tell that the caller does not see.
    """
    reach = access.require(key.resource_type, Right.READ)
    parameters = key_parameters(key, access)
    rows = await fetch(_history_statement(database.dialect, reach), parameters)
    seen = {row[0] for row in await _seen(fetch, database, rows, key, access=access, reach=reach)}
    if not seen:
        raise ResourceNotFound(key.resource_type, key.id)
    asked = [row for row in _asked_for(rows, query) if row[0] in seen]
    page = [row for row in asked if row[0] < query.before]
    found = await _bodies(fetch, database.dialect, parameters, [row[0] for row in page[: query.count]])
    # A superseded version of the telemetry class may have gone meanwhile (settled §3.2).
    shown = [row for row in page[: query.count] if row[0] in found]
    versions = tuple(version_of(key, (*row[:3], found[row[0]]), Creation(row[4])) for row in shown)
    more = len(page) > query.count and bool(versions)
    return HistoryPage(versions, len(asked), versions[-1].version if more else None)


async def _seen(
    fetch: Fetch, database: Reader, rows: list[Row], key: ResourceKey, *, access: Access, reach: Reach
) -> list[Row]:
    """Leave out versions that the caller may not see (V6, smart.md E3)."""
    if reach is Reach.ORGANIZATION or not rows:
        return rows
    own = own_patient(access)
    is_told = {row[0]: _tells(row, own) for row in rows} if reach is Reach.COMPARTMENT else {}
    unclear = [row[0] for row in rows[1:] if not row[2] and is_told.get(row[0]) is None]
    bodies = await _bodies(fetch, database.dialect, key_parameters(key, access), unclear)

    def sees(version: int) -> bool:
        told = is_told.get(version)
        if told is not None:
            return told
        return version in bodies and includes(reach, index_values(decode(bodies[version]), database.base_url), access)

    return _as_before(rows, sees, by_patient=reach is Reach.COMPARTMENT)


def _tells(row: Row, own: int | None) -> bool | None:
    """Say by its patient whether a version lies in the compartment; None where only its body tells.

    Where the patient is 0 it is about nobody, or lies in several compartments.
    """
    _, _, deleted, patient, _ = row
    return None if patient == 0 and not deleted else bool(patient == own)


def _as_before(rows: Sequence[Row], sees: Callable[[int], bool], *, by_patient: bool) -> list[Row]:
    """Keep the versions that are seen, newest first; a deletion is seen by whoever saw the version before it.

    The current one was found by the predicate itself, save where it is a deletion and contents decide.
    """
    kept: list[Row] = []
    before = False
    for row in reversed(rows[1:]):
        version, _, deleted, patient, _ = row
        if not deleted or (by_patient and patient != 0):
            before = sees(version)
        if before:
            kept.append(row)
    if by_patient or before or not rows[0][2]:
        kept.append(rows[0])
    return kept[::-1]


async def _bodies(fetch: Fetch, dialect: str, parameters: Mapping[str, Any], versions: list[int]) -> dict[int, bytes]:
    """Return version → body of those versions that are there."""
    if not versions:
        return {}
    return dict(await fetch(_bodies_statement(dialect), {**parameters, "versions": versions}))


def _asked_for(rows: Sequence[Row], query: HistoryQuery) -> list[Row]:
    """Keep the versions (newest first) that are asked for."""
    found = _in_time(rows, query)
    return found if query.versions is None else [row for row in found if row[0] in query.versions]


def _in_time(rows: Sequence[Row], query: HistoryQuery) -> list[Row]:
    """Keep the versions since an instant, or those current at some time of a half-open range."""
    if query.since is not None:
        return [row for row in rows if row[1] >= query.since]
    if query.at is None:
        return list(rows)
    kept: list[Row] = []
    for row in rows:
        if row[1] < query.at[1]:
            kept.append(row)
            if row[1] <= query.at[0]:
                break
    return kept
