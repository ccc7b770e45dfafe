"""What the levels of scopes reach, over HTTP (smart.md E6, E11 to E15, C10; settled §4.4)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import OTHER_ORGANIZATION
from tests.site import Site, observation, patient

OWN, LINKED, OTHER = "levels-own", "levels-linked", "levels-other"


@pytest.fixture(scope="module")
def world(fhir: httpx.Client) -> httpx.Client:
    """Three patients, two of them linked, with an Observation each, and a directory."""
    told: list[dict[str, Any]] = [
        patient(id=LINKED),
        patient(id=OTHER),
        patient(id=OWN, link=[{"other": {"reference": f"Patient/{LINKED}"}, "type": "seealso"}]),
        *(observation(f"Patient/{each}", id=f"{each}-weight") for each in (OWN, LINKED, OTHER)),
        observation(f"Patient/{OTHER}", id="levels-performed", performer=[{"reference": f"Patient/{OWN}"}]),
        {"resourceType": "Practitioner", "id": "levels-doctor"},
        {"resourceType": "Organization", "id": "levels-clinic", "name": "Clinic"},
        {"resourceType": "Location", "id": "levels-ward", "name": "Ward"},
        {"resourceType": "Medication", "id": "levels-pill", "code": {"text": "pill"}},
        {"resourceType": "Device", "id": "levels-nobody", "deviceName": [{"name": "x", "type": "other"}]},
        {"resourceType": "Device", "id": "levels-device", "patient": {"reference": f"Patient/{OWN}"}},
        {"resourceType": "Library", "id": "levels-library", "status": "active", "type": {"text": "x"}},
    ]
    for resource in told:
        fhir.put(f"/{resource['resourceType']}/{resource['id']}", json=resource).raise_for_status()
    return fhir


def app(site: Site, scope: str) -> httpx.Client:
    return site.client(scope, role="APP", patient=OWN)


def ids(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {each["resource"]["id"] for each in answer.json().get("entry", []) if "id" in each["resource"]}


@pytest.mark.parametrize("query", ["_elements=code", "_summary=true", "_summary=text", "_summary=data", "_elements=id"])
def test_smart_E6_a_part_of_a_resource_is_no_way_round(world, site: Site, query: str):
    caller = app(site, "patient/Observation.rs")
    assert ids(caller.get(f"/Observation?{query}")) == {f"{OWN}-weight"}
    assert caller.get(f"/Observation/{OTHER}-weight?{query}").status_code == 404


def test_smart_E11_having_performed_it_does_not_show_what_is_about_another_patient(world, site: Site):
    caller = app(site, "patient/*.rs")
    assert caller.get("/Observation/levels-performed").status_code == 404
    assert ids(caller.get(f"/Observation?performer=Patient/{OWN}")) == set()


@pytest.mark.parametrize(
    "key",
    ["Practitioner/levels-doctor", "Organization/levels-clinic", "Location/levels-ward", "Medication/levels-pill"],
)
def test_smart_E12_the_directory_is_read_by_a_patient_scope_for_the_type(world, site: Site, key: str):
    kind, _, name = key.partition("/")
    caller = app(site, f"patient/{kind}.rs")
    assert caller.get(f"/{key}").status_code == 200
    assert name in ids(caller.get(f"/{kind}"))
    assert app(site, "patient/Observation.rs").get(f"/{key}").status_code == 403
    assert app(site, f"patient/{kind}.cruds").delete(f"/{key}").status_code == 403


def test_smart_E12_other_types_that_belong_to_no_patient_are_not_seen(world, site: Site):
    caller = app(site, "patient/*.rs")
    assert ids(caller.get("/Device")) == {"levels-device"}
    assert caller.get("/Device/levels-nobody").status_code == 404
    assert ids(caller.get("/Library")) == set()


def test_smart_E13_a_link_to_another_patient_widens_nothing(world, site: Site):
    caller = app(site, "patient/*.rs")
    assert caller.get(f"/Patient/{OWN}").status_code == 200
    assert caller.get(f"/Patient/{LINKED}").status_code == 404
    assert ids(caller.get(f"/Patient?_id={OWN}&_include=Patient:link")) == {OWN}
    assert ids(caller.get("/Observation")) == {f"{OWN}-weight"}
    assert LINKED not in ids(caller.get(f"/Patient/{OWN}/$everything"))


def test_smart_E14_user_scopes_are_cut_by_what_the_user_may_see(world, site: Site):
    person = site.client("user/*.cruds", role="PATIENT", patient=OWN)
    assert ids(person.get("/Observation")) == {f"{OWN}-weight"}
    assert person.get(f"/Patient/{OTHER}").status_code == 404
    assert person.delete(f"/Observation/{OWN}-weight").status_code == 403
    clinician = site.client("user/*.cruds", role="CLINICIAN")
    assert {f"{each}-weight" for each in (OWN, LINKED, OTHER)} <= ids(clinician.get("/Observation?_count=100"))
    assert clinician.get("/AuditEvent").status_code == 403


def test_smart_E15_system_scopes_are_cut_by_the_clients_organization(world, site: Site):
    service = site.client("system/*.cruds", organization=OTHER_ORGANIZATION)
    assert service.get(f"/Patient/{OWN}").status_code == 404
    assert OWN not in ids(service.get("/Patient?_count=100"))


@pytest.mark.parametrize("role", ["CLINICIAN", "PATIENT", "APP"])
def test_smart_E15_system_scopes_are_nothing_to_anybody_else(world, site: Site, role: str):
    assert site.client("system/*.cruds", role=role, patient=OWN).get("/Observation").status_code == 403


@pytest.mark.parametrize("kind", ["Observation", "VisionPrescription", "Library"])
def test_smart_C10_a_wildcard_covers_every_type(world, site: Site, kind: str):
    assert app(site, "patient/*.rs").get(f"/{kind}").status_code == 200
    assert app(site, "patient/*.s").get(f"/{kind}/never").status_code == 403
