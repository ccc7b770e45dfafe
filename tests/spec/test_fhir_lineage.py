"""$lineage: where each element comes from, and since which version (operation of our own; fhir_rest §13)."""

from __future__ import annotations

import time

import pytest

from tests.site import issues, observation, patient


def elements(answer):
    """Return the parts of every element by its path."""
    assert answer.status_code == 200, answer.text
    assert answer.json()["resourceType"] == "Parameters"
    found = {}
    for each in answer.json()["parameter"]:
        if each["name"] == "element":
            parts = {}
            for part in each["part"]:
                (value,) = (value for name, value in part.items() if name != "name")
                parts.setdefault(part["name"], []).append(value)
            found[parts["path"][0]] = {name: value if name == "column" else value[0] for name, value in parts.items()}
    return found


@pytest.fixture(scope="module")
def person(fhir):
    """A Patient that is a row of the patient graph, with a maiden name that no column has room for."""
    body = patient("Rowe") | {
        "birthDate": "1980-04-01",
        "gender": "female",
        "telecom": [{"system": "email", "value": "rowe@example.org"}],
        "identifier": [
            {"system": "https://fhir-server.example/identifier/customer/clerk_user_id", "value": "user_rowe"}
        ],
    }
    body["name"][0]["prefix"] = ["Dr."]
    return fhir.post("/Patient", json=body).json()["id"]


def test_lineage_of_a_row_names_columns_and_the_residual(fhir, person):
    found = elements(fhir.get(f"/Patient/{person}/$lineage"))
    birth = found["Patient.birthDate"]
    assert birth == {
        "path": "Patient.birthDate",
        "source": "column",
        "table": "customer_profiles",
        "row": birth["row"],
        "column": ["date_of_birth"],
        "mapper": birth["mapper"],
        "version": "1",
    }
    assert found["Patient.name[0].prefix[0]"]["source"] == "residual"
    assert "column" not in found["Patient.name[0].prefix[0]"]
    assert found["Patient.id"]["column"] == ["id"]
    assert not any("versionId" in path or "lastUpdated" in path for path in found)


def test_lineage_knows_the_version_in_which_an_element_last_differed(fhir, person):
    body = fhir.get(f"/Patient/{person}").json()
    body["birthDate"] = "1981-04-01"
    assert fhir.put(f"/Patient/{person}", json=body).json()["meta"]["versionId"] == "2"
    body["gender"] = "other"
    assert fhir.put(f"/Patient/{person}", json=body).json()["meta"]["versionId"] == "3"
    found = elements(fhir.get(f"/Patient/{person}/$lineage"))
    versions = {path: each["version"] for path, each in found.items()}
    assert versions["Patient.birthDate"] == "2"
    assert versions["Patient.gender"] == "3"
    assert versions["Patient.name[0].family"] == "1"


def test_lineage_of_a_native_resource(fhir):
    made = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"text": "x"}}).json()
    found = elements(fhir.get(f"/Basic/{made['id']}/$lineage"))
    assert found == {
        path: {"path": path, "source": "native", "version": "1"} for path in ("Basic.id", "Basic.code.text")
    }
    fhir.put(f"/Basic/{made['id']}", json={**made, "code": {"text": "y"}})
    found = elements(fhir.get(f"/Basic/{made['id']}/$lineage"))
    assert (found["Basic.id"]["version"], found["Basic.code.text"]["version"]) == ("1", "2")


def test_lineage_after_a_deletion_begins_anew(fhir):
    body = {"resourceType": "Basic", "id": "back", "code": {"text": "x"}}
    fhir.put("/Basic/back", json=body)
    fhir.delete("/Basic/back")
    assert fhir.get("/Basic/back/$lineage").status_code == 410
    fhir.put("/Basic/back", json=body)
    assert elements(fhir.get("/Basic/back/$lineage"))["Basic.code.text"]["version"] == "3"


def test_lineage_tells_what_the_mapper_adds(fhir):
    for _ in range(400):
        found = fhir.get("/Organization").json()
        if found["total"]:
            break
        time.sleep(0.02)
    name = found["entry"][0]["resource"]["id"]
    told = elements(fhir.get(f"/Organization/{name}/$lineage"))
    assert told["Organization.meta.profile[0]"]["source"] == "constant"
    assert told["Organization.name"]["column"] == ["name"]


def test_lineage_by_post_and_its_parameters(fhir, person):
    empty = {"resourceType": "Parameters"}
    answer = fhir.post(f"/Patient/{person}/$lineage", json=empty)
    assert elements(answer) == elements(fhir.get(f"/Patient/{person}/$lineage"))
    answer = fhir.post(f"/Patient/{person}/$lineage", json={"resourceType": "Patient"})
    assert (answer.status_code, issues(answer)[0]["severity"]) == (400, "error")


def test_lineage_of_nothing_at_another_level_and_declared(fhir):
    assert fhir.get("/Patient/never/$lineage").status_code == 404
    assert fhir.get("/Patient/$lineage").status_code in {400, 404, 405}
    (declared,) = [each for each in fhir.get("/metadata").json()["rest"][0]["operation"] if each["name"] == "lineage"]
    assert declared["definition"].endswith("/fhir/OperationDefinition/lineage")


def test_patients_are_not_told_internal_names(site, person):
    app = site.client("patient/*.rs", role="PATIENT", patient=person)
    found = elements(app.get(f"/Patient/{person}/$lineage"))
    assert found["Patient.birthDate"] == {"path": "Patient.birthDate", "source": "column", "version": "2"}


def test_security_AZ1_lineage_needs_the_right_to_read(site, fhir, person):
    stranger = fhir.post("/Patient", json=patient("Other")).json()["id"]
    app = site.client("patient/*.rs", role="PATIENT", patient=stranger)
    hidden, absent = (app.get(f"/Patient/{name}/$lineage") for name in (person, "never"))
    assert (hidden.status_code, issues(hidden)[0]["code"]) == (absent.status_code, issues(absent)[0]["code"])
    assert hidden.status_code == 404
    assert site.client("system/Observation.rs").get(f"/Patient/{person}/$lineage").status_code == 403
    assert site.client("system/Patient.s").get(f"/Patient/{person}/$lineage").status_code == 403
    anonymous = site.client()
    anonymous.headers.pop("Authorization")
    assert anonymous.get(f"/Patient/{person}/$lineage").status_code == 401


def test_fhir_V6_versions_of_another_patient_are_not_compared(site, fhir, person):
    stranger = fhir.post("/Patient", json=patient("Another")).json()["id"]
    made = fhir.post("/Observation", json=observation(f"Patient/{stranger}")).json()
    moved = {**made, "subject": {"reference": f"Patient/{person}"}}
    assert fhir.put(f"/Observation/{made['id']}", json=moved).status_code == 200
    app = site.client("patient/*.rs", role="PATIENT", patient=person)
    found = elements(app.get(f"/Observation/{made['id']}/$lineage"))
    assert not any("version" in each for each in found.values())
    seen = elements(fhir.get(f"/Observation/{made['id']}/$lineage"))
    assert seen["Observation.subject.reference"]["version"] == "2"


def test_lineage_in_bundles(fhir, person):
    entries = [{"request": {"method": "GET", "url": f"Patient/{person}/$lineage"}}]
    for kind in ("batch", "transaction"):
        answer = fhir.post("/", json={"resourceType": "Bundle", "type": kind, "entry": entries})
        assert answer.status_code == 200, answer.text
        assert answer.json()["entry"][0]["resource"]["resourceType"] == "Parameters"
