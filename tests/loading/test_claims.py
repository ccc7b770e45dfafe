"""`load` takes what the interface would take: claims of profiles are checked there, too (fhir_rest C6)."""

from __future__ import annotations

import json

from fhir_server.loading.loader import Loader
from fhir_server.loading.sources import find_sources
from tests.loading.conftest import ACCESS, KEY, Loading

CLAIM = {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"]}
KEPT = {
    "resourceType": "Patient",
    "id": "kept",
    "meta": CLAIM,
    "identifier": [{"system": "urn:x", "value": "1"}],
    "name": [{"family": "x"}],
    "gender": "female",
}
BROKEN = {"resourceType": "Patient", "id": "broken", "meta": CLAIM, "name": [{"family": "x"}]}


async def test_fhir_C6_a_resource_that_does_not_follow_what_it_claims_is_refused_and_the_rest_goes_on(
    loading: Loading,
) -> None:
    loading.file("patients.ndjson", f"{_line(KEPT)}\n{_line(BROKEN)}\n")
    summary = await loading.load()
    assert set(await loading.versions()) == {"Patient/kept"}
    (refused,) = summary.refused
    assert "Patient.gender" in refused.reason or "Patient.identifier" in refused.reason


async def test_fhir_C6_claims_need_not_be_looked_at(loading: Loading) -> None:
    path = loading.file("patients.ndjson", f"{_line(BROKEN)}\n")
    loader = Loader(loading.database, loading.store, ACCESS, KEY, claimed=False)
    assert (await loader.load(find_sources([path]))).refused == []
    assert set(await loading.versions()) == {"Patient/broken"}


def _line(resource: dict[str, object]) -> str:
    return json.dumps(resource)
