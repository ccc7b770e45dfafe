"""Which rows show in FHIR: the owners of resources, their child rows, and rows whose contents others show.

Everything here follows from the row dataclasses and from what the mappers declare (`mappers.lens.Shows`); the triggers
that capture foreign writers' changes follow from it in turn (`storage/triggers.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

from sqlalchemy import Column

from mappers.lens import ResourceMapper, Row, Shows
from mappers.registry import MAPPERS, mappers_of_table
from mappers.rows import TreatmentClinician, WearableDevice
from storage.projection.emr_records import EMR_RECORDS_TABLE, EmrRecords
from storage.rows import STAMPS, shape_of
from storage.tables.health_hub import profile_fhir_resources_clean, profile_fhir_resources_raw
from storage.tables.patient_graph import protocols, subscriptions

PROJECTION_ORDER: Final = (
    "organizations",
    "clinicians",
    "customer_profiles",
    "patients",
    "profiles",
    "treatment_clinicians",
    "wearable_devices",
    "subscriptions",
    "protocols",
    "enrollments",
    "patient_prescriptions",
    "lab_results",
    "patient_wearable_readings",
    "patient_wearable_daily_stats",
    "observations",
    "patient_medications",
    "patient_conditions",
    "patient_consents",
    "profile_fhir_resources_clean",
)
"""Mapped tables, referred-to ones first."""

CATALOGUE: Final = ("metric_definitions", "condition_presets", "assessment_templates", "care_programs")
"""Tables whose rows are no resources, but are shown in others."""

DERIVED_TABLES: Final[Mapping[str, type]] = {
    "treatment_clinicians": TreatmentClinician,
    "wearable_devices": WearableDevice,
    EMR_RECORDS_TABLE: EmrRecords,
}
"""Rows that follow from columns of other tables (`storage/projection/sources.py`)."""

SHOWN_ONLY: Final = (*CATALOGUE, EMR_RECORDS_TABLE)
"""What is never projected itself."""

STORED_TABLES: Final = tuple(table for table in (*PROJECTION_ORDER, *CATALOGUE) if table not in DERIVED_TABLES)
"""Tables of the database whose rows show in FHIR, child tables aside."""


@dataclass(frozen=True, slots=True)
class Owned:
    """Rows of the column's table show in resources of the `owner` row that the column names."""

    column: Column[Any]
    owner: str


OWNED: Final = (
    *(Owned(children.owner, table) for table in STORED_TABLES for children in shape_of(table).children),
    Owned(subscriptions.c.clinician_id, "treatment_clinicians"),
    Owned(protocols.c.created_by, "treatment_clinicians"),
    Owned(profile_fhir_resources_raw.c.profile_id, EMR_RECORDS_TABLE),
    Owned(profile_fhir_resources_clean.c.profile_id, EMR_RECORDS_TABLE),
)

MAPPED_TABLES: Final = frozenset({*STORED_TABLES, *DERIVED_TABLES, *(owned.column.table.name for owned in OWNED)})
"""Tables whose rows show in FHIR, as owners, as children or through others."""


@dataclass(frozen=True, slots=True)
class Path:
    """How rows of `owner` come to show rows of another table: the edges from theirs to those."""

    owner: str
    edges: tuple[Shows, ...]


def owner_of_children(table: str) -> Mapping[str, Column[Any]]:
    """Return the child tables that rows of a table come with, and the column that names their owner."""
    if table in DERIVED_TABLES:
        return {}
    return {children.table.name: children.owner for children in shape_of(table).children}


def edges_of(mapper: ResourceMapper) -> tuple[Shows, ...]:
    """Return what a mapper shows, each edge with the table that it begins at."""
    return tuple(Shows(each.column, each.table, each.of or mapper.table, each.uses, each.by) for each in mapper.shows)


@cache
def shown_tables() -> frozenset[str]:
    """Return the tables whose rows show in resources of rows that refer to them."""
    return frozenset(edge.table for mapper in MAPPERS for edge in mapper.shows)


@cache
def paths_to(table: str) -> tuple[Path, ...]:
    """Return every way in which rows of mapped tables show rows of a table, in PROJECTION_ORDER of the owners."""
    found: dict[Path, None] = {}
    for owner in PROJECTION_ORDER:
        for mapper in mappers_of_table(owner):
            edges = tuple(Shows(edge.column, edge.table, edge.of) for edge in edges_of(mapper))
            begins = {owner, *owner_of_children(owner)}
            found.update(dict.fromkeys(Path(owner, each) for each in _walks(edges, begins, table)))
    return tuple(found)


def _walks(edges: tuple[Shows, ...], begins: Collection[str], goal: str) -> Iterable[tuple[Shows, ...]]:
    """Yield the chains of edges that lead from rows of some tables to another table, no edge twice."""
    for edge in edges:
        if edge.of not in begins:
            continue
        if edge.table == goal:
            yield (edge,)
        others = tuple(each for each in edges if each.of != edge.of)  # nothing leads back to where it began
        for rest in _walks(others, {edge.table, *owner_of_children(edge.table)}, goal):
            yield (edge, *rest)


@cache
def used_columns(table: str) -> tuple[str, ...]:
    """Return the attributes of a table's rows that others show; all but the stamps where one mapper does not say."""
    shown = [edge.uses for mapper in MAPPERS for edge in mapper.shows if edge.table == table]
    if all(shown):
        return tuple(sorted({column for uses in shown for column in uses}))
    row_type = DERIVED_TABLES.get(table) or shape_of(table).row_type
    return tuple(each.name for each in fields(row_type) if each.name not in STAMPS)


def is_shown_with(owner: str, table: str) -> bool:
    """Say whether what others show of a row of `owner` may differ when a row of `table` that it owns does."""
    return owner in shown_tables() and (owner in DERIVED_TABLES or table in used_columns(owner))


def shows_otherwise(table: str, before: Row, after: Row) -> bool:
    """Say whether what others show of a row differs between two states of it."""
    return table in shown_tables() and any(
        getattr(before, column) != getattr(after, column) for column in used_columns(table)
    )
