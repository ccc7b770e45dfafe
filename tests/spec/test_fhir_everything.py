"""Patient/[id]/$everything (FHIR R4 operation-patient-everything.html; fhir_rest §13)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.site import issues, patient


@pytest.fixture(scope="module")
def record(fhir):
    """A patient with two Observations, performed by a Practitioner, beside another patient with one."""
    doctor = fhir.post("/Practitioner", json={"resourceType": "Practitioner", "name": [{"family": "Who"}]}).json()["id"]
    mine = fhir.post("/Patient", json=patient("Mine")).json()["id"]
    other = fhir.post("/Patient", json=patient("Other")).json()["id"]
    for subject, day in ((mine, "2020-01-01"), (mine, "2021-01-01"), (other, "2021-01-01")):
        observation = {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": f"Patient/{subject}"},
            "performer": [{"reference": f"Practitioner/{doctor}"}],
            "effectiveDateTime": day,
        }
        assert fhir.post("/Observation", json=observation).status_code == 201
    return mine


def names(bundle):
    return [entry["resource"]["resourceType"] for entry in bundle.get("entry", [])]


def test_fhir_everything_gives_the_patient_first_then_the_compartment_then_the_directory(fhir, record):
    answer = fhir.get(f"/Patient/{record}/$everything")
    assert answer.status_code == 200
    assert answer.json()["type"] == "searchset"
    assert names(answer.json()) == ["Patient", "Observation", "Observation", "Practitioner"]


def test_fhir_everything_comes_page_by_page_without_repeats(fhir, record):
    address, seen = f"/Patient/{record}/$everything?_count=1", []
    while address:
        page = fhir.get(address).json()
        seen += [entry["fullUrl"] for entry in page["entry"]]
        following = [link["url"] for link in page["link"] if link["relation"] == "next"]
        parts = urlsplit(following[0]) if following else None
        address = f"{parts.path.removeprefix('/fhir')}?{parts.query}" if parts else None
    assert len(seen) == len(set(seen)) == 4


def test_fhir_everything_is_restricted_by_care_dates_and_types(fhir, record):
    assert names(fhir.get(f"/Patient/{record}/$everything?start=2020-06-01&_type=Observation").json()) == [
        "Observation"
    ]


@pytest.mark.parametrize("query", ["start=yesterday", "_type=Nothing", "_count=x"])
def test_fhir_everything_refuses_parameters_that_cannot_be_read(fhir, record, query):
    answer = fhir.get(f"/Patient/{record}/$everything?{query}")
    assert (answer.status_code, issues(answer)[0]["severity"]) == (400, "error")


def test_fhir_everything_of_an_unknown_patient_is_404(fhir):
    assert fhir.get("/Patient/never/$everything").status_code == 404


def test_fhir_everything_is_declared(fhir):
    served = {each["type"]: each for each in fhir.get("/metadata").json()["rest"][0]["resource"]}
    assert [operation["name"] for operation in served["Patient"]["operation"]] == ["everything"]
    assert "everything" not in [operation["name"] for operation in served["Observation"]["operation"]]
