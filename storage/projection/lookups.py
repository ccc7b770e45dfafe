"""Answers to what mappers must know to claim a resource: homes of references, rows, metrics (settled §1.3, §1.13)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, select

from mappers.care_rows import SHARED
from mappers.device import device_columns
from mappers.identity import row_resource_id
from mappers.json_values import Json
from mappers.lens import ResourceMapper, Row, Shows
from mappers.lookups import CLINICIAN, METRIC, REFERENCE, ROW, TIME_ZONE, Home, Need
from storage.driver import Question
from storage.integrity import key_of
from storage.projection.declared import CATALOGUE, edges_of
from storage.projection.facts import Facts
from storage.projection.graph_lookups import add_clinicians, add_time_zones, add_treatments
from storage.projection.metrics import add_metrics
from storage.projection.shown import load_missing, load_shown
from storage.resources import ResourceKey
from storage.sql import Prepared, among, one_or_many, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork

CARE: Final = "care"
"""The home system whose new Patients are `patients`."""
CLAIMED_UPON: Final = ("patients", "enrollments")
"""Tables whose rows a claim is given wherever a reference leads to one; beside those that the mapper shows."""


@lru_cache
def _homes_statement(dialect: str, *, one: bool) -> Prepared:
    rows = fhir.resources
    columns = (rows.c.resource_type, rows.c.id, rows.c.home_table, rows.c.home_key, rows.c.home_part)
    statement = select(*columns).where(
        rows.c.organization_id == bindparam("organization_id"),
        among(rows.c.self_key, "keys", one=one),
        rows.c.home_table.is_not(None),
        rows.c.deleted.is_(False),
    )
    return prepare(statement, dialect)


def homes_question(organization_id: str, dialect: str, keys: Iterable[ResourceKey]) -> Question:
    """Return what `answer` asks about references to resources."""
    hashes = sorted(key.hash for key in keys)
    statement = _homes_statement(dialect, one=len(hashes) == 1)
    return Question(statement, {"organization_id": organization_id, "keys": one_or_many(hashes)})


async def answer(
    unit: UnitOfWork, facts: Facts, needs: Iterable[Need], mappers: Collection[ResourceMapper] = ()
) -> None:
    """Look up what was not asked before, one statement per kind of need; what is unknown stays absent.

    Rows that the references lead to come with what `mappers` show of them.
    """
    new = set(needs) - facts.asked
    facts.asked |= new
    by_kind: dict[str, list[Need]] = {}
    for need in new:
        by_kind.setdefault(need.kind, []).append(need)
    edges = [edge for mapper in mappers for edge in edges_of(mapper)]
    wanted = _named_rows(unit, by_kind.get(ROW, ()))
    if REFERENCE in by_kind:
        homes = await _answer_references(unit, facts, [need.value for need in by_kind[REFERENCE]])
        given = {*CLAIMED_UPON, *(edge.table for edge in edges if not edge.by)}
        for home in homes:
            if home.table in given:
                wanted.setdefault(home.table, set()).add((unit.organization_id, home.key))
    if wanted:
        await _load(unit, facts, edges, wanted)
    if METRIC in by_kind and _may_be_care(facts):
        await add_metrics(unit, facts, by_kind[METRIC])
    if TIME_ZONE in by_kind:
        await add_time_zones(unit, facts, [need.value for need in by_kind[TIME_ZONE]])
    if CLINICIAN in by_kind:
        await add_clinicians(unit, facts, [need.value for need in by_kind[CLINICIAN]])


def _may_be_care(facts: Facts) -> bool:
    """Whether what is written may be about patients of the care platform; nobody else's Observations have metrics."""
    return facts.home_system == CARE or any(home.table in CLAIMED_UPON for home in facts.homes.values())


def _named_rows(unit: UnitOfWork, needs: Iterable[Need]) -> dict[str, set[tuple[str, str]]]:
    """Return table → (organization, key) of rows that needs name as `table/key`: its own, and shared ones."""
    named: dict[str, set[tuple[str, str]]] = {}
    for need in needs:
        table, _, key = need.value.partition("/")
        homes = (unit.organization_id, SHARED) if table in CATALOGUE else (unit.organization_id,)
        named.setdefault(table, set()).update((home, key) for home in homes)
    return named


async def _load(
    unit: UnitOfWork, facts: Facts, edges: Sequence[Shows], wanted: Mapping[str, Collection[tuple[str, str]]]
) -> None:
    found: dict[str, list[Row]] = {}
    for table, keys in sorted(wanted.items()):
        found[table] = await load_missing(unit, facts, table, keys)
    await load_shown(unit, facts, edges, found, ids=False)


async def _answer_references(unit: UnitOfWork, facts: Facts, references: Iterable[str]) -> list[Home]:
    """Look up the homes of references, and return those that are rows."""
    wanted: dict[ResourceKey, list[str]] = {}
    for reference in references:
        key = key_of(reference, unit.base_url)
        if key is not None and reference not in facts.homes:
            wanted.setdefault(key, []).append(reference)
    if not wanted:
        return []
    question = homes_question(unit.organization_id, unit.driver.dialect, wanted)
    rows = await unit.driver.fetch(question.statement, question.parameters)
    found: dict[ResourceKey, Home] = {}
    for resource_type, resource_id, table, row_key, part in rows:
        key = ResourceKey(resource_type, resource_id)
        if key in wanted:
            found[key] = Home(table, row_key, part or "")
            if not part and row_resource_id(table, row_key) != resource_id:
                facts.resource_ids[resource_type, table, row_key] = resource_id
    await add_time_zones(unit, facts, [home.key for home in found.values() if home.table == "customer_profiles"])
    await add_treatments(unit, facts, [home.key for home in found.values() if home.table == "subscriptions"])
    await add_clinicians(unit, facts, [home.key for home in found.values() if home.table == "treatment_clinicians"])
    for key, home in found.items():
        for reference in wanted[key]:
            facts.homes[reference] = with_facts(home, facts)
    return list(found.values())


def with_facts(home: Home, facts: Facts) -> Home:
    """Return the home with the columns that mappers ask of its table."""
    if home.table == "customer_profiles" and home.key in facts.time_zones:
        return Home(home.table, home.key, home.part, {"timezone": facts.time_zones[home.key]})
    if home.table == "wearable_devices":
        return Home(home.table, home.key, home.part, device_facts(home.key))
    return home


def device_facts(key: str) -> Mapping[str, Json]:
    """Return the columns that make up the key of a derived wearable device."""
    return device_columns(key)
