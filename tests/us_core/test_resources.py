"""What US Core wants of the resources themselves: must-support, missing data, references, errors (us_core.md §1–§3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fhirkit
import httpx
import pytest

from mappers.json_values import encode
from tests.site import Site, issues
from tests.us_core.conftest import Kit
from tests.us_core.elements import found, wanted
from tests.us_core.groups import FHIR, GROUPS, US_CORE, Group, sample_resources

MARA = "us-core-mara"
ABSENT_EXTENSION = f"{FHIR}data-absent-reason"
ABSENT_CODE = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
UCUM = "http://unitsofmeasure.org"
every_group = pytest.mark.parametrize("group", [pytest.param(group, id=group.name) for group in GROUPS])
current_groups = pytest.mark.parametrize(
    "group", [pytest.param(group, id=group.profile) for group in GROUPS if group.version == "7.0.0"]
)


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a value, itself included."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(each)


def references(resource: dict[str, Any]) -> list[str]:
    """Return the literal references to other resources."""
    texts = [each["reference"] for each in inside(resource) if isinstance(each.get("reference"), str)]
    return [text for text in texts if not text.startswith("#")]


# ---- must-support --------------------------------------------------------------------------------------------------


@every_group
def test_uscore_M1_M11_every_must_support_element_occurs_all_of_those_of_which_one_would_do(kit: Kit, group: Group):
    resources = kit.of(group)
    missing = []
    for row in group.must_support:
        asked = wanted(row)
        values = [value for resource in resources for value in found(resource, asked.path, group.profile)]
        reached = {value.get("reference", "").partition("/")[0] for value in values if isinstance(value, dict)}
        if not values or not set(asked.targets) <= reached:
            missing.append(row)
    assert missing == []


@every_group
def test_uscore_M9_units_are_those_of_the_profile(kit: Kit, group: Group):
    for path, expected in group.fixed:
        values = [value for resource in kit.of(group) for value in found(resource, path, group.profile)]
        assert set(values) == {expected}


def test_uscore_M9_a_vital_sign_has_a_unit_in_words_and_as_a_code(kit: Kit):
    vital = [each for each in kit.resources.values() if "vital-signs" in str(each.get("category"))]
    amounts = [each for resource in vital for each in inside(resource) if each.get("system") == UCUM]
    assert len(amounts) > 20
    assert all(each["unit"] and each["code"] and "value" in each for each in amounts)


@current_groups
def test_uscore_M10_each_type_of_a_choice_occurs(kit: Kit, group: Group):
    choices = {row for row in group.must_support if row.startswith("value") and row[5:6].isupper() and "." not in row}
    present = {key for resource in kit.of(group) for key in resource if key.startswith("value")}
    assert choices <= present


def test_uscore_M12_a_medication_is_a_code_or_contained_or_referred_to(kit: Kit):
    requests = [each for each in kit.resources.values() if each["resourceType"] == "MedicationRequest"]
    literal = [each["medicationReference"]["reference"] for each in requests if "medicationReference" in each]
    assert any("medicationCodeableConcept" in each for each in requests)
    assert any(text.startswith("#") for text in literal)
    assert any(text.startswith("Medication/") for text in literal)


@current_groups
def test_uscore_C9_resources_claim_the_profiles_they_are_made_for(kit: Kit, group: Group):
    claimed = {profile for each in kit.of(group) for profile in each["meta"].get("profile", [])}
    assert f"{US_CORE}{group.profile}" in claimed
    assert not any("|" in profile for profile in claimed)


def test_uscore_C4_every_profile_that_is_claimed_is_told_in_metadata(kit: Kit):
    statement = kit.client.get("metadata").json()
    told = {each["type"]: set(each.get("supportedProfile", [])) for each in statement["rest"][0]["resource"]}
    for resource in kit.resources.values():
        assert set(resource["meta"].get("profile", [])) <= told[resource["resourceType"]]


@pytest.mark.parametrize(
    "base",
    sorted(g.profile for g in GROUPS if g.version == "3.1.1" and g.type == "Observation" and "-" not in g.profile),
)
def test_uscore_11_vital_signs_claim_the_base_profiles_of_3_1_1(kit: Kit, base: str):
    claimed = {profile for each in kit.resources.values() for profile in each["meta"].get("profile", [])}
    assert f"{FHIR}{base}" in claimed


# ---- missing data --------------------------------------------------------------------------------------------------


def test_uscore_M2_nothing_is_empty(kit: Kit):
    for resource in kit.resources.values():
        for each in inside(resource):
            assert all(value not in ("", [], {}, None) for value in each.values())


def test_uscore_M3_an_extension_says_why_an_element_has_no_data(kit: Kit):
    reasons = [each for resource in kit.resources.values() for each in inside(resource)]
    assert {"url": ABSENT_EXTENSION, "valueCode": "unknown"} in reasons


def test_uscore_M4_a_code_says_why_a_concept_has_no_data(kit: Kit):
    concepts = [each for resource in kit.resources.values() for each in inside(resource) if "coding" in each]
    codings = [coding for concept in concepts for coding in concept["coding"]]
    assert any((coding["system"], coding["code"]) == (ABSENT_CODE, "unknown") for coding in codings)


def test_uscore_M7_a_person_without_a_name_says_so_and_has_no_gender_but_unknown(kit: Kit):
    person = kit.resources["Patient/us-core-unnamed"]
    assert person["gender"] == "unknown"
    assert person["name"] == [{"extension": [{"url": ABSENT_EXTENSION, "valueCode": "unknown"}]}]


def test_uscore_M8_an_observation_has_a_value_or_members_or_a_reason(kit: Kit):
    observations = [each for each in kit.resources.values() if each["resourceType"] == "Observation"]
    for parts in (observations, [part for each in observations for part in each.get("component", [])]):
        for part in parts:
            told = {"dataAbsentReason", "component", "hasMember"} & set(part)
            assert told or any(key.startswith("value") for key in part)


def test_uscore_M13_a_care_plan_has_a_narrative(kit: Kit):
    plans = [each for each in kit.resources.values() if each["resourceType"] == "CarePlan"]
    assert {each["text"]["status"] for each in plans} == {"generated", "additional"}
    assert all(each["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml"><p>') for each in plans)


def test_uscore_M14_every_resource_tells_its_version_and_its_instant(kit: Kit):
    for resource in kit.resources.values():
        assert resource["meta"]["versionId"]
        assert len(resource["meta"]["lastUpdated"]) == len("2026-01-01T00:00:00.000Z")


def test_the_sample_data_is_valid_and_small():
    for resource in sample_resources():
        assert fhirkit.validate(encode(resource).decode()) == []
    assert len(encode(sample_resources())) < 300_000


# ---- reading -------------------------------------------------------------------------------------------------------


def test_uscore_G16_whatever_is_referred_to_can_be_read(kit: Kit):
    reached = {text for resource in kit.resources.values() for text in references(resource)}
    for text in sorted(reached):
        answer = kit.client.get(text)
        assert answer.status_code == 200
        assert f"{answer.json()['resourceType']}/{answer.json()['id']}" == text
    assert {text.partition("/")[0] for text in reached} >= {
        "Condition",
        "Encounter",
        "Endpoint",
        "Location",
        "Medication",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "QuestionnaireResponse",
        "RelatedPerson",
        "Specimen",
    }


@every_group
def test_uscore_G17_what_a_must_support_reference_reaches_has_its_type_and_profile(kit: Kit, group: Group):
    for row in group.must_support:
        asked = wanted(row)
        for target in asked.targets:
            literal = [
                value["reference"]
                for resource in kit.of(group)
                for value in found(resource, asked.path, group.profile)
                if value.get("reference", "").startswith(f"{target}/")
            ]
            answers = [kit.client.get(text) for text in literal]
            assert all(answer.status_code == 200 for answer in answers)
            profiles = {profile for answer in answers for profile in answer.json()["meta"].get("profile", [])}
            assert any(profile.startswith(f"{US_CORE}us-core-") for profile in profiles)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(site: Site, kit: Kit) -> httpx.Client:
    """An app that a patient uses, of another patient than the one whose data is asked for."""
    return site.client("patient/*.rs", role="PATIENT", patient="us-core-elio", fhir_user="Patient/us-core-elio")


@current_groups
def test_uscore_G20_nothing_is_told_without_a_token(kit: Kit, group: Group):
    bare = {"Authorization": ""}
    for path in (group.type, f"{group.type}/{kit.of(group)[0]['id']}"):
        answer = kit.client.get(path, params={"patient": MARA} if path == group.type else None, headers=bare)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_uscore_G20_an_app_of_one_patient_sees_nothing_of_another(kit: Kit, stranger: httpx.Client):
    for group in GROUPS:
        if not any("patient" in combination for combination in group.combinations):
            continue
        answer = stranger.get(group.type, params={"patient": MARA})
        assert answer.status_code in {200, 403}
        matched = [entry for entry in answer.json().get("entry", []) if entry["search"]["mode"] == "match"]
        assert matched == []
    assert stranger.get(f"Patient/{MARA}").status_code == 404
    assert stranger.get("Observation/us-core-weight").status_code == 404


def test_uscore_G16_an_app_of_one_patient_reads_what_its_data_refers_to(kit: Kit, stranger: httpx.Client):
    own = [each for each in kit.resources.values() if each.get("subject") == {"reference": "Patient/us-core-elio"}]
    for text in sorted({text for resource in own for text in references(resource)}):
        assert stranger.get(text).status_code == 200, text


def test_uscore_3_a_token_without_the_scope_is_refused(site: Site, kit: Kit):
    client = site.client("patient/Observation.rs", role="PATIENT", patient=MARA, fhir_user=f"Patient/{MARA}")
    answer = client.get("Condition", params={"patient": MARA})
    assert answer.status_code == 403
    assert issues(answer)[0]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("Patient/no-such-id", 404, "not-found"),
        ("Patient?birthdate=abc", 400, "invalid"),
        ("Observation?patient=us-core-mara&date=gt2020-13", 400, "invalid"),
        ("Ointment/1", 404, "not-supported"),
    ],
)
def test_uscore_3_an_error_is_told_as_kits_expect_it(kit: Kit, path: str, status: int, code: str):
    answer = kit.client.get(path)
    assert (answer.status_code, issues(answer)[0]["code"]) == (status, code)


def test_uscore_3_what_was_deleted_is_gone(kit: Kit):
    made = kit.client.post("Location", json={"resourceType": "Location", "name": "Tent"}).json()
    kit.client.delete(f"Location/{made['id']}")
    answer = kit.client.get(f"Location/{made['id']}")
    assert (answer.status_code, issues(answer)[0]["code"]) == (410, "deleted")


def test_uscore_3_a_parameter_that_nobody_knows_is_left_out_with_a_warning(kit: Kit):
    answer = kit.client.get("Condition", params={"patient": MARA, "colour": "red"})
    assert answer.status_code == 200
    outcomes = [entry for entry in answer.json()["entry"] if entry["search"]["mode"] == "outcome"]
    assert outcomes[0]["resource"]["issue"][0]["severity"] == "warning"
    assert "colour" not in next(link["url"] for link in answer.json()["link"] if link["relation"] == "self")


def test_uscore_3_strict_handling_refuses_a_parameter_that_nobody_knows(kit: Kit):
    asked = {"patient": MARA, "colour": "red"}
    answer = kit.client.get("Condition", params=asked, headers={"Prefer": "handling=strict"})
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "not-supported")


def test_uscore_3_a_format_that_is_not_served_is_refused(kit: Kit):
    answer = kit.client.get(f"Patient/{MARA}", headers={"Accept": "text/turtle"})
    assert (answer.status_code, issues(answer)[0]["code"]) == (406, "not-supported")
    answer = kit.client.post("Patient", content="<Patient/>", headers={"Content-Type": "text/turtle"})
    assert answer.status_code == 415
