"""What an answer says of common mistakes: what was wrong, and the remedy (fhir_rest §11)."""

from __future__ import annotations

import httpx
import pytest

from tests.site import issues, patient

NOT_OF_THIS = "this page is not of this search and caller: follow links as they are, or search again"


def said(answer: httpx.Response, status: int) -> str:
    """Return the diagnostics of the one issue of an answer."""
    assert answer.status_code == status, answer.text
    (issue,) = issues(answer)
    return str(issue["diagnostics"])


@pytest.fixture(scope="module")
def key(fhir: httpx.Client) -> str:
    return str(fhir.post("/Patient", json=patient("Says")).json()["id"])


def test_fhir_Q3_a_page_of_another_search_says_what_to_do(fhir: httpx.Client) -> None:
    assert said(fhir.get("/Patient?_cursor=abc"), 400) == NOT_OF_THIS


@pytest.mark.parametrize(
    ("name", "value"), [("_sort", "nonsense"), ("_include", "Patient:nonsense"), ("_revinclude", "Group:nonsense")]
)
def test_fhir_S4_what_a_known_parameter_names_is_unknown_and_not_the_parameter(
    fhir: httpx.Client, name: str, value: str
) -> None:
    address = f"/Patient?{name}={value}"
    *_, entry = fhir.get(address).json()["entry"]
    (issue,) = entry["resource"]["issue"]
    assert issue["diagnostics"] == f"The parameter {name} names what is not known here and was not used."
    strict = said(fhir.get(address, headers={"Prefer": "handling=strict"}), 400)
    assert strict == f"{name}: it names what Patient does not have here; see /metadata"


@pytest.mark.parametrize("value", ["maybe", "yes", "1"])
def test_fhir_S4_what_is_neither_true_nor_false_is_told_to_find_nothing(fhir: httpx.Client, value: str) -> None:
    (entry,) = fhir.get(f"/Patient?active={value}").json()["entry"]
    (issue,) = entry["resource"]["issue"]
    assert issue["diagnostics"] == "A code of active is none that the element can have. Known are false, true."


@pytest.mark.parametrize("value", ["true", "FALSE", "http://terminology.hl7.org/CodeSystem/special-values|true"])
def test_fhir_S4_of_true_and_false_nothing_is_told(fhir: httpx.Client, value: str) -> None:
    found = fhir.get(f"/Patient?active={value}").json()
    assert [each for each in found.get("entry", []) if each["search"]["mode"] == "outcome"] == []


def test_fhir_8_5_an_unknown_modifier_of_a_reference_names_types_too(fhir: httpx.Client) -> None:
    served = "subject:Foo: a reference parameter has the modifiers :identifier, :missing, :Type"
    assert said(fhir.get("/Observation?subject:Foo=1"), 400) == served


def test_fhir_R3_a_version_that_is_not_there_is_told_from_its_resource(fhir: httpx.Client, key: str) -> None:
    assert said(fhir.get(f"/Patient/{key}/_history/9"), 404) == f"Patient/{key}/_history/9 is not known"
    assert said(fhir.get("/Patient/never/_history/1"), 404) == "Patient/never/_history/1 is not known"


def test_fhir_U3_a_stale_version_says_to_read_again(fhir: httpx.Client, key: str) -> None:
    stale = fhir.put(f"/Patient/{key}", json=patient("Late", id=key), headers={"If-Match": 'W/"7"'})
    assert said(stale, 412) == f"Patient/{key} is not at the expected version: read it again first"


@pytest.mark.parametrize("condition", ["?family=x", "Patient?family=x"])
def test_fhir_C4_a_condition_with_type_or_question_mark_says_how_it_is_written(
    fhir: httpx.Client, condition: str
) -> None:
    answer = fhir.post("/Patient", json=patient("New"), headers={"If-None-Exist": condition})
    assert said(answer, 400) == "write search parameters alone, as name=value, without type and ?"


def test_fhir_P5_a_json_patch_sent_as_a_resource_says_of_what_kind_it_is(fhir: httpx.Client, key: str) -> None:
    answer = fhir.patch(f"/Patient/{key}", json=[{"op": "add", "path": "/active", "value": True}])
    assert said(answer, 400) == "Send a JSON Patch as Content-Type: application/json-patch+json."


@pytest.mark.parametrize("operation", ["$meta-add", "$meta-delete"])
def test_fhir_meta_labels_without_the_parameter_meta_are_refused(fhir: httpx.Client, key: str, operation: str) -> None:
    answer = fhir.post(f"/Patient/{key}/{operation}", json={"resourceType": "Parameters"})
    assert said(answer, 400) == "Give the labels in a parameter meta."
