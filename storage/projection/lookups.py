"""Answers to what mappers must know beside a row: homes of references, names, time zones (settled §1.3, §1.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import bindparam, select

from mappers.device import device_columns
from mappers.json_values import Json
from mappers.lens import ResourceMapper, Row
from mappers.lookups import CLINICIAN, MEMBER, REFERENCE, TIME_ZONE, Home, Lookups, Need, Treatment
from mappers.telemetry import Telemetry
from storage.driver import Question
from storage.integrity import key_of
from storage.projection.telemetry import telemetry_of
from storage.resources import ResourceKey
from storage.sql import Prepared, among, member_of, one_or_many, prepare
from storage.tables import fhir
from storage.tables.fhir import telemetry_settings
from storage.tables.patient_graph import customer_profiles, subscriptions
from storage.tables.platform import organizations
from storage.transaction import UnitOfWork


@dataclass(slots=True)
class Facts:
    """What has been looked up in one unit of work; grows as resources find their homes."""

    organization_id: str
    organization_name: str | None = None
    home_system: str | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    homes: dict[str, Home] = field(default_factory=dict)
    clinicians: dict[str, str] = field(default_factory=dict)
    treatments: dict[str, Treatment] = field(default_factory=dict)
    time_zones: dict[str, str] = field(default_factory=dict)
    members: dict[str, Json] = field(default_factory=dict)
    resource_ids: dict[tuple[str, str, str], str] = field(default_factory=dict)
    asked: set[Need] = field(default_factory=set)

    def shows(self, mapper: ResourceMapper, row: Row) -> bool:
        """Whether a row is shown as a resource at all: a reading is not where its metric is shown by day only."""
        return mapper.metric is None or self.telemetry.shows(getattr(row, mapper.metric))

    def lookups(self) -> Lookups:
        """Return the view that mappers take; it shows what is added later too."""
        return Lookups(
            organization_id=self.organization_id,
            organization_name=self.organization_name,
            homes=self.homes,
            resource_ids=self.resource_ids,
            clinicians=self.clinicians,
            treatments=self.treatments,
            time_zones=self.time_zones,
            members=self.members,
        )


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


@lru_cache
def _organization_statement(dialect: str) -> Prepared:
    columns = (organizations.c.name, organizations.c.home_system, telemetry_settings.c.setting)
    joined = organizations.outerjoin(telemetry_settings, telemetry_settings.c.organization_id == organizations.c.id)
    statement = select(*columns).select_from(joined).where(organizations.c.id == bindparam("organization_id"))
    return prepare(statement, dialect)


@lru_cache
def _time_zones_statement(dialect: str) -> Prepared:
    columns = customer_profiles.c
    own = columns.organization_id == bindparam("organization_id")
    return prepare(select(columns.id, columns.timezone).where(own, member_of(columns.id, "keys")), dialect)


@lru_cache
def _treatments_statement(dialect: str) -> Prepared:
    columns = subscriptions.c
    own = columns.organization_id == bindparam("organization_id")
    found = select(columns.id, columns.customer_id, columns.clinician_id).where(own, member_of(columns.id, "keys"))
    return prepare(found, dialect)


@lru_cache
def _clinicians_statement(dialect: str) -> Prepared:
    """Names of clinicians, the newest last."""
    columns = subscriptions.c
    statement = (
        select(columns.clinician_id, columns.clinician_name)
        .where(
            columns.organization_id == bindparam("organization_id"),
            member_of(columns.clinician_id, "keys"),
            columns.clinician_name.is_not(None),
        )
        .order_by(columns.updated_at, columns.id)
    )
    return prepare(statement, dialect)


def organization_question(organization_id: str, dialect: str) -> Question:
    """Return what `open_facts` asks."""
    return Question(_organization_statement(dialect), {"organization_id": organization_id})


def homes_question(organization_id: str, dialect: str, keys: Iterable[ResourceKey]) -> Question:
    """Return what `answer` asks about references to resources."""
    hashes = sorted(key.hash for key in keys)
    statement = _homes_statement(dialect, one=len(hashes) == 1)
    return Question(statement, {"organization_id": organization_id, "keys": one_or_many(hashes)})


async def open_facts(unit: UnitOfWork) -> Facts:
    """Return facts that know the unit's organization."""
    question = organization_question(unit.organization_id, unit.driver.dialect)
    rows = await unit.driver.fetch(question.statement, question.parameters)
    name, home_system, setting = rows[0] if rows else (None, None, None)
    return Facts(unit.organization_id, name, home_system, telemetry_of(setting))


