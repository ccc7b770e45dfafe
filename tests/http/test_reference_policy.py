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


def test_security_AZ6_enforced_references_tell_nothing_of_what_a_filter_hides(database_url):
    with running_site(database_url, references="enforce") as site:
        fhir = site.client()
        who = fhir.post("/Patient", json=patient()).json()["id"]
        visits = {"absent": "not-there"}
        for status in ("finished", "planned"):
            visit = {
                "resourceType": "Encounter",
                "status": status,
                "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
                "subject": {"reference": f"Patient/{who}"},
            }
            visits[status] = fhir.post("/Encounter", json=visit).raise_for_status().json()["id"]
        caller = site.client("user/Observation.c user/Encounter.rs?status=finished", role="CLINICIAN")
        told = {
            name: caller.post(
                "/Observation", json=observation(f"Patient/{who}", encounter={"reference": f"Encounter/{key}"})
            )
            for name, key in visits.items()
        }
        assert told["finished"].status_code == 201
        assert told["planned"].status_code == told["absent"].status_code == 422
        texts = [told[name].text.replace(visits[name], "") for name in ("planned", "absent")]
        assert len({text.partition("diagnostics")[2] for text in texts}) == 1
