"""Patients who agreed that partners may see their data: what `Agreed` asks, in SQL and of contents.

A row of `patient_consents` says so: DATA_SHARING, granted, and not revoked since. It is asked for inside every
statement, so that a revocation counts from its own transaction on. Where contents are asked (`meets`), the answer is
one set of patients, looked up when a request begins and again inside the unit of work that writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, literal_column, or_, select

from mappers.consent import DATA_SHARING
from storage.access import Access
from storage.reading import Reader
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.tables.care_platform import patient_consents, patients

AGREED: Final = "agreed"
"""The name under which `Access.filters` holds the keys (`self_key`) of the patients who agreed."""
NOBODY: Final[Mapping[str, Any]] = MappingProxyType({AGREED: frozenset()})
_ORGANIZATION: Final = bindparam("organization_id", type_=fhir.resources.c.organization_id.type)


def agreed_patients() -> Select[Any]:
    """Return the query for the keys of the patients of the organization who agreed, and did not take it back."""
    consent, later, patient = patient_consents.alias(), patient_consents.alias(), fhir.resources.alias()
    revoked = exists(literal_column("1")).where(
        later.c.organization_id == consent.c.organization_id,
        later.c.patient_id == consent.c.patient_id,
        later.c.consent_type == DATA_SHARING,
        later.c.revoked_at >= consent.c.granted_at,
    )
    return select(patient.c.self_key).where(
        consent.c.organization_id == _ORGANIZATION,
        consent.c.consent_type == DATA_SHARING,
        consent.c.granted_at.is_not(None),
        consent.c.revoked_at.is_(None),
        ~revoked,
        patient.c.organization_id == consent.c.organization_id,
        patient.c.home_table == patients.name,
        patient.c.home_key == consent.c.patient_id,
        patient.c.resource_type == "Patient",
    )


def agreed_condition(patient: ColumnElement[int], rid: ColumnElement[int]) -> ColumnElement[bool]:
    """Return the condition that a resource lies in somebody's compartment, and everybody's in whose it lies agreed.

    What names its patient by words or elsewhere lies in none, and neither does a deletion of what lay in several.
    """
    shared, agreed = fhir.compartments.c, agreed_patients()
    rids = select(shared.rid).where(shared.organization_id == _ORGANIZATION)
    several = and_(
        rid.in_(rids.where(shared.patient.in_(agreed))), rid.not_in(rids.where(shared.patient.not_in(agreed)))
    )
    return or_(and_(patient != 0, patient.in_(agreed)), and_(patient == 0, several))


@lru_cache
def _agreed_statement(dialect: str) -> Prepared:
    return prepare(agreed_patients(), dialect)


async def with_agreed(reader: Reader, access: Access) -> Access:
    """Return the access of a partner with the patients who agreed as they are now; any other access as it is."""
    if AGREED not in access.filters:
        return access
    statement = _agreed_statement(reader.dialect)
    rows = await reader.fetch(access.organization_id, statement, {"organization_id": access.organization_id})
    return replace(access, filters=MappingProxyType({**access.filters, AGREED: frozenset(key for (key,) in rows)}))
