"""Rows and resources of the sample data beside the project; tests that need them are skipped where it is absent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mappers import rows
from storage.repositories.graph_json import row_of
from storage.tables import patient_graph

DATA = Path(__file__).parents[2] / "shared" / "data"
needs_samples = pytest.mark.skipif(not DATA.is_dir(), reason="the sample data is not here")
ROW_TYPES = {
    "customer_profiles": rows.CustomerProfile,
    "protocols": rows.Protocol,
    "subscriptions": rows.Subscription,
    "patient_prescriptions": rows.PatientPrescription,
    "patient_wearable_readings": rows.WearableReading,
}


def read(text: str | bytes) -> Any:
    """JSON with Decimals."""
    return json.loads(text, parse_float=Decimal)


@cache
def graph() -> dict[str, list[dict[str, Any]]]:
    return read((DATA / "graph" / "patient_graph.json").read_bytes())  # type: ignore[no-any-return]


def sample_rows(table: str) -> list[Any]:
    """The sample rows of a table as the mappers see them; empty where the sample data is absent."""
    if not DATA.is_dir():
        return []
    columns = getattr(patient_graph, table)
    return [ROW_TYPES[table](**row_of(columns, item, "loop-health")) for item in graph()[table]]


def examples(resource_type: str) -> Iterator[dict[str, Any]]:
    """The official examples of a type."""
    for path in sorted((DATA / "r4-examples").glob(f"{resource_type}-*.json")):
        yield read(path.read_bytes())


def synthea(resource_type: str, bundles: int) -> Iterator[dict[str, Any]]:
    """Resources of a type in the first Synthea bundles, as they were published."""
    for path in sorted((DATA / "synthea").glob("[0-9a-f]*.json.gz"))[:bundles]:
        for entry in read(gzip.decompress(path.read_bytes()))["entry"]:
            if entry["resource"]["resourceType"] == resource_type:
                yield entry["resource"]
