"""A sample of rows held against what mappers declare: states, JSON members, and laws 2 and 3 (mapping.md).

The sample of a table is its first and its last rows in the order of keys: the last ones are the newest where keys
ascend with time, and any where they do not. Findings name columns and elements, never values.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from sqlalchemy import select

from mappers.json_members import MEMBERS, unknown_members
from mappers.lens import Absorbed, ResourceMapper, Row
from mappers.lookups import Lookups
from mappers.registry import mappers_of_table
from mappers.residual import NOTHING, Residual
from storage.drift.declared import declared_values, mappers_needing
from storage.drift.findings import Finding, Kind, merged
from storage.projection.declared import edges_of
from storage.projection.facts import Facts, open_facts
from storage.projection.lookups import answer
from storage.projection.project import UNMAPPABLE, residual_of
from storage.projection.shown import load_shown
from storage.rows import STAMPS, confined, load_rows, shape_of
from storage.tables import fhir
from storage.tables.metadata import metadata
from storage.transaction import UnitOfWork
from storage.versions import STORED_COLUMNS, stored_of

_NAME: Final = re.compile(r"[A-Za-z_*][\w*.\-\[\]]{0,80}")
"""Places whose words are names; others may be what somebody wrote, and are not told."""
IN_FAILURES: Final = "see projection_failures: mend the row, or teach the mapper; it keeps its last version till then"


@dataclass(frozen=True, slots=True)
class Held:
    """One sampled row with what rendering it takes."""

    mapper: ResourceMapper
    row: Row
    part: str
    lookups: Lookups


async def check_rows(unit: UnitOfWork, table: str, sample: int) -> list[Finding]:
    """Return what a sample of a table's rows differs in from what is declared; nothing is changed."""
    keys = await _sampled(unit, table, sample)
    findings: list[Finding] = []
    rows: dict[str, Row] = {}
    for key in keys:
        try:
            rows.update(await load_rows(unit.connection, table, unit.organization_id, [key]))
        except UNMAPPABLE as error:
            detail = f"{type(error).__name__} while it is read"
            findings.append(_of_row(Kind.ROW_UNREADABLE, table, None, detail, IN_FAILURES))
    findings += _values(table, rows.values())
    findings += _members(table, rows.values())
    mappers = unit.stops.running(mappers_of_table(table))
    if rows and mappers:
        facts = await open_facts(unit)
        edges = [edge for mapper in mappers for edge in edges_of(mapper)]
        await load_shown(unit, facts, edges, {table: rows.values()})
        findings += await _laws(unit, facts, table, mappers, rows)
    return [replace(finding, organization=unit.organization_id) for finding in merged(findings)]


