"""The access predicate: which resources a reach includes. Every statement on resources has it (AZ-2).

It is said twice, and a law of the tests holds the two together: in SQL about rows (`visible`), in Python about what the
index would hold of a body (`includes`), for versions that are no longer current and for those yet to be written.

A further extent is a member of `Extent`, a condition in `_EXTENTS` here, and a line in `_is_within`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, or_, select, true

from storage.access import Access, Extent, Reach, Way
from storage.projection.index_values import IndexValues
from storage.search.keys import self_key
from storage.search.matching import meets
from storage.search.own import Node, own_condition
from storage.tables import fhir

ACCESS_PATIENT = "access_patient"
"""Name of the parameter that holds the self_key of the caller's Patient."""

Condition = ColumnElement[bool]


def visible(rows: FromClause, reach: Reach, *, deletions: bool = False) -> Condition:
    """Return the predicate on `rows` (fhir_resources, fhir_index_tokens or an alias) for a reach above NONE.

    A statement with it takes `access_parameters`, and the parameter organization_id. Of deleted resources no contents
    are left to test, so that no filter finds them; with `deletions` they pass the filters, for who looks at the
    versions before.
    """
    if reach is Reach.ORGANIZATION:
        return true()
    by_extent: dict[Extent, list[Way]] = {}
    for way in reach.ways:
        by_extent.setdefault(way.extent, []).append(way)
    if not by_extent:
        raise ValueError("nothing is visible within no reach")
    return or_(*(and_(_EXTENTS[extent](rows), _filtered(rows, ways, deletions)) for extent, ways in by_extent.items()))


def _in_compartment(rows: FromClause) -> Condition:
    patient = bindparam(ACCESS_PATIENT, type_=fhir.resources.c.patient.type)
    shared = select(fhir.compartments.c.rid).where(
        fhir.compartments.c.organization_id == rows.c.organization_id, fhir.compartments.c.patient == patient
    )
    return or_(rows.c.patient == patient, and_(rows.c.patient == 0, rows.c.rid.in_(shared)))


_EXTENTS: Final[Mapping[Extent, Callable[[FromClause], Condition]]] = {
    Extent.COMPARTMENT: _in_compartment,
    Extent.ORGANIZATION: lambda _: true(),
}


def _filtered(rows: FromClause, ways: list[Way], deletions: bool) -> Condition:
    if not all(way.tests for way in ways):
        return true()
    row = rows if "self_key" in rows.c else None
    date = rows.c.date if row is None else rows.c.date_low
    # Led: tested row by row. In a join PostgreSQL would compare all of a patient's rows with each other.
    node = Node(rows, rows.c.rid, rows.c.patient, date, row, led=True)
    found = or_(*(and_(*(own_condition(test, node) for test in way.tests)) for way in ways))
    return or_(rows.c.deleted.is_(True), found) if deletions else found


def access_parameters(access: Access) -> dict[str, Any]:
    """Return the parameters that `visible` may need for this caller."""
    own = own_patient(access)
    return dict(access.filters) if own is None else {ACCESS_PATIENT: own, **access.filters}


def own_patient(access: Access) -> int | None:
    """Return the self_key of the Patient whose compartment the caller sees; None for a caller without one."""
    return None if access.patient is None else self_key("Patient", access.patient)


# --- the same of contents ---------------------------------------------------------------------------------------------


def includes(reach: Reach, values: IndexValues, access: Access) -> bool:
    """Say whether a reach includes a resource with these contents, as `visible` says of rows."""
    return any(is_seen(way, values, access) for way in reach.ways)


def is_seen(way: Way, values: IndexValues, access: Access) -> bool:
    """Say whether a resource with these contents is seen one way."""
    return _is_within(way.extent, values, access) and all(meets(each, values, access.filters) for each in way.tests)


def _is_within(extent: Extent, values: IndexValues, access: Access) -> bool:
    return extent is Extent.ORGANIZATION or own_patient(access) in values.patients
