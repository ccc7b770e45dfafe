"""References to what is not there (settled §3.5; fhir_rest C5)."""

from __future__ import annotations

import pytest

from tests.site import issues, observation, patient, running_site


def test_fhir_C5_by_default_a_well_formed_reference_is_stored_without_its_target(fhir):
    assert fhir.post("/Observation", json=observation("Patient/not-there")).status_code == 201


@pytest.mark.parametrize("reference", ["Patient/a_b", "NoType/1", "Observation/1/2/3", "patient/1"])
def test_fhir_C5_a_reference_that_is_none_is_refused(fhir, reference):
    assert 400 <= fhir.post("/Observation", json=observation(reference)).status_code < 500


def test_fhir_C5_enforced_references_need_their_target(database_url):
    with running_site(database_url, references="enforce") as site:
        fhir = site.client()
        answer = fhir.post("/Observation", json=observation("Patient/not-there"))
        assert (answer.status_code, issues(answer)[0]["code"]) == (422, "not-found")
        assert issues(answer)[0]["expression"] == ["Observation.subject.reference"]
        key = fhir.post("/Patient", json=patient()).json()["id"]
        assert fhir.post("/Observation", json=observation(f"Patient/{key}")).status_code == 201
