"""Labels of resources: the tags, security labels and profiles in `meta` (FHIR R4 resource-operation-meta.html).

They are changed in place: labels are about the record and not part of its content, so there is no new version. What no
column holds of a mapped resource's labels goes into its residual, so that the next rendering shows them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, literal_column, select, union_all

from capability.elements import RESOURCE_TYPES
from mappers.registry import mapper_of
from storage.access import Access, Reach, Right
from storage.codec import SERVER_META
from storage.conditional import required
from storage.errors import InteractionForbidden, MapperStopped, MappingRefused, SearchTooCostly, WriteOutsideAccess
from storage.projection.facts import open_facts
from storage.projection.index_values import index_values
from storage.projection.lineage import row_with_facts
from storage.projection.project import UNMAPPABLE, residual_bytes, residual_of
from storage.reading import Reader, UnitReader
from storage.resources import Home, ResourceKey, Stored, Version
from storage.search.agreement import with_agreed
from storage.search.includes import TypesWithin
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import is_one_of, parameter_like
from storage.search.shape import Binder
from storage.sql import Prepared, prepare
from storage.store import require_sole
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import load_current, replace_in_place
from storage.visibility import ACCESS_PATIENT, access_parameters, includes, visible

KINDS: Final = ("profile", "security", "tag")
"""The elements of `meta` that are labels, in the order of the specification."""
MOST_READ: Final = 10_000
"""More resources are not read to tell which labels are in use."""

Meta = Mapping[str, Any]


async def change_labels(
    unit: UnitOfWork,
    key: ResourceKey,
    change: Callable[[Meta], Meta],
    access: Access,
    expected_version: int | None = None,
) -> Version:
    """Change the labels of a resource in place and return its current version, which keeps number and instant.

    `change` takes the elements of `meta` that are not the server's and returns them changed. Raises ResourceNotFound
    (absent or invisible), ResourceGone, VersionConflict, WriteOutsideAccess, MapperStopped, MappingRefused and
    InteractionForbidden.
    """
    access = await with_agreed(UnitReader(unit), access)
    found = (await load_current(unit, [key])).get(key)
    stored = required(key, found, access, unit.base_url, expected_version)
    resource = stored.resource()
    reach = access.reach(key.resource_type, Right.UPDATE)
    require_sole(stored, reach, access, unit.base_url)
    meta = own_meta(resource)
    changed = change(meta)
    if changed == meta:
        return Version(key, stored.version, stored.last_updated, deleted=False, body=stored.body)
    labelled = {name: value for name, value in resource.items() if name != "meta"} | {"meta": changed}
    if reach.is_granular and not includes(reach, index_values(labelled, unit.base_url), access):
        raise WriteOutsideAccess(key.resource_type)
    residual = stored.residual if stored.home is None else await _residual(unit, stored, stored.home, change)
    return await replace_in_place(unit, stored, labelled, residual)


def own_meta(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return the elements of `meta` that are not the server's own."""
    return {name: value for name, value in resource.get("meta", {}).items() if name not in SERVER_META}


async def _residual(unit: UnitOfWork, stored: Stored, home: Home, change: Callable[[Meta], Meta]) -> bytes | None:
    """Return the residual with which the row shows the changed labels.

    The row is read as it is now: whatever another program changed in it since the version was made stays a change.
    """
    mapper = mapper_of(home.table, stored.key.resource_type)
    if unit.stops.reason(mapper) is not None:
        raise MapperStopped(stored.key.resource_type, mapper.table)
    facts = await open_facts(unit)
    try:
        row = await row_with_facts(unit, facts, mapper, home)
        if row is None:
            raise MappingRefused(*_named(stored), f"the row of {home.table} is gone")
        own, lookups, residual = mapper.of(row), facts.lookups(), residual_of(stored)
        meta = own_meta(own.render(row, home.part, lookups, residual))
        return residual_bytes(own.with_meta(row, home.part, lookups, residual, change(meta)))
    except UNMAPPABLE:
        raise MappingRefused(*_named(stored), f"a row of {home.table} cannot be shown: mend it first") from None


def _named(stored: Stored) -> tuple[str, str]:
    return stored.key.resource_type, stored.key.id


# --- labels in use ----------------------------------------------------------------------------------------------------


class _Labels(msgspec.Struct):
    """What is read of a `meta`."""

    profile: list[str] = msgspec.field(default_factory=list)
    security: list[dict[str, Any]] = msgspec.field(default_factory=list)
    tag: list[dict[str, Any]] = msgspec.field(default_factory=list)


