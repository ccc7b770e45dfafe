"""Rows that others show: loaded in bulk before a rendering or a claim (`mappers.lens.Shows`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, exc, select

from mappers.care_rows import SHARED
from mappers.lens import Row, Shows
from mappers.lookups import CLINICIAN, EMR_RECORDS, ORGANIZATION, TIME_ZONE, TREATMENT
from storage.projection.declared import CATALOGUE, DERIVED_TABLES, PROJECTION_ORDER, owner_of_children
from storage.projection.emr_records import add_emr_records
from storage.projection.facts import Facts, RowKey
from storage.projection.graph_lookups import add_clinicians, add_time_zones, add_treatments
from storage.projection.sources import load_derived
from storage.rows import load_rows, shape_of
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork

WITHOUT_CHOSEN_IDS: Final = frozenset({"organizations", *CATALOGUE})
"""Tables whose rows are shown under their own ids, or not as resources at all."""

READING_FAILS: Final = (ValueError, TypeError, ArithmeticError, exc.DataError)
"""What reading a row raises when another writer left in it what no column of its kind has."""


class Unreadable:
    """A row that cannot be read: what shows it keeps its last good version and is listed (settled §3.8)."""

    def __getattr__(self, name: str) -> Any:
        """Raise ValueError: no column is known."""
        raise ValueError("a row that it refers to cannot be read")


UNREADABLE: Final = Unreadable()

Known = dict[str, list[Row]]
"""Table → rows that are at hand, with those of child tables under their own names."""


async def _nothing(unit: UnitOfWork, facts: Facts, keys: Iterable[str]) -> None:
    """Look up nothing: `open_facts` has the organization already."""


ANSWERS: Final[Mapping[str, Callable[[UnitOfWork, Facts, Iterable[str]], Awaitable[None]]]] = {
    ORGANIZATION: _nothing,
    TIME_ZONE: add_time_zones,
    CLINICIAN: add_clinicians,
    TREATMENT: add_treatments,
    EMR_RECORDS: add_emr_records,
}
"""Look-ups that answer instead of whole rows, for what is asked of every reading."""


async def load_shown(
    unit: UnitOfWork, facts: Facts, edges: Sequence[Shows], rows: Mapping[str, Iterable[Row]], *, ids: bool = True
) -> None:
    """Load the rows that edges lead to from rows at hand, and from there on, into `facts.rows`.

    With `ids`, ids that the store chose for what all these rows refer to are looked up as well.
    """
    known: Known = {}
    for table, some in rows.items():
        _add(known, table, some)
    referred: dict[str, set[str]] = {}
    while True:
        wanted = _wanted(facts, edges, known, referred)
        found = False
        for table, keys in wanted.items():
            loaded = await load_missing(unit, facts, table, keys)
            _add(known, table, loaded)
            found = found or bool(loaded)
        if not found:
            break
    for kind, keys_of_kind in _asked_otherwise(edges, known).items():
        await ANSWERS[kind](unit, facts, keys_of_kind)
    if ids:
        for table, some in known.items():
            owners = {owner for owner in known if table in owner_of_children(owner)}
            _note_references(table, some, referred, owners)
        for treatment in facts.treatments.values():
            if treatment.clinician_id is not None:
                referred.setdefault("treatment_clinicians", set()).add(treatment.clinician_id)
        for table, names in referred.items():
            await add_chosen_ids(unit, facts, table, names)


def _add(known: Known, table: str, rows: Iterable[Row]) -> None:
    listed = list(rows)
    known.setdefault(table, []).extend(listed)
    for child in owner_of_children(table):
        known.setdefault(child, []).extend(each for row in listed for each in getattr(row, child))


def _wanted(
    facts: Facts, edges: Sequence[Shows], known: Known, referred: dict[str, set[str]]
) -> dict[str, set[tuple[str, str]]]:
    """Return table → (organization, key) of rows that edges lead to and nobody asked for yet."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for edge in edges:
        for row in known.get(edge.of, ()):
            key = getattr(row, edge.column)
            if key is None:
                continue
            referred.setdefault(edge.table, set()).add(key)
            whose = getattr(row, edge.whose, None) or facts.organization_id
            if not edge.by and (edge.table, whose, key) not in facts.sought:
                wanted.setdefault(edge.table, set()).add((whose, key))
    return wanted


