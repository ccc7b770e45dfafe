"""Rows to pending versions: what FHIR shall show after rows changed (design 'The one idea')."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, exc, select

from capability.registry import REGISTRY
from mappers.errors import MappingError
from mappers.identity import part_resource_id
from mappers.lens import ResourceMapper, Row
from mappers.registry import mappers_of_table
from mappers.residual import NOTHING, Residual
from mappers.telemetry import next_due
from storage.codec import decode, encode
from storage.projection.declared import DERIVED_TABLES, edges_of
from storage.projection.facts import Facts
from storage.projection.index_values import IndexLikeness, IndexValues, index_values
from storage.projection.links import add_links
from storage.projection.shown import load_shown
from storage.projection.sources import load_derived
from storage.resources import Home, ResourceKey, Stored
from storage.rows import load_rows
from storage.sql import Prepared, member_of, prepare
from storage.stops import STOPPED
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import STORED_COLUMNS, Pending, is_unchanged, load_current, stored_of

UNMAPPABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    MappingError,
    exc.DataError,
)
"""What reading or rendering a row raises when another writer left in it what no mapper foresees."""

Part = tuple[str, str, str]
"""Resource type, row key, part key."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One resource that a row gives, and what is stored of it so far."""

    mapper: ResourceMapper
    row: Row
    part: str
    stored: Stored | None


@dataclass(slots=True)
class Projected:
    """Versions to be written for a set of rows, and the rows that could not be mapped (key → reason)."""

    pendings: list[Pending] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    alike: dict[tuple[str, Hashable], tuple[Mapping[str, Any], IndexLikeness]] = field(default_factory=dict)
    """What one row of each kind gave (`mappers.lens.Alike`), by mapper and kind."""
    deferred: dict[str, int] = field(default_factory=dict)
    """Rows that differ and are to be shown later (settled §3.2): key → when, in milliseconds since 1970 UTC."""


@lru_cache
def _homed_statement(dialect: str) -> Prepared:
    statement = (
        select(*STORED_COLUMNS)
        .where(
            fhir.resources.c.organization_id == bindparam("organization_id"),
            fhir.resources.c.home_table == bindparam("home_table"),
            member_of(fhir.resources.c.home_key, "keys"),
        )
        .order_by(fhir.resources.c.self_key)
        .with_for_update()
    )
    return prepare(statement, dialect)


async def load_homed(unit: UnitOfWork, table: str, keys: Sequence[str]) -> dict[Part, Stored]:
    """Return what is stored for rows of a table, locked until the end of the unit of work."""
    parameters = {"organization_id": unit.organization_id, "home_table": table, "keys": list(keys)}
    rows = await unit.driver.fetch(_homed_statement(unit.driver.dialect), parameters)
    found: dict[Part, Stored] = {}
    for stored in map(stored_of, rows):
        if stored.home is not None:
            found[stored.key.resource_type, stored.home.key, stored.home.part] = stored
    return found


def residual_of(stored: Stored | None) -> Residual:
    """Return the residual of a stored resource."""
    if stored is None or stored.residual is None:
        return NOTHING
    return Residual.from_json(decode(stored.residual))


def residual_bytes(residual: Residual) -> bytes | None:
    """Return a residual as stored; None when it is empty."""
    return encode(residual.to_json()) if residual else None


