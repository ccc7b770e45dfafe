"""Where resources live, and why a native one is in no table (settled §1.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from mappers.lens import NotClaimed, ResourceMapper
from mappers.registry import mappers_of_type
from storage.engine import Database
from storage.projection.facts import Facts, open_facts
from storage.projection.lookups import answer
from storage.projection.places import by_day_only, writable_mappers
from storage.resources import Stored
from storage.rows import load_rows, taken_unique
from storage.sql import Prepared, prepare
from storage.tables import care_platform, fhir, patient_graph
from storage.transaction import Change, UnitOfWork
from storage.versions import STORED_COLUMNS, stored_of

NATIVE: Final = "native"
BATCH: Final = 500
FITS: Final = "would fit a table at its next update"
SYSTEMS: Final[Mapping[str, frozenset[str]]] = {
    "graph": frozenset(table.name for table in patient_graph.TENANT_TABLES),
    "care": frozenset(table.name for table in care_platform.TENANT_TABLES),
}
"""Home system → its tables."""
REPORTER: Final = Change(actor="homes", client_id="fhir-server", api="homes")


@dataclass(slots=True)
class TypeHomes:
    """Homes of one resource type: counts by table (`native` for the store alone), and reasons of the native ones."""

    homes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


@lru_cache
def _count_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    home = func.coalesce(rows.c.home_table, NATIVE)
    statement = (
        select(rows.c.resource_type, home, func.count())
        .where(rows.c.organization_id == bindparam("organization_id"), rows.c.deleted.is_(False))
        .group_by(rows.c.resource_type, rows.c.home_table)
    )
    return prepare(statement, dialect)


@lru_cache
def _native_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    statement = (
        select(*STORED_COLUMNS)
        .where(
            rows.c.organization_id == bindparam("organization_id"),
            rows.c.resource_type == bindparam("resource_type"),
            rows.c.home_table.is_(None),
            rows.c.deleted.is_(False),
            rows.c.id > bindparam("after"),
        )
        .order_by(rows.c.id)
        .limit(BATCH)
    )
    return prepare(statement, dialect)


async def report_homes(database: Database, organization_id: str) -> dict[str, TypeHomes]:
    """Return the homes of every resource type of an organization, by type name."""
    parameters = {"organization_id": organization_id}
    report: dict[str, TypeHomes] = {}
    for resource_type, home, count in await database.fetch(
        organization_id, _count_statement(database.dialect), parameters
    ):
        report.setdefault(resource_type, TypeHomes()).homes[home] += count
    for resource_type, homes in report.items():
        native = homes.homes[NATIVE]
        if not native:
            continue
        if not mappers_of_type(resource_type):
            homes.reasons["no table holds this type"] = native
        elif not writable_mappers(resource_type):
            homes.reasons["tables of this type are read-only through FHIR"] = native
        else:
            homes.reasons = await _reasons(database, organization_id, resource_type)
    return dict(sorted(report.items()))


async def _reasons(database: Database, organization_id: str, resource_type: str) -> Counter[str]:
    reasons: Counter[str] = Counter()
    after = ""
    while True:
        parameters = {"organization_id": organization_id, "resource_type": resource_type, "after": after}
        rows = await database.fetch(organization_id, _native_statement(database.dialect), parameters)
        if not rows:
            return reasons
        batch = [stored_of(row) for row in rows]
        after = batch[-1].key.id
        reasons.update(await database.transact(organization_id, REPORTER, partial(_offer, batch=batch)))


async def _offer(unit: UnitOfWork, batch: Sequence[Stored]) -> Counter[str]:
    """Offer native resources to the mappers of their type once more, and count why none takes them."""
    facts = await open_facts(unit)
    resources = [stored.resource() for stored in batch]
    mappers = {mapper for resource in resources for mapper in writable_mappers(resource["resourceType"])}
    needs = {need for resource in resources for mapper in mappers for need in mapper.needs(resource)}
    await answer(unit, facts, needs, tuple(mappers))
    reasons: Counter[str] = Counter()
    for resource in resources:
        offered = writable_mappers(resource["resourceType"])
        refused = {mapper: await _refusal(unit, facts, mapper, resource) for mapper in offered}
        if None in refused.values():
            reasons[FITS] += 1
            continue
        told = [mapper for mapper in offered if is_of_home(mapper, facts.home_system)] or offered
        reasons["; ".join(dict.fromkeys(str(refused[mapper]) for mapper in told))] += 1
    return reasons


def is_of_home(mapper: ResourceMapper, home_system: str | None) -> bool:
    """Whether a mapper's table belongs to a home system; the reasons of others only say that it does not."""
    return mapper.table in SYSTEMS.get(home_system or "", ())


async def _refusal(unit: UnitOfWork, facts: Facts, mapper: ResourceMapper, resource: Mapping[str, Any]) -> str | None:
    """Return why a mapper does not take a resource, None when it would."""
    if (stopped := unit.stops.reason(mapper)) is not None:
        return f"{mapper.name} is stopped: {stopped}"
    if mapper.home_system is not None and mapper.home_system != facts.home_system:
        return f"the organization's home system is not {mapper.home_system}"
    absorbed = mapper.absorb(resource, facts.lookups())
    if isinstance(absorbed, NotClaimed):
        return absorbed.reason
    if not facts.shows(mapper, absorbed.row):
        return by_day_only(mapper)
    if await load_rows(unit.connection, mapper.table, unit.organization_id, [absorbed.row.id]):
        return f"{mapper.table} has a row with this id"
    taken = await taken_unique(unit.connection, mapper.table, absorbed.row)
    return f"{mapper.table}.{taken} is in use" if taken else None
