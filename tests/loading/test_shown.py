"""What rows show follows the profiles that it claims (us_core §2, M1; fhir_rest C6)."""

from __future__ import annotations

from importlib import resources

import pytest

from fhir_server.fhir.json_body import parse_json
from fhir_server.validation.validate import claimed_issues, claims, resource_issues
from storage.resources import ResourceKey
from tests.conftest import ORGANIZATION
from tests.loading.conftest import ACCESS, Loading

SAMPLES = ("patient_graph.json", "us_core.json")


@pytest.mark.parametrize("sample", SAMPLES)
async def test_uscore_resources_of_the_demonstration_follow_what_they_claim(loading: Loading, sample: str) -> None:
    loading.file(sample, (resources.files("fhir_server.demo") / "data" / sample).read_bytes())
    await loading.load()
    rows = await loading.sql(
        "SELECT resource_type, id FROM fhir_resources WHERE NOT deleted AND organization_id = '" + ORGANIZATION + "'"
    )
    claiming, faults = 0, []
    for kind, key in rows:
        resource = parse_json((await loading.store.read(ResourceKey(kind, key), ACCESS)).body)
        claiming += bool(claims(resource))
        faults += [(kind, key, each.expression, each.diagnostics) for each in resource_issues(resource)]
        faults += [(kind, key, each.expression, each.diagnostics) for each in claimed_issues(resource)]
    assert rows
    assert faults == []
    assert claiming