class _Labelled(msgspec.Struct):
    """What is read of a resource."""

    meta: _Labels = msgspec.field(default_factory=_Labels)


_decoder = msgspec.json.Decoder(_Labelled)


@dataclass(slots=True)
class LabelsInUse:
    """The labels of some resources, each once, and how many resources were read."""

    resources: int = 0
    profiles: set[str] = field(default_factory=set)
    codings: dict[str, dict[tuple[str, str], dict[str, Any]]] = field(
        default_factory=lambda: {"security": {}, "tag": {}}
    )

    def add(self, body: bytes) -> None:
        """Add the labels of one resource."""
        meta = _decoder.decode(body).meta
        self.resources += 1
        self.profiles.update(meta.profile)
        for name, codings in (("security", meta.security), ("tag", meta.tag)):
            for coding in codings:
                self.codings[name].setdefault(identity(coding), coding)

    def meta(self) -> dict[str, Any]:
        """Return them as a Meta, in order."""
        found: dict[str, Any] = {"profile": sorted(self.profiles)}
        found |= {name: [each for _, each in sorted(codings.items())] for name, codings in self.codings.items()}
        return {name: value for name, value in found.items() if value}


def identity(coding: Mapping[str, Any]) -> tuple[str, str]:
    """Return what makes a tag or security label the same as another: system and code, not version and display."""
    return coding.get("system", ""), coding.get("code", "")


async def labels_in_use(reader: Reader, resource_type: str, access: Access) -> LabelsInUse:
    """Return the labels of all resources that the caller may search, of one type or, when that is empty, of all types.

    Raises InteractionForbidden, and SearchTooCostly where more than MOST_READ resources would have to be read: no index
    knows labels as they are written, and an answer from some of them would pass for the whole.
    """
    types = (resource_type,) if resource_type else RESOURCE_TYPES
    by_reach: dict[Reach, list[str]] = {}
    for name in types:
        by_reach.setdefault(access.reach(name, Right.SEARCH), []).append(name)
    by_reach.pop(Reach.NONE, None)
    if not by_reach:
        raise InteractionForbidden(resource_type or "any type", Right.SEARCH.name.lower())
    binder = Binder()
    kinds = tuple(TypesWithin(*binder.bind_list(group), reach) for reach, group in by_reach.items())
    parameters = {
        "organization_id": access.organization_id,
        **access_parameters(access),
        **binder.values,
    }
    rows = await reader.fetch(access.organization_id, _bodies(kinds, reader.dialect), parameters)
    if len(rows) > MOST_READ:
        narrower = "of a resource" if resource_type else "of a type"
        raise SearchTooCostly(f"more than {MOST_READ} resources would have to be read: ask for $meta {narrower}")
    return _together(bytes(body) for (body,) in rows)


def _together(bodies: Iterable[bytes]) -> LabelsInUse:
    found = LabelsInUse()
    for body in bodies:
        found.add(body)
    return found


@lru_cache(maxsize=64)
def _bodies(kinds: Sequence[TypesWithin], dialect: str) -> Prepared:
    limit: ColumnElement[int] = literal_column(str(MOST_READ + 1))
    parts = [part.limit(limit).subquery() for kind in kinds for part in _of_kind(kind)]
    return prepare(union_all(*(select(part) for part in parts)).limit(limit), dialect)


def _of_kind(kind: TypesWithin) -> list[Select[Any]]:
    """Return the bodies of one reach: those of a compartment by the column, and by rows of what is shared."""
    if kind.types is None:
        raise TypeError("the types are named")
    rows = fhir.resources.alias()
    own = parameter_like(rows.c.patient, ACCESS_PATIENT)
    every = select(rows.c.body).where(
        rows.c.organization_id == ORGANIZATION,
        is_one_of(rows.c.resource_type, kind.types, kind.many),
        rows.c.deleted.is_(False),
    )
    if not kind.reach.is_bound:
        return [every.where(visible(rows, kind.reach))]
    every = every.where(visible(rows, kind.reach)) if kind.reach.is_granular else every
    shared = fhir.compartments.alias()
    rids = select(shared.c.rid).where(shared.c.organization_id == ORGANIZATION, shared.c.patient == own)
    return [every.where(rows.c.patient == own), every.where(rows.c.patient == 0, rows.c.rid.in_(rids))]
