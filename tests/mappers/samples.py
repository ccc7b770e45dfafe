"""Sample data beside the repository, where there is any: rows of the patient graph and resources of others."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import re
import types
import typing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mappers import care_rows, rows
from mappers.json_values import Json, decode
from tests.builders_values import ORGANIZATION

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_samples = pytest.mark.skipif(not DATA.is_dir(), reason="no sample data beside the repository")

ROW_TYPES = {
    "customer_profiles": rows.CustomerProfile,
    "identity_mappings": rows.IdentityMapping,
    "lab_results": rows.LabResult,
    "protocols": rows.Protocol,
    "subscriptions": rows.Subscription,
    "patient_prescriptions": rows.PatientPrescription,
    "patient_wearable_readings": rows.WearableReading,
    "patient_wearable_daily_stats": rows.WearableDailyStat,
}

CARE_ROW_TYPES = {
    "care_programs": care_rows.CareProgram,
    "clinicians": care_rows.CareClinician,
    "enrollments": care_rows.Enrollment,
    "metric_definitions": care_rows.MetricDefinition,
    "observations": care_rows.CareObservation,
    "patient_medications": care_rows.PatientMedication,
    "patients": care_rows.Patient,
}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def column(kind: Any, value: Json) -> Any:
    """The column value of an API value, as a loader would read it."""
    kinds = set(typing.get_args(kind)) if isinstance(kind, types.UnionType) else {kind}
    if value is None or (value == "" and str not in kinds):
        return None
    if datetime in kinds:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if date in kinds:
        return date.fromisoformat(value[:10])
    if Decimal in kinds:
        return Decimal(str(value))
    if int in kinds:
        return int(value)
    return tuple(value) if isinstance(value, list) and Any not in kinds and kind is not Json else value


@functools.cache
def graph_rows() -> dict[str, tuple[Any, ...]]:
    """The rows of `graph/patient_graph.json`, by table."""
    tables = decode((DATA / "graph" / "patient_graph.json").read_bytes())
    return {table: tuple(row(table, values) for values in tables[table]) for table in ROW_TYPES}


@functools.cache
def care_platform_rows() -> dict[str, tuple[Any, ...]]:
    """The rows of `graph/care_platform.json`, by table; patients come with their enrollments."""
    tables = decode((DATA / "graph" / "care_platform.json").read_bytes())
    found = {table: tuple(row(table, values) for values in tables[table]) for table in CARE_ROW_TYPES}
    patients = tuple(
        dataclasses.replace(
            patient, enrollments=tuple(each for each in found["enrollments"] if each.patient_id == patient.id)
        )
        for patient in found["patients"]
    )
    return {**found, "patients": patients}


def row(table: str, values: dict[str, Json]) -> Any:
    row_type = {**ROW_TYPES, **CARE_ROW_TYPES}[table]
    hints = typing.get_type_hints(row_type)
    known = {snake(key): value for key, value in values.items()}
    names = {item.name for item in dataclasses.fields(row_type)} & set(known)
    columns = {name: column(hints[name], known[name]) for name in names}
    return row_type(**{"organization_id": ORGANIZATION, **columns})


def examples() -> list[Path]:
    return sorted((DATA / "r4-examples").glob("*.json"))


def bundles() -> list[Path]:
    return sorted((DATA / "synthea").glob("*.json.gz"))


def resources(path: Path) -> list[dict[str, Json]]:
    data = path.read_bytes()
    value = decode(gzip.decompress(data) if path.suffix == ".gz" else data)
    entries = value.get("entry", []) if value.get("resourceType") == "Bundle" else []
    return [entry["resource"] for entry in entries if "resource" in entry] or [value]
