"""A patient's whole record, page by page: Patient/$everything (FHIR R4 operation-patient-everything.html).

First the Patient, then what lies in its compartment by type and date, at last what those refer to in the directory:
each once. A reference into another patient's record is never followed (security AZ-9).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)

from capability.compartments import in_patient_compartment
from capability.elements import RESOURCE_TYPES
from storage.access import Access
from storage.search.compile import VERSION_COLUMNS
from storage.search.includes import TypesWithin, of_types, within_reach
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import parameter_like
from storage.search.query import Search
from storage.search.shape import Binder
from storage.sql import Prepared, prepare
from storage.tables import fhir

DIRECTORY: Final = ("Device", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole")
"""Types that a record refers to and that belong to no patient."""
RECORD: Final = tuple(each for each in RESOURCE_TYPES if each != "Patient" and in_patient_compartment(each))
PLACE: Final = ("resource_type", "date_low", "rid")
"""The order within the compartment, and within the directory (where the date says nothing)."""
RECORD_COLUMNS: Final = (*PLACE[:2], *VERSION_COLUMNS)

BEFORE_ALL: Final = ("", -(2**63), -1)
"""A place that everything comes after."""


@dataclass(frozen=True, slots=True)
class Everything:
    """Which part of one patient's record, and which page of it.

    `types` restricts the types (None: all). `since` is milliseconds: versions written at that time or later. `period`
    is a half-open range of microseconds that the clinical date must meet; what has no date stays. `parameters` are the
    pairs as the self link shows them. With `at` it is the record as it was just before that instant, in milliseconds.
    """

    patient: str
    count: int
    types: frozenset[str] | None = None
    since: int | None = None
    period: tuple[int, int] | None = None
    cursor: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    at: int | None = None

    def as_search(self) -> Search:
        """Return what the page's place is bound to."""
        return Search("Patient", parameters=(("$everything", self.patient), *self.parameters), cursor=self.cursor)

    def wants(self, resource_type: str) -> bool:
        """Say whether the type is asked for."""
        return self.types is None or resource_type in self.types


@dataclass(frozen=True, slots=True)
class RecordShape:
    """The shape of a statement: `directory` for what the record refers to, else the compartment itself."""

    directory: bool
    kinds: tuple[TypesWithin, ...]
    record: tuple[TypesWithin, ...]
    limit: int


def plan_record(
    asked: Everything, access: Access, binder: Binder, *, directory: bool, limit: int
) -> RecordShape | None:
    """Return the shape of one part of the record; None when the caller may see nothing of it."""
    record = within_reach([each for each in RECORD if directory or asked.wants(each)], access, binder)
    if not directory:
        return RecordShape(False, record, (), limit) if record else None
    kinds = within_reach([each for each in DIRECTORY if asked.wants(each)], access, binder)
    own = within_reach(["Patient", *RECORD], access, binder)
    return RecordShape(True, kinds, own, limit) if kinds and own else None


def record_parameters(asked: Everything, patient: int, place: Sequence[Any]) -> Mapping[str, Any]:
    """Return the values of a statement besides those of its types; `place` is where the page begins after."""
    low, high = asked.period if asked.period is not None else (-(2**63), 2**63 - 1)
    found = {"patient": patient, "since": -(2**63) if asked.since is None else asked.since, "low": low, "high": high}
    return found | {f"after_{name}": value for name, value in zip(PLACE, place, strict=True)}


@lru_cache(maxsize=64)
def compile_record(shape: RecordShape, dialect: str) -> Prepared:
    """Return the statement of one part of the record: columns RECORD_COLUMNS, in order of PLACE."""
    rows = fhir.resources.alias()
    start = tuple_(*(parameter_like(rows.c[name], f"after_{name}") for name in PLACE))
    general = (
        rows.c.organization_id == ORGANIZATION,
        rows.c.deleted.is_(False),
        rows.c.last_updated >= bindparam("since", type_=rows.c.last_updated.type),
        tuple_(*(rows.c[name] for name in PLACE)) > start,
        of_kinds(shape.kinds, rows),
    )
    ways = [_referred(shape, rows)] if shape.directory else [and_(way, dated(rows)) for way in compartment_ways(rows)]
    columns = [rows.c[name] for name in RECORD_COLUMNS]
    order = [rows.c[name] for name in PLACE]
    limit: ColumnElement[int] = literal_column(str(int(shape.limit)))
    parts = [select(*columns).where(*general, way).order_by(*order).limit(limit).subquery() for way in ways]
    found = union_all(*(select(part) for part in parts)).subquery()
    return prepare(select(found).order_by(*(found.c[name] for name in PLACE)).limit(limit), dialect)


def of_kinds(kinds: tuple[TypesWithin, ...], rows: FromClause) -> ColumnElement[bool]:
    """Return the condition that a row is of one of the types and within its reach."""
    return or_(*(of_types(kind, rows) for kind in kinds))


def dated(rows: FromClause) -> ColumnElement[bool]:
    """Return the condition that the clinical date meets the period; what has none is open on both sides."""
    begins_in_time = rows.c.date_low < bindparam("high", type_=rows.c.date_low.type)
    return and_(begins_in_time, rows.c.date_high > bindparam("low", type_=rows.c.date_high.type))


def compartment_ways(rows: FromClause) -> list[ColumnElement[bool]]:
    """Return the two ways into the compartment: by the column, and by rows of what is about no one patient."""
    own = parameter_like(rows.c.patient, "patient")
    return [and_(rows.c.patient == own, rows.c.self_key != own), rows.c.rid.in_(shared_rids())]


def shared_rids() -> Select[Any]:
    """Return what is in the patient's compartment and about no one patient."""
    shared = fhir.compartments.alias()
    own = parameter_like(shared.c.patient, "patient")
    return select(shared.c.rid).where(shared.c.organization_id == ORGANIZATION, shared.c.patient == own)


def _referred(shape: RecordShape, rows: FromClause) -> ColumnElement[bool]:
    """Return the condition that the visible record refers to the row, which is about no patient itself."""
    references, source, patient = fhir.index_references.alias(), fhir.resources.alias(), fhir.resources.alias()
    own = parameter_like(patient.c.patient, "patient")
    ways = [*((source, way) for way in compartment_ways(source)), (patient, patient.c.self_key == own)]
    members = [
        select(member.c.rid).where(
            member.c.organization_id == ORGANIZATION,
            member.c.deleted.is_(False),
            way,
            of_kinds(shape.record, member),
        )
        for member, way in ways
    ]
    targets = select(references.c.target).where(
        references.c.organization_id == ORGANIZATION, references.c.rid.in_(union_all(*members))
    )
    return and_(rows.c.self_key.in_(targets), rows.c.patient == 0, rows.c.rid.not_in(shared_rids()))
