"""What is asked of rows of the patient graph for every reading and prescription: columns, not whole rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import bindparam, select

from mappers.lookups import CLINICIAN, TIME_ZONE, TREATMENT, Treatment
from storage.projection.facts import Facts
from storage.projection.needed import ASKED
from storage.sql import Prepared, member_of, prepare
from storage.tables.patient_graph import customer_profiles, subscriptions
from storage.transaction import UnitOfWork


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


async def add_time_zones(unit: UnitOfWork, facts: Facts, customers: Iterable[str]) -> None:
    """Look up the time zones of customers."""
    wanted = sorted(set(customers) - facts.time_zones.keys())
    if wanted and not unit.stops.lacks(ASKED[TIME_ZONE]):
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        for customer, zone in await unit.driver.fetch(_time_zones_statement(unit.driver.dialect), parameters):
            if zone is not None:
                facts.time_zones[customer] = zone


async def add_treatments(unit: UnitOfWork, facts: Facts, treatments: Iterable[str]) -> None:
    """Look up customers and clinicians of treatments, and the clinicians' names."""
    wanted = sorted(set(treatments) - facts.treatments.keys())
    if wanted and not unit.stops.lacks(ASKED[TREATMENT]):
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        rows = await unit.driver.fetch(_treatments_statement(unit.driver.dialect), parameters)
        for key, customer, clinician in rows:
            facts.treatments[key] = Treatment(customer, clinician)
        named = {facts.treatments[key].clinician_id for key in wanted if key in facts.treatments}
        await add_clinicians(unit, facts, [clinician for clinician in named if clinician is not None])


async def add_clinicians(unit: UnitOfWork, facts: Facts, clinicians: Iterable[str]) -> None:
    """Look up clinicians' names, as the newest treatment that names them has it."""
    wanted = sorted(set(clinicians) - facts.clinicians.keys())
    if wanted and not unit.stops.lacks(ASKED[CLINICIAN]):
        parameters = {"organization_id": unit.organization_id, "keys": wanted}
        for clinician, name in await unit.driver.fetch(_clinicians_statement(unit.driver.dialect), parameters):
            facts.clinicians[clinician] = name
