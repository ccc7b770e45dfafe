"""The access predicate: which rows of the FHIR store a reach includes. Every statement on resources has it (AZ-2)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, or_, select, true

from storage.access import Access, Reach
from storage.search.keys import self_key
from storage.tables import fhir

ACCESS_PATIENT = "access_patient"
"""Name of the parameter that holds the self_key of the caller's Patient."""


def visible(rows: FromClause, reach: Reach) -> ColumnElement[bool]:
    """Return the predicate on `rows` (fhir_resources or an alias of it) for a reach above NONE.

    A statement with the predicate of COMPARTMENT takes the parameter ACCESS_PATIENT.
    """
    if reach is Reach.ORGANIZATION:
        return true()
    patient = bindparam(ACCESS_PATIENT, type_=fhir.resources.c.patient.type)
    shared = select(fhir.compartments.c.rid).where(
        fhir.compartments.c.organization_id == rows.c.organization_id, fhir.compartments.c.patient == patient
    )
    return or_(rows.c.patient == patient, and_(rows.c.patient == 0, rows.c.rid.in_(shared)))


def access_parameters(access: Access, reach: Reach) -> dict[str, Any]:
    """Return the parameters that `visible` needs for this caller."""
    if reach is Reach.COMPARTMENT and access.patient is not None:
        return {ACCESS_PATIENT: self_key("Patient", access.patient)}
    return {}
