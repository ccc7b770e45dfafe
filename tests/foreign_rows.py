"""Rows as another program would write them: plain SQL that says no more than the table asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Boolean, Column, Date, Integer, String, Table

from storage.tables.columns import SHARED, UNSAID_IS_SHARED
from storage.tables.metadata import metadata
from storage.tables.types import ExactDecimal, Json, Timestamp
from tests.conftest import ORGANIZATION

PARENT: Final = "parent"
"""Key of the rows that a row refers to."""
SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "organizations": {"settings": "{}"},
    "protocols": {"created_by": "dr_a"},
    "subscriptions": {"clinician_id": "dr_a"},
    "metric_definitions": {"value_type": "number"},
    "patient_wearable_readings": {"device_type": "scale"},
    "patient_wearable_daily_stats": {"avg_value": "1"},
    "observations": {"value": "61"},
    "patient_conditions": {"label": "Asthma"},
    "patient_consents": {"consent_type": "TREATMENT", "granted_at": "2026-01-01T00:00:00Z"},
    "care_programs": {"type": "RPM"},
    "profile_fhir_resources_raw": {"resource_json": "{}"},
    "profile_fhir_resources_clean": {
        "resource_type": "Condition",
        "clean_json": '{"resourceType": "Condition", "subject": {"reference": "Patient/p"}}',
        "sources": "[]",
    },
}
"""What a row says for a mapper to have something to show, beside what the table asks for."""


def insert(table: str, key: str, organization: str | None = ORGANIZATION) -> str:
    """Return the INSERT of a row; its parents have the key PARENT. Without an organization, the table's default is."""
    of = metadata.tables[table]
    values = dict(_values(of, key, organization))
    names = ", ".join(f'"{name}"' for name in values)
    told = ", ".join(f"'{value}'" for value in values.values())
    return f"INSERT INTO {table} ({names}) VALUES ({told})"


def parents(table: str, organization: str | None = ORGANIZATION) -> list[str]:
    """Return the INSERTs of everything that a row of the table refers to, in order."""
    found: dict[str, str] = {}
    for parent, whose in _parent_tables(metadata.tables[table], organization):
        for statement in (*parents(parent, whose), insert(parent, PARENT, whose)):
            found.setdefault(statement, statement)
    return list(found)


def other_column(table: str) -> str:
    """Return a column of text that nothing depends on."""
    of = metadata.tables[table]
    plain = (
        column
        for column in of.c
        if column.name not in {"id", "organization_id", *_referring(of), "origin"} and _is_text(column)
    )
    free = [
        column.name for column in plain if not any(column.name in each.columns for each in of.indexes if each.unique)
    ]
    return min(free, key=lambda name: (name not in {"name", "notes", "first_name", "label", "display_name"}, name))


def _is_text(column: Column[Any]) -> bool:
    return isinstance(column.type, String) and column.name != "status"


def _parent_tables(table: Table, organization: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield the tables that a row has to refer to, and whose the row there is."""
    for key in table.foreign_key_constraints:
        if key.referred_table is not table and any(_is_asked(column) for column in key.columns if column.name != "id"):
            is_shared = any(column.info.get(UNSAID_IS_SHARED) for column in key.columns)
            yield key.referred_table.name, SHARED if organization is None and is_shared else organization


def _referring(table: Table) -> set[str]:
    return {column.name for key in table.foreign_key_constraints for column in key.columns}


def _is_asked(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None and column.name != "organization_id"


def _values(table: Table, key: str, organization: str | None) -> Iterator[tuple[str, str]]:
    said = SAID.get(table.name, {})
    referring = _referring(table)
    for column in table.c:
        name = column.name
        if name == "id":
            yield name, key
        elif name == "organization_id":
            if organization is not None:
                yield name, organization
        elif name.endswith("_organization_id"):
            if organization is not None and _is_asked(table.c[name.removesuffix("organization_id") + "id"]):
                yield name, organization
        elif name in said:
            yield name, said[name]
        elif _is_asked(column):
            yield name, PARENT if name in referring else _some(column, key)


def _some(column: Column[Any], key: str) -> str:
    if isinstance(column.type, Timestamp):
        return "2026-01-01T00:00:00Z"
    if isinstance(column.type, Date):
        return "2026-01-01"
    if isinstance(column.type, ExactDecimal | Integer):
        return "1"
    if isinstance(column.type, Boolean):
        return "true"
    if isinstance(column.type, Json):
        return "{}"
    return f"{column.name}-{key}"
