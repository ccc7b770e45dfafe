"""What rows show follows the profiles that it claims (us_core §2, M1; fhir_rest C6)."""

from __future__ import annotations

from importlib import resources

import pytest
from sqlalchemy import text

from capability.profiles import PROFILES, versions_of
from fhir_server.fhir.json_body import parse_json
from fhir_server.validation.profiles import profile_issues
from fhir_server.validation.validate import claims, resource_issues
from storage.access import system_access
from storage.resources import ResourceKey
from tests.loading.conftest import Loading

SAMPLES = ("patient_graph.json", "care_platform.json", "health_hub.json", "us_core.json")
NEWER = {"us-core-smoking-pack-years"}
"""Of a kind that 7.0.0 has and 6.1.0 has not: an amount of smoking."""


async def shown(loading: Loading) -> list[bytes]:
    """Return the resources of all organizations, as they are read."""
    async with loading.database.platform() as connection:
        organizations = [row[0] for row in await connection.execute(text("SELECT id FROM organizations"))]
    found = []
    for organization in organizations:
        async with loading.database.read(organization) as driver:
            cursor = await driver.connection.execute(  # type: ignore[attr-defined]
                f"SELECT resource_type, id FROM fhir_resources WHERE organization_id = '{organization}'"
            )
            keys = [ResourceKey(*row) for row in await cursor.fetchall()]
        access = system_access(organization, "tests")
        found += [(await loading.store.read(key, access)).body for key in keys]
    return found


@pytest.mark.parametrize("sample", SAMPLES)
async def test_uscore_resources_of_the_demonstration_follow_what_they_claim_in_every_version(
    loading: Loading, sample: str
) -> None:
    loading.file(sample, (resources.files("fhir_server.demo") / "data" / sample).read_bytes())
    await loading.load()
    claimed, faults = 0, []
    for body in await shown(loading):
        resource = parse_json(body)
        faults += [(resource["id"], each) for each in resource_issues(resource)]
        for url in claims(resource):
            for version in versions_of(url):
                profile = PROFILES[f"{url}|{version}"]
                claimed += 1
                if (version, resource["id"] in NEWER) != ("6.1.0", True):
                    found = profile_issues(resource, profile, thorough=False)
                    faults += [(resource["id"], each.expression, each.diagnostics) for each in found]
    assert faults == []
    assert claimed