async def project_rows(
    unit: UnitOfWork,
    facts: Facts,
    table: str,
    keys: Iterable[str],
    but: Sequence[Pending] = (),
    *,
    at_once: bool = False,
) -> Projected:
    """Return the versions that rows of one table call for; rows that are gone take their resources with them.

    Resources in `but` are left out: another part of the unit of work writes them, and the store may not know yet that
    they live in these rows. With `at_once` what is to be shown
    later is among the versions, too. Nothing is written here.
    """
    wanted = sorted(set(keys))
    left_out = frozenset(pending.key for pending in but)
    written = {
        (pending.key.resource_type, pending.home.key, pending.home.part)
        for pending in but
        if pending.home is not None and pending.home.table == table
    }
    projected = Projected()
    # What is stored is locked before the rows are read: who waited for another projection sees what that one saw.
    homed = await load_homed(unit, table, wanted)
    mappers = unit.stops.running(mappers_of_table(table))
    stopped = [mapper for mapper in mappers_of_table(table) if mapper not in mappers]
    if stopped and not mappers:  # not even whether a row is still there may be known
        return Projected(failures=dict.fromkeys(wanted, _stopped(unit, stopped)))
    rows = await _load(unit, table, wanted, projected.failures)
    edges = [edge for mapper in mappers for edge in edges_of(mapper)]
    await load_shown(unit, facts, edges, {table: rows.values()})
    await add_links(unit, facts, [(table, key) for key in rows])
    shown = _taken_apart(mappers, rows, facts, homed, written=written, failures=projected.failures)
    taken = await _taken_ids(unit, shown)
    for each in shown:
        pending = _render(projected, facts, each, taken, unit.base_url)
        if pending is None or pending.key in left_out:
            continue
        due = _due(each, unit.ids.milliseconds())
        waits = due is not None and not is_unchanged(pending)
        if due is not None and waits:
            projected.deferred[each.row.id] = due
        if at_once or not waits:
            projected.pendings.append(pending)
    projected.pendings += [
        _gone(mappers_of_table(table), stored, has_row=key in rows)
        for (_, key, _), stored in homed.items()
        if stored.key not in left_out
        and key not in projected.failures
        and not (key in rows and any(_renders(mapper, stored) for mapper in stopped))
    ]
    if stopped:
        projected.failures = {**dict.fromkeys(rows, _stopped(unit, stopped)), **projected.failures}
    return projected


def _taken_apart(
    mappers: Sequence[ResourceMapper],
    rows: Mapping[str, Row],
    facts: Facts,
    homed: dict[Part, Stored],
    *,
    written: set[Part],
    failures: dict[str, str],
) -> list[Shown]:
    """Return what rows show, save for parts that are `written` elsewhere.

    What is stored of it is taken out of `homed`; rows that cannot be taken apart are added to `failures`.
    """
    shown: list[Shown] = []
    lookups = facts.lookups()
    for key, row in rows.items():
        try:
            shown.extend(
                Shown(own, row, part, homed.pop((own.resource_type, key, part), None))
                for mapper in mappers
                if facts.shows(mapper, row)
                for own in (_of_row(mapper, row),)
                for part in own.parts(row, lookups)
                if (own.resource_type, key, part) not in written
            )
        except UNMAPPABLE as error:
            failures[key] = f"{type(error).__name__} while taking the row apart"
    return shown


def _of_row(mapper: ResourceMapper, row: Row) -> ResourceMapper:
    """Return the mapper of the row's own type; raises ValueError for a type that is not served."""
    own = mapper.of(row)
    if own.resource_type not in REGISTRY:
        raise ValueError("is of no type of FHIR R4")
    return own


def _renders(mapper: ResourceMapper, stored: Stored) -> bool:
    """Whether a resource of the mapper's table may be the mapper's."""
    return mapper.type_of is not None or mapper.resource_type == stored.key.resource_type


def _stopped(unit: UnitOfWork, mappers: Iterable[ResourceMapper]) -> str:
    """Return why rows are not shown by some mappers; they are projected again once these run."""
    return STOPPED + "; ".join(f"{mapper.name}: {unit.stops.mappers[mapper.name]}" for mapper in mappers)


def _due(shown: Shown, now: int) -> int | None:
    stored = shown.stored
    if stored is None or stored.deleted or shown.mapper.pace is None:
        return None
    return next_due(shown.mapper.pace(shown.row), stored.last_updated, now)


def _gone(mappers: Iterable[ResourceMapper], stored: Stored, *, has_row: bool) -> Pending:
    """Return the deletion of what is shown no longer; a reading that is shown by day only keeps its home."""
    own = [mapper for mapper in mappers if mapper.resource_type == stored.key.resource_type]
    keep = not any(mapper.telemetry for mapper in own)
    if has_row and any(mapper.metric for mapper in own):
        return Pending(stored.key, None, stored, stored.home, stored.residual, keep=keep)
    return Pending(stored.key, None, stored, keep=keep)


