"""Which customer of the patient graph somebody is: by the Patient that shows the profile, or by the login."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import bindparam, select

from storage.repositories.quick import Glimpse
from storage.sql import Prepared, prepare
from storage.tables.fhir import resources
from storage.tables.patient_graph import customer_profiles


async def customer_of_patient(glimpse: Glimpse, patient_id: str) -> str | None:
    """Return the customer whose profile a Patient shows; None where it shows another table's row, or is none."""
    return await _one(glimpse, _of_patient(glimpse.reader.dialect), patient_id)


async def customer_of_login(glimpse: Glimpse, external_id: str) -> str | None:
    """Return the customer whose profile has this id at the login provider, None for nobody."""
    return await _one(glimpse, _of_login(glimpse.reader.dialect), external_id)


async def _one(glimpse: Glimpse, statement: Prepared, value: str) -> str | None:
    own = {"organization_id": glimpse.organization_id, "value": value}
    found = await glimpse.reader.fetch(glimpse.organization_id, statement, own)
    return str(found[0][0]) if found else None


@lru_cache
def _of_patient(dialect: str) -> Prepared:
    columns = resources.c
    own = (
        columns.organization_id == bindparam("organization_id"),
        columns.resource_type == "Patient",
        columns.id == bindparam("value"),
        columns.home_table == customer_profiles.name,
        columns.deleted.is_(False),
    )
    return prepare(select(columns.home_key).where(*own), dialect, is_short=True)


@lru_cache
def _of_login(dialect: str) -> Prepared:
    columns = customer_profiles.c
    own = (columns.organization_id == bindparam("organization_id"), columns.external_id == bindparam("value"))
    return prepare(select(columns.id).where(*own), dialect, is_short=True)