def _asked_otherwise(edges: Sequence[Shows], known: Known) -> dict[str, set[str]]:
    asked: dict[str, set[str]] = {}
    for edge in edges:
        if edge.by:
            keys = (getattr(row, edge.column) for row in known.get(edge.of, ()))
            asked.setdefault(edge.by, set()).update(key for key in keys if key is not None)
    return asked


async def load_missing(unit: UnitOfWork, facts: Facts, table: str, keys: Iterable[tuple[str, str]]) -> list[Row]:
    """Load rows, given by organization and key, that nobody asked for yet; returns those that there are."""
    by_organization: dict[str, list[str]] = {}
    for whose, key in keys:
        place: RowKey = (table, whose, key)
        if place not in facts.sought:
            facts.sought.add(place)
            by_organization.setdefault(whose, []).append(key)
    found: list[Row] = []
    for whose, some in sorted(by_organization.items()):
        for key, row in (await rows_of(unit, table, whose, some)).items():
            facts.rows[table, whose, key] = row
            if row is not UNREADABLE:
                found.append(row)
    return found


async def rows_of(unit: UnitOfWork, table: str, whose: str, keys: Sequence[str]) -> Mapping[str, Row]:
    """Return rows by key: of the unit's organization, derived ones, or those that all share (`whose` is SHARED).

    A row whose columns hold what they should not is UNREADABLE.
    """
    if table in DERIVED_TABLES:
        return await load_derived(unit.connection, table, whose, keys)
    if whose not in {unit.organization_id, SHARED}:
        return {}
    try:
        return await load_rows(unit.connection, table, whose, keys, reader=unit.organization_id)
    except READING_FAILS:
        rows: dict[str, Row] = {}
    for key in keys:
        try:
            rows.update(await load_rows(unit.connection, table, whose, [key], reader=unit.organization_id))
        except READING_FAILS:
            rows[key] = UNREADABLE
    return rows


# ---- ids that the store chose ---------------------------------------------------------------------------------------


@cache
def _references(table: str) -> tuple[tuple[str, str], ...]:
    """Return (column, table) of the foreign keys of a table's rows to rows that are resources."""
    return tuple(
        (column.name, key.column.table.name)
        for column in shape_of(table).columns
        for key in column.foreign_keys
        if key.column.name == "id" and key.column.table.name in PROJECTION_ORDER
    )


def _note_references(table: str, rows: Iterable[Row], referred: dict[str, set[str]], owners: Collection[str]) -> None:
    """Note the keys that rows refer to; child rows are shown in their owner, which does not refer to itself."""
    if table in DERIVED_TABLES:
        referred.setdefault("customer_profiles", set()).update(
            row.customer_id for row in rows if hasattr(row, "customer_id")
        )
        return
    for column, other in _references(table):
        if other in owners:
            continue
        found = (getattr(row, column) for row in rows)
        referred.setdefault(other, set()).update(key for key in found if key is not None)


@lru_cache
def _renamed_statement(dialect: str) -> Prepared:
    """Resources of rows whose id is not the row's own."""
    rows = fhir.resources
    statement = select(rows.c.resource_type, rows.c.home_table, rows.c.home_key, rows.c.id).where(
        rows.c.organization_id == bindparam("organization_id"),
        member_of(rows.c.home_key, "keys"),
        rows.c.home_table == bindparam("home_table"),
        rows.c.home_part == "",
        rows.c.id != rows.c.home_key,
    )
    return prepare(statement, dialect)


async def add_chosen_ids(unit: UnitOfWork, facts: Facts, table: str, keys: Iterable[str]) -> None:
    """Look up ids that the store chose because the row's own was no legal id or taken (settled §1.6)."""
    wanted = sorted(set(keys))
    if wanted and table not in WITHOUT_CHOSEN_IDS:
        parameters = {"organization_id": unit.organization_id, "keys": wanted, "home_table": table}
        for resource_type, home_table, key, chosen in await unit.driver.fetch(
            _renamed_statement(unit.driver.dialect), parameters
        ):
            facts.resource_ids[resource_type, home_table, key] = chosen