async def _load(unit: UnitOfWork, table: str, keys: Sequence[str], failures: dict[str, str]) -> Mapping[str, Row]:
    """Return the rows that exist; one whose columns hold what they should not is noted and left out."""
    load = load_derived if table in DERIVED_TABLES else load_rows
    try:
        return await load(unit.connection, table, unit.organization_id, keys)
    except UNMAPPABLE:
        rows: dict[str, Row] = {}
    for key in keys:
        try:
            rows.update(await load(unit.connection, table, unit.organization_id, [key]))
        except UNMAPPABLE as error:
            failures[key] = f"{type(error).__name__} while reading the row"
    return rows


async def _taken_ids(unit: UnitOfWork, shown: Sequence[Shown]) -> Mapping[ResourceKey, Stored]:
    """Return what is stored under the ids that resources without a stored version may get."""
    new = [each for each in shown if each.stored is None]
    taken = await load_current(unit, set(map(_own_key, new)))
    others = {_other_key(each) for each in new if taken and _own_key(each) in taken}
    return {**taken, **await load_current(unit, others)} if others else taken


def _own_key(shown: Shown) -> ResourceKey:
    return ResourceKey(shown.mapper.resource_type, shown.mapper.resource_id(shown.row, shown.part))


def _other_key(shown: Shown) -> ResourceKey:
    """Return the id that is chosen where another resource has the row's own (settled §1.6)."""
    mapper = shown.mapper
    return ResourceKey(mapper.resource_type, part_resource_id(mapper.table, shown.row.id, mapper.name + shown.part))


def _place(shown: Shown, taken: Mapping[ResourceKey, Stored]) -> tuple[ResourceKey, Stored | None] | None:
    """Return the id of a resource and what its version supersedes; None when others have both ids it may get."""
    if shown.stored is not None:
        return shown.stored.key, shown.stored
    for key_of in (_own_key, _other_key):
        key = key_of(shown)
        stored = taken.get(key)
        if stored is None or stored.deleted:  # deleted: most likely the row is back
            return key, stored
    return None


def _rendered(
    projected: Projected, facts: Facts, shown: Shown, residual: Residual, base_url: str
) -> tuple[dict[str, Any], IndexValues]:
    """Return the resource of one part of a row and what the index holds of it; raises UNMAPPABLE.

    Of many that are alike, as readings of one device are, one is rendered: the others follow from it.
    """
    mapper, row, part = shown.mapper, shown.row, shown.part
    kind = mapper.alike.kind(row) if mapper.alike is not None and shown.stored is None else None
    if mapper.alike is None or kind is None:
        resource = mapper.render(row, part, facts.lookups(), residual)
        return resource, index_values(resource, base_url)
    known = projected.alike.get((mapper.name, kind))
    if known is None:
        resource = mapper.render(row, part, facts.lookups(), residual)
        known = resource, IndexLikeness(resource, mapper.alike.elements, base_url)
        projected.alike[mapper.name, kind] = known
        return dict(resource), known[1].values(resource)
    other, likeness = known
    resource = mapper.alike.vary(other, row)
    resource["id"] = mapper.resource_id(row, part)
    return resource, likeness.values(resource)


def _render(
    projected: Projected, facts: Facts, shown: Shown, taken: Mapping[ResourceKey, Stored], base_url: str
) -> Pending | None:
    """Return the version of one part of a row; None, with the reason noted, when there is none."""
    mapper, row, part = shown.mapper, shown.row, shown.part
    residual = residual_of(shown.stored)
    try:
        resource, values = _rendered(projected, facts, shown, residual, base_url)
    except UNMAPPABLE as error:
        # The row keeps its last good version and blocks nobody; values stay out of the reason (settled §3.8).
        projected.failures[row.id] = f"{mapper.name}: {type(error).__name__}"
        return None
    place = _place(shown, taken)
    if place is None:
        projected.failures[row.id] = f"{mapper.name}: other resources have the ids that it may get"
        return None
    key, stored = place
    own_id, resource["id"] = resource["id"], key.id
    return Pending(
        key,
        resource,
        stored,
        Home(mapper.table, row.id, part),
        residual_bytes(residual),
        keep=not mapper.telemetry,
        values=values if key.id == own_id else None,
    )