async def _sampled(unit: UnitOfWork, table: str, sample: int) -> list[str]:
    shape = shape_of(table)
    keys = select(shape.table.c.id).where(*confined(shape, unit.organization_id))
    first = keys.order_by(shape.table.c.id).limit(sample - sample // 2)
    last = keys.order_by(shape.table.c.id.desc()).limit(sample // 2)
    found = [*await unit.connection.scalars(first), *await unit.connection.scalars(last)]
    return list(dict.fromkeys(found))


def _of_row(kind: Kind, table: str, column: str | None, detail: str, remedy: str) -> Finding:
    return Finding(kind, table, column, detail, remedy, mappers_needing(table, column), rows=1)


def _values(table: str, rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield states that the enumeration lacks; a CHECK constraint lets none in, unless it was changed."""
    for column, members in declared_values(metadata.tables[table]).items():
        for row in rows:
            value = getattr(row, column, None)
            if value is not None and value not in members:
                shown = value if _NAME.fullmatch(value) else "a state"
                remedy = "add it to the enumeration and the mapper's status table, or mend the rows"
                yield _of_row(Kind.VALUE_NEW, table, column, f"{shown} is none of its states", remedy)


def _members(table: str, rows: Iterable[Row]) -> Iterator[Finding]:
    """Yield members of JSON columns that no mapper knows."""
    for (own, column), specification in MEMBERS.items():
        if own != table:
            continue
        for row in rows:
            for place in set(unknown_members(getattr(row, column), specification)):
                shown = place if _NAME.fullmatch(place) else "a member whose name is no word"
                remedy = "nothing, if FHIR need not show it; else map it, and name it in mappers/json_members.py"
                yield _of_row(Kind.MEMBER_NEW, table, column, f"{shown} is not known to any mapper", remedy)


# ---- the laws -------------------------------------------------------------------------------------------------------


async def _laws(
    unit: UnitOfWork, facts: Facts, table: str, mappers: Sequence[ResourceMapper], rows: Mapping[str, Row]
) -> list[Finding]:
    findings: list[Finding] = []
    residuals = await _residuals(unit, table, list(rows))
    lookups = facts.lookups()
    for mapper in mappers:
        for row in rows.values():
            try:
                if not facts.shows(mapper, row):
                    continue
                for part in mapper.parts(row, lookups):
                    held = Held(mapper, row, part, lookups)
                    residual = residuals.get((mapper.resource_type, row.id, part), NOTHING)
                    findings += [finding async for finding in _law(unit, facts, held, residual)]
            except UNMAPPABLE as error:
                detail = f"{mapper.name}: {type(error).__name__} while it is rendered"
                findings.append(Finding(Kind.ROW_UNREADABLE, table, None, detail, IN_FAILURES, (mapper.name,), rows=1))
    return findings


async def _law(unit: UnitOfWork, facts: Facts, held: Held, residual: Residual) -> AsyncIterator[Finding]:
    """Yield what a row loses when it is written back as it is rendered: without residual (law 2), and with (law 3)."""
    for law, rest in ((Kind.ROW_NOT_KEPT, NOTHING), (Kind.RESOURCE_NOT_KEPT, residual)):
        rendered = held.mapper.render(held.row, held.part, held.lookups, rest)
        if held.mapper.read_only or (law is Kind.RESOURCE_NOT_KEPT and not residual):
            continue
        await answer(unit, facts, held.mapper.needs(rendered), (held.mapper,))
        outcome = held.mapper.absorb(rendered, held.lookups, held.row, held.part)
        finding = Finding(
            law,
            held.mapper.table,
            None,
            "what it shows is not all held by its columns",
            f"a fault of the mapper {held.mapper.name}: report it with the form of the column's values",
            (held.mapper.name,),
            rows=1,
        )
        if not isinstance(outcome, Absorbed):
            yield replace(finding, detail=outcome.reason)
            continue
        for column in changed_columns(held.row, outcome.row):
            yield replace(finding, column=column, detail="is another one when what it shows is written back")
        if law is Kind.ROW_NOT_KEPT and outcome.residual:
            yield finding


def changed_columns(before: Row, after: Row) -> list[str]:
    """Return the columns in which two rows differ, stamps aside."""
    names = (each.name for each in fields(before) if each.name not in STAMPS)
    return [name for name in names if getattr(before, name) != getattr(after, name)]


async def _residuals(unit: UnitOfWork, table: str, keys: Sequence[str]) -> dict[tuple[str, str, str], Residual]:
    """Return the residuals of what is stored for some rows, by resource type, key and part."""
    rows = fhir.resources.c
    statement = select(*STORED_COLUMNS).where(
        rows.organization_id == unit.organization_id,
        rows.home_table == table,
        rows.home_key.in_(keys),
        rows.residual.is_not(None),
    )
    found: dict[tuple[str, str, str], Residual] = {}
    for row in await unit.connection.execute(statement):
        stored = stored_of(tuple(row))
        if stored.home is not None and not stored.deleted:
            found[stored.key.resource_type, stored.home.key, stored.home.part] = residual_of(stored)
    return found