async def answer(unit: UnitOfWork, facts: Facts, needs: Iterable[Need]) -> None:
    """Look up what was not asked before, one statement per kind of need; what is unknown stays absent."""
    new = set(needs) - facts.asked
    facts.asked |= new
    by_kind: dict[str, list[str]] = {}
    for need in new:
        by_kind.setdefault(need.kind, []).append(need.value)
    if MEMBER in by_kind:
        by_kind.pop(MEMBER)  # answered from the batch itself
    if REFERENCE in by_kind:
        await _answer_references(unit, facts, by_kind[REFERENCE])
    if TIME_ZONE in by_kind:
        await add_time_zones(unit, facts, by_kind[TIME_ZONE])
    if CLINICIAN in by_kind:
        await add_clinicians(unit, facts, by_kind[CLINICIAN])


async def _answer_references(unit: UnitOfWork, facts: Facts, references: Iterable[str]) -> None:
    wanted: dict[ResourceKey, list[str]] = {}
    for reference in references:
        key = key_of(reference, unit.base_url)
        if key is not None and reference not in facts.homes:
            wanted.setdefault(key, []).append(reference)
    if not wanted:
        return
    question = homes_question(unit.organization_id, unit.driver.dialect, wanted)
    rows = await unit.driver.fetch(question.statement, question.parameters)
    found: dict[ResourceKey, Home] = {}
    for resource_type, resource_id, table, row_key, part in rows:
        key = ResourceKey(resource_type, resource_id)
        if key in wanted:
            found[key] = Home(table, row_key, part or "")
    await add_time_zones(unit, facts, [home.key for home in found.values() if home.table == "customer_profiles"])
    await add_treatments(unit, facts, [home.key for home in found.values() if home.table == "subscriptions"])
    for key, home in found.items():
        for reference in wanted[key]:
            facts.homes[reference] = with_facts(home, facts)


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


async def add_time_zones(unit: UnitOfWork, facts: Facts, customers: Iterable[str]) -> None:
    """Look up the time zones of customers."""
    wanted = sorted(set(customers) - facts.time_zones.keys())
    if wanted:
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        for customer, zone in await unit.driver.fetch(_time_zones_statement(unit.driver.dialect), parameters):
            if zone is not None:
                facts.time_zones[customer] = zone


async def add_treatments(unit: UnitOfWork, facts: Facts, treatments: Iterable[str]) -> None:
    """Look up customers and clinicians of treatments, and the clinicians' names."""
    wanted = sorted(set(treatments) - facts.treatments.keys())
    if wanted:
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        rows = await unit.driver.fetch(_treatments_statement(unit.driver.dialect), parameters)
        for key, customer, clinician in rows:
            facts.treatments[key] = Treatment(customer, clinician)
        named = {facts.treatments[key].clinician_id for key in wanted if key in facts.treatments}
        await add_clinicians(unit, facts, [clinician for clinician in named if clinician is not None])


async def add_clinicians(unit: UnitOfWork, facts: Facts, clinicians: Iterable[str]) -> None:
    """Look up clinicians' names, as the newest treatment that names them has it."""
    wanted = sorted(set(clinicians) - facts.clinicians.keys())
    if wanted:
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        for clinician, name in await unit.driver.fetch(_clinicians_statement(unit.driver.dialect), parameters):
            facts.clinicians[clinician] = name


async def add_chosen_ids(unit: UnitOfWork, facts: Facts, table: str, keys: Iterable[str]) -> None:
    """Look up ids that the store chose because the row's own was no legal id or taken (settled §1.6)."""
    wanted = sorted(set(keys))
    if wanted:
        parameters = {"organization_id": unit.organization_id, "keys": wanted, "home_table": table}
        for resource_type, home_table, key, chosen in await unit.driver.fetch(
            _renamed_statement(unit.driver.dialect), parameters
        ):
            facts.resource_ids[resource_type, home_table, key] = chosen
