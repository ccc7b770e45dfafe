"""Where each element of a resource comes from: which column of which row, the residual, or the mapper itself.

The mappers' declarations say it (`ResourceMapper.lineage`); here the row is read as it is now. It may have been changed
by another program since the version was made: what the version shows otherwise than the row is UNKNOWN then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, select

from mappers.json_values import Json, same
from mappers.leaves import leaves
from mappers.lens import ResourceMapper, Row
from mappers.registry import mapper_of
from storage.access import Access, Reach, Right
from storage.errors import ResourceGone, ResourceNotFound
from storage.projection.declared import DERIVED_TABLES, edges_of
from storage.projection.facts import Facts, open_facts
from storage.projection.links import add_links
from storage.projection.project import UNMAPPABLE, residual_of
from storage.projection.shown import load_shown
from storage.projection.sources import load_derived
from storage.resources import Home, ResourceKey, Stored
from storage.rows import load_rows
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import STORED_COLUMNS, stored_of
from storage.visibility import access_parameters, visible


class SourceKind(StrEnum):
    """What an element comes from."""

    COLUMN = "column"
    RESIDUAL = "residual"
    """Written through FHIR, and no column has room for it."""
    CONSTANT = "constant"
    """The mapper's own: the same for every row."""
    NATIVE = "native"
    """The resource lives in no table."""
    UNKNOWN = "unknown"
    """The row is not as this version shows it: it was changed, or cannot be read, and the next version is to come."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one element comes from; `columns` are empty for all kinds but COLUMN."""

    kind: SourceKind
    columns: tuple[str, ...] = ()


NATIVE: Final = Source(SourceKind.NATIVE)
UNKNOWN: Final = Source(SourceKind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Sources by FHIRPath for every leaf of the current version, what the server writes into `meta` aside.

    `home` is the row, and `mapper` the name of what renders it; None for a native resource.
    """

    stored: Stored
    sources: Mapping[str, Source]
    mapper: str | None = None

    @property
    def home(self) -> Home | None:
        """The row that holds the resource."""
        return self.stored.home


async def lineage_of(unit: UnitOfWork, key: ResourceKey, access: Access) -> Lineage:
    """Return the lineage of the current version.

    Raises InteractionForbidden, ResourceNotFound and ResourceGone as reading the resource does.
    """
    stored = await _visible(unit, key, access)
    shown = own_leaves(stored.resource())
    if stored.home is None:
        return Lineage(stored, dict.fromkeys(shown, NATIVE))
    mapper = mapper_of(stored.home.table, key.resource_type)
    traced = await _traced(unit, mapper, stored, stored.home)
    return Lineage(stored, {path: _source(path, value, traced) for path, value in shown.items()}, mapper.name)


def own_leaves(resource: Mapping[str, Any]) -> dict[str, Json]:
    """Return the leaves of a version that are not the server's: all but versionId and lastUpdated."""
    server = {f"{resource['resourceType']}.meta.{name}" for name in ("versionId", "lastUpdated")}
    return {path: value for path, value in leaves(resource).items() if path not in server}


_Traced = tuple[Mapping[str, Json], Mapping[str, str]]
"""Leaves of the row as it is now, and where the mapper says they come from."""


def _source(path: str, value: Json, traced: _Traced | None) -> Source:
    if traced is None:
        return UNKNOWN
    rendered, sources = traced
    is_id = path.count(".") == 1 and path.endswith(
        ".id"
    )  # the row's, even where the store chose another (settled §1.6)
    if path in sources and (is_id or same(value, rendered.get(path))):
        return _named(sources[path])
    return UNKNOWN


def _named(source: str) -> Source:
    if source in {SourceKind.RESIDUAL, SourceKind.CONSTANT}:
        return Source(SourceKind(source))
    return Source(SourceKind.COLUMN, tuple(name.rpartition(".")[2] for name in source.split(", ")))


async def _traced(unit: UnitOfWork, mapper: ResourceMapper, stored: Stored, home: Home) -> _Traced | None:
    """Return what the row gives now; None where it is gone or cannot be rendered."""
    if unit.stops.reason(mapper) is not None:
        return None
    facts = await open_facts(unit)
    try:
        row = await row_with_facts(unit, facts, mapper, home)
        if row is None:
            return None
        own, lookups, residual = mapper.of(row), facts.lookups(), residual_of(stored)
        rendered = own.render(row, home.part, lookups, residual)
        return leaves(rendered), own.lineage(row, home.part, lookups, residual)
    except UNMAPPABLE:
        return None


async def row_with_facts(unit: UnitOfWork, facts: Facts, mapper: ResourceMapper, home: Home) -> Row | None:
    """Return the row with everything that its rendering uses in `facts`."""
    load = load_derived if home.table in DERIVED_TABLES else load_rows
    rows = await load(unit.connection, home.table, unit.organization_id, [home.key])
    row = rows.get(home.key)
    if row is not None:
        await load_shown(unit, facts, list(edges_of(mapper)), {home.table: [row]})
        await add_links(unit, facts, [(home.table, home.key)])
    return row


async def _visible(unit: UnitOfWork, key: ResourceKey, access: Access) -> Stored:
    reach = access.require(key.resource_type, Right.READ)
    parameters = {
        "organization_id": unit.organization_id,
        "self_key": key.hash,
        **access_parameters(access),
    }
    rows = await unit.driver.fetch(_stored_statement(unit.driver.dialect, reach), parameters)
    stored = stored_of(rows[0]) if rows else None
    if stored is None:
        raise ResourceNotFound(key.resource_type, key.id)
    if stored.deleted:
        raise ResourceGone(key.resource_type, key.id, stored.version, stored.last_updated)
    return stored


@lru_cache
def _stored_statement(dialect: str, reach: Reach) -> Prepared:
    rows = fhir.resources
    own = (rows.c[name] == bindparam(name) for name in ("organization_id", "self_key"))
    return prepare(select(*STORED_COLUMNS).where(*own, visible(rows, reach)), dialect)
