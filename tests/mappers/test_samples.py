"""The laws on sample rows of the patient graph, on the official examples and on Synthea (mapping.md "Laws")."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mappers.json_values import decode, encode, same
from mappers.lens import Absorbed
from mappers.lookups import Home, Lookups
from mappers.registry import MAPPERS, mappers_of_table, mappers_of_type
from mappers.residual import NOTHING, Residual
from tests.builders import AnyHome, lookups
from tests.laws.test_mapping_laws import comparable, expressions
from tests.mappers.samples import bundles, examples, graph_rows, needs_samples, resources


class Customers(dict[str, Home]):
    """Every Patient and every fullUrl is a customer, so that as many resources as possible meet their mapper."""

    def get(self, key: str, default: Any = None) -> Any:
        if key.startswith(("Patient/", "urn:uuid:")):
            return Home("customer_profiles", key.replace("urn:uuid:", "Patient/").partition("/")[2])
        return default


@needs_samples
@pytest.mark.parametrize("table", ["customer_profiles", "lab_results", "protocols", "subscriptions",
                                   "patient_prescriptions", "patient_wearable_readings",
                                   "patient_wearable_daily_stats"])  # fmt: skip
def test_every_sample_row_survives_its_mappers(table: str) -> None:
    for row in graph_rows()[table]:
        known = lookups(homes=SampleHomes(row))
        for mapper in mappers_of_table(table):
            for part in mapper.parts(row):
                rendered = mapper.render(row, part, known)
                lineage = mapper.lineage(row, part, known, NOTHING)
                assert set(lineage) == set(expressions(rendered, mapper.resource_type))
                if not mapper.read_only:
                    assert mapper.absorb(rendered, known, row, part) == Absorbed(row, NOTHING)


class SampleHomes(AnyHome):
    """References of one sample row resolve to what the row refers to."""

    def __init__(self, row: Any) -> None:
        super().__init__()
        customer = getattr(row, "customer_id", row.id)
        self[f"Patient/{customer}"] = Home("customer_profiles", customer)


@needs_samples
def test_law_1_holds_for_every_claimed_official_example() -> None:
    claimed = Counter(offered(resource) for path in examples() for resource in resources(path))
    assert sum(claimed.values()) >= 255


@needs_samples
@pytest.mark.slow
def test_law_1_holds_for_every_claimed_synthea_resource() -> None:
    claimed = Counter(offered(resource) for path in bundles() for resource in resources(path))
    assert claimed["wearable_reading"] > 1000


@needs_samples
def test_law_1_holds_for_the_claimed_resources_of_two_synthea_patients() -> None:
    claimed = Counter(offered(resource) for path in bundles()[:2] for resource in resources(path))
    assert claimed["wearable_reading"] > 0


def offered(resource: dict[str, Any]) -> str:
    """Offer a resource to the mappers of its type; the name of the one that claimed it, or "native"."""
    known = Lookups(organization_id="loop-health", homes=Customers())
    for mapper in mappers_of_type(resource["resourceType"]):
        outcome = mapper.absorb(resource, known)
        if isinstance(outcome, Absorbed):
            stored = Residual.from_json(decode(encode(outcome.residual.to_json())))
            assert same(comparable(mapper.render(outcome.row, "", known, stored)), comparable(resource))
            return mapper.name
        assert outcome.reason
    return "native"


def test_every_writable_mapper_names_where_else_its_rows_are_written() -> None:
    assert all(mapper.internal_endpoint for mapper in MAPPERS if mapper.read_only)
