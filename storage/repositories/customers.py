"""Which customer of the patient graph somebody is: by the Patient that shows the profile, or by the login."""

from __future__ import annotations

from sqlalchemy import select

from storage.tables.fhir import resources
from storage.tables.patient_graph import customer_profiles
from storage.transaction import Snapshot


async def customer_of_patient(snapshot: Snapshot, patient_id: str) -> str | None:
    """Return the customer whose profile a Patient shows; None where it shows another table's row, or is none."""
    columns = resources.c
    statement = select(columns.home_key).where(
        columns.organization_id == snapshot.organization_id,
        columns.resource_type == "Patient",
        columns.id == patient_id,
        columns.home_table == customer_profiles.name,
        columns.deleted.is_(False),
    )
    found: str | None = await snapshot.connection.scalar(statement)
    return found


async def customer_of_login(snapshot: Snapshot, external_id: str) -> str | None:
    """Return the customer whose profile has this id at the login provider, None for nobody."""
    columns = customer_profiles.c
    statement = select(columns.id).where(
        columns.organization_id == snapshot.organization_id, columns.external_id == external_id
    )
    found: str | None = await snapshot.connection.scalar(statement)
    return found
