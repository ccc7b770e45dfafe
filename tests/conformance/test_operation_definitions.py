"""What /metadata refers to can be read (FHIR R4 operationdefinition.html; fhir_rest §13)."""

from __future__ import annotations

import pytest

from capability.operations import OPERATIONS
from tests.site import issues

NAMES = sorted(OPERATIONS)


@pytest.fixture(scope="module")
def claimed(fhir):
    rest = fhir.get("/metadata").json()["rest"][0]
    of_types = [each for resource in rest["resource"] for each in resource.get("operation", ())]
    return {each["name"]: each["definition"] for each in [*rest.get("operation", ()), *of_types]}


def test_fhir_operations_all_are_claimed(claimed):
    assert sorted(claimed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_fhir_operations_definitions_are_found_by_url_and_read_by_id(site, fhir, claimed, name):
    bundle = fhir.get("/OperationDefinition", params={"url": claimed[name]}).json()
    (definition,) = [entry["resource"] for entry in bundle["entry"]]
    assert (bundle["total"], definition["code"], definition["url"]) == (1, name, claimed[name])
    read = fhir.get(f"/OperationDefinition/{definition['id']}")
    assert read.status_code == 200
    assert read.json() == definition
    if claimed[name].startswith(site.base):
        assert claimed[name] == f"{site.base}/OperationDefinition/{definition['id']}"


def test_fhir_operations_definitions_are_searched_like_others(fhir):
    def found(query: str) -> list[str]:
        bundle = fhir.get(f"/OperationDefinition?{query}").json()
        return sorted(entry["resource"]["code"] for entry in bundle.get("entry", ()) if "code" in entry["resource"])

    assert found("") == NAMES
    assert found("code=lastn") == ["lastn"]
    assert found("name=LAST") == ["lastn"]
    assert found("instance=true&code=lastn") == []
    assert found("url=http://hl7.org/fhir/OperationDefinition/none") == []
    assert found("code:not=lastn") == []
    counted = fhir.get("/OperationDefinition?_summary=count").json()
    assert counted["total"] == len(NAMES)
    assert "entry" not in counted


def test_fhir_operations_definitions_stand_beside_stored_ones(fhir):
    own = {
        "resourceType": "OperationDefinition",
        "url": "urn:own",
        "name": "Own",
        "status": "draft",
        "kind": "operation",
        "code": "own",
        "system": True,
        "type": False,
        "instance": False,
    }
    assert fhir.post("/OperationDefinition", json=own).status_code == 201
    bundle = fhir.get("/OperationDefinition").json()
    assert bundle["total"] == len(NAMES) + 1
    assert len(fhir.get("/OperationDefinition?kind=operation").json()["entry"]) == len(NAMES) + 1


def test_fhir_operations_definitions_need_a_scope(site):
    stranger = site.client("system/Patient.rs")
    answer = stranger.get("/OperationDefinition/Observation-lastn")
    assert (answer.status_code, issues(answer)[0]["code"]) == (403, "forbidden")
    assert stranger.get("/OperationDefinition").status_code == 403


def test_fhir_operations_unknown_definitions_are_404(fhir):
    assert fhir.get("/OperationDefinition/none").status_code == 404
