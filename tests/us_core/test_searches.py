"""Every search that US Core asks for or recommends, asked as the conformance kits ask (us_core.md §1, §5–§9)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.us_core.conftest import Kit
from tests.us_core.groups import GROUPS, Group
from tests.us_core.parameters import COMPARATORS, PARAMETERS, UNCOMPARED, bounds, shifted, values

MARA = "us-core-mara"


def distinct_searches() -> list[Any]:
    """Return each combination of each group once, whichever versions ask for it."""
    seen: dict[Any, Any] = {}
    for group in GROUPS:
        for combination in group.combinations:
            key = (group.type, group.profile, group.codes, combination)
            seen.setdefault(key, pytest.param(group, combination, id=f"{group.profile}-{'+'.join(combination)}"))
    return list(seen.values())


every_search = pytest.mark.parametrize(("group", "combination"), distinct_searches())
compared = pytest.mark.parametrize(
    ("group", "combination"),
    [
        case
        for case in distinct_searches()
        if any(PARAMETERS[case.values[0].type][name][0] == "date" and name not in UNCOMPARED for name in case.values[1])
    ],
)
of_patients = pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, id=group.name)
        for group in GROUPS
        if any("patient" in combination for combination in group.combinations)
    ],
)


def drawn(kit: Kit, group: Group, combination: tuple[str, ...]) -> list[tuple[dict[str, Any], dict[str, list[str]]]]:
    """Return resources of the group with what they can be searched by; fails where the data has none."""
    pairs = [(resource, {name: values(resource, name) for name in combination}) for resource in kit.of(group)]
    found = [pair for pair in pairs if all(pair[1].values())]
    assert found, "no resource has a value for every parameter"
    return found


def ids(resources: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{resource['resourceType']}/{resource['id']}" for resource in resources)


@every_search
def test_uscore_G1_a_search_finds_the_same_by_get_and_by_post(kit: Kit, group: Group, combination: tuple[str, ...]):
    for resource, known in drawn(kit, group, combination)[:3]:
        asked = {name: texts[0].removeprefix("Patient/") for name, texts in known.items()}
        found = kit.matches(group.type, asked)
        assert resource["id"] in {each["id"] for each in found}
        assert {each["resourceType"] for each in found} == {group.type}
        assert ids(kit.matches(group.type, asked, "POST")) == ids(found)


@of_patients
def test_uscore_G2_a_patient_is_named_in_three_ways(kit: Kit, group: Group):
    combination = next(each for each in group.combinations if "patient" in each)
    resource, known = drawn(kit, group, combination)[0]
    patient = known["patient"][0].removeprefix("Patient/")
    asked = {name: texts[0] for name, texts in known.items()}
    spellings = (patient, f"Patient/{patient}", f"{kit.client.base_url}Patient/{patient}")
    found = [ids(kit.matches(group.type, asked | {"patient": each})) for each in spellings]
    assert f"{group.type}/{resource['id']}" in found[0]
    assert found[0] == found[1] == found[2]


@every_search
def test_uscore_G3_a_token_is_found_with_its_system_and_without(kit: Kit, group: Group, combination: tuple[str, ...]):
    resource, known = drawn(kit, group, combination)[0]
    for name, texts in known.items():
        for text in texts:
            asked = {other: first[0] for other, first in known.items()} | {name: text}
            assert resource["id"] in {each["id"] for each in kit.matches(group.type, asked)}, asked


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("Patient", {"gender": "FEMALE"}),
        ("Observation", {"patient": MARA, "category": "Laboratory"}),
        ("Condition", {"patient": MARA, "clinical-status": "ACTIVE"}),
        ("CarePlan", {"patient": MARA, "category": "Assess-Plan"}),
    ],
)
def test_uscore_G4_codes_compare_without_case(kit: Kit, path: str, asked: dict[str, str]):
    lower = {name: value if name == "patient" else value.lower() for name, value in asked.items()}
    assert ids(kit.matches(path, asked)) == ids(kit.matches(path, lower)) != []


@compared
def test_uscore_G5_dates_compare_in_seconds_with_an_offset(kit: Kit, group: Group, combination: tuple[str, ...]):
    dates = [name for name in combination if PARAMETERS[group.type][name][0] == "date"]
    for resource, known in drawn(kit, group, combination)[:3]:
        asked = {name: texts[0] for name, texts in known.items()}
        for name in dates:
            start, end = bounds(resource, name)
            for comparator in COMPARATORS:
                near, far = (
                    (shifted(start, -1), end) if comparator.startswith("g") else (shifted(end or start, 2), start)
                )
                for method in ("GET", "POST"):
                    found = kit.matches(group.type, asked | {name: comparator + near}, method)
                    assert resource["id"] in {each["id"] for each in found}
                if far is not None:
                    outside = comparator + shifted(far, 33 if comparator.startswith("g") else -1)
                    found = kit.matches(group.type, asked | {name: outside})
                    assert resource["id"] not in {each["id"] for each in found}


def test_uscore_G6_a_day_is_found_by_the_day_before_and_by_itself(kit: Kit):
    asked = {"patient": MARA, "category": "laboratory"}
    for date in ("2026-04-19", "gt2026-04-18", "ge2026-04-19", "lt2026-04-20", "le2026-04-19"):
        assert "us-core-urine-color" in {each["id"] for each in kit.matches("Observation", asked | {"date": date})}


@pytest.mark.parametrize("group", [pytest.param(each, id=each.name) for each in GROUPS if each.version == "7.0.0"])
def test_uscore_G7_the_instant_that_was_shown_finds_the_resource(kit: Kit, group: Group):
    for resource in kit.of(group)[:2]:
        found = kit.matches(group.type, {"_lastUpdated": resource["meta"]["lastUpdated"]})
        assert resource["id"] in {each["id"] for each in found}


@pytest.mark.parametrize(
    ("resource_type", "name", "codes"),
    [
        ("MedicationRequest", "status", "active,on-hold,cancelled,completed,entered-in-error,stopped,draft,unknown"),
        ("CarePlan", "status", "draft,active,on-hold,revoked,completed,entered-in-error,unknown"),
        (
            "Observation",
            "status",
            "registered,preliminary,final,amended,corrected,cancelled,entered-in-error,unknown",
        ),
        ("Encounter", "status", "planned,arrived,triaged,in-progress,onleave,finished,cancelled,entered-in-error"),
        ("Condition", "clinical-status", "active,recurrence,relapse,inactive,remission,resolved"),
        ("Goal", "lifecycle-status", "proposed,planned,accepted,active,on-hold,completed,cancelled,entered-in-error"),
    ],
)
def test_uscore_G8_all_codes_in_one_request_find_every_status(kit: Kit, resource_type: str, name: str, codes: str):
    """entered-in-error is among what is found (G18): no search hides anything."""
    of_mara = [
        resource
        for resource in kit.resources.values()
        if resource["resourceType"] == resource_type
        and values(resource, "patient") == [f"Patient/{MARA}"]
        and values(resource, name)
    ]
    found = kit.matches(resource_type, {"patient": MARA, name: codes})
    assert ids(found) == ids(of_mara)
    assert len({text for resource in found for text in values(resource, name)}) > 1


def test_uscore_G8_all_intents_in_one_request(kit: Kit):
    codes = "proposal,plan,order,original-order,reflex-order,filler-order,instance-order,option"
    found = kit.matches("MedicationRequest", {"patient": MARA, "intent": codes})
    assert {resource["intent"] for resource in found} == {"proposal", "plan", "order"}
    assert len(found) == 8


def test_uscore_G8_several_codes_of_observations_in_one_request(kit: Kit):
    codes = ("8302-2", "http://loinc.org|29463-7", "http://loinc.org|85354-9")
    found = kit.matches("Observation", {"patient": MARA, "code": ",".join(codes)})
    apart = [kit.matches("Observation", {"patient": MARA, "code": code}) for code in codes]
    assert all(apart)
    assert ids(found) == sorted(each for some in apart for each in ids(some))


def test_uscore_G9_a_search_without_status_is_answered(kit: Kit):
    found = kit.matches("MedicationRequest", {"patient": MARA, "intent": "order"})
    assert {each["status"] for each in found} == {"active", "stopped", "completed", "on-hold", "entered-in-error"}


@pytest.mark.parametrize(
    ("path", "asked", "found"),
    [
        ("Patient", {"name": "lindq"}, {MARA, "us-core-elio"}),
        ("Patient", {"name": "CASTELLANO"}, {MARA}),
        ("Patient", {"name": "Inés"}, {MARA}),
        ("Patient", {"name": "ines"}, {MARA}),
        ("Patient", {"name": "phd"}, {MARA}),
        ("Patient", {"name": "ndqvist"}, set()),
        ("Patient", {"family": "ó ceall"}, {"us-core-ruth"}),
        ("Patient", {"family": "o ceall"}, {"us-core-ruth"}),
        ("Practitioner", {"name": "achter"}, {"us-core-doctor"}),
        ("Location", {"address": "ferry\\, lane"}, set()),
        ("Location", {"address": "12 Ferry"}, {"us-core-rooms"}),
        ("Location", {"address": "salt"}, {"us-core-rooms"}),
        ("Location", {"address-state": "me"}, {"us-core-rooms"}),
        ("Organization", {"address": "04999", "name": "lighthouse"}, {"us-core-pharmacy"}),
    ],
)
def test_uscore_G10_words_match_from_their_start_without_case(kit: Kit, path: str, asked: Any, found: set[str]):
    assert {each["id"] for each in kit.matches(path, asked)} == found


def test_uscore_G10_a_comma_in_a_value_arrives_escaped(kit: Kit):
    made = kit.client.post("Organization", json={"resourceType": "Organization", "active": True, "name": "Reed, Rush"})
    found = kit.matches("Organization", {"name": "reed\\, rush"})
    assert [each["id"] for each in found] == [made.json()["id"]]


@pytest.mark.parametrize("count", [None, "5", "1000"])
def test_uscore_G11_twenty_pages_hold_all_that_a_patient_has(kit: Kit, count: str | None):
    of_mara = [each for each in kit.resources.values() if each.get("subject") == {"reference": f"Patient/{MARA}"}]
    expected = [each for each in of_mara if each["resourceType"] == "Observation"]
    found = kit.matches("Observation", {"patient": MARA} | ({} if count is None else {"_count": count}))
    assert ids(found) == ids(expected)


def test_uscore_G11_a_page_holds_fifty_where_nobody_says_how_many(kit: Kit):
    answer = kit.ask("Observation", {})
    assert len(answer.json()["entry"]) >= 50


def test_uscore_G15_the_medication_of_a_request_comes_with_it(kit: Kit):
    entries = kit.search(
        "MedicationRequest", {"patient": MARA, "intent": "order", "_include": "MedicationRequest:medication"}
    )
    included = [entry["resource"] for entry in entries if entry["search"]["mode"] == "include"]
    assert ids(included) == ["Medication/us-core-metformin"]


def test_uscore_G15_no_medication_comes_that_no_request_refers_to(kit: Kit):
    entries = kit.search(
        "MedicationRequest", {"patient": MARA, "intent": "plan", "_include": "MedicationRequest:medication"}
    )
    assert {entry["search"]["mode"] for entry in entries} == {"match"}


@pytest.mark.parametrize("include", sorted({include for group in GROUPS for include in group.include}))
def test_uscore_G15_every_include_brings_what_is_referred_to(kit: Kit, include: str):
    resource_type, name, *target = include.split(":")
    entries = kit.search(resource_type, {"_include": include})
    included = {entry["resource"]["resourceType"] for entry in entries if entry["search"]["mode"] == "include"}
    expected = {"medication": {"Medication"}, "endpoint": {"Endpoint"}, "practitioner": {"Practitioner"}}
    assert included == (set(target) or expected[name])


@pytest.mark.parametrize(
    ("chain", "value"),
    [("practitioner.identifier", "http://hl7.org/fhir/sid/us-npi|"), ("practitioner.name", "Achter")],
)
def test_uscore_the_role_of_a_practitioner_is_found_by_a_chain(kit: Kit, chain: str, value: str):
    found = kit.matches("PractitionerRole", {chain: value})
    assert [each["id"] for each in found] == ["us-core-doctor-role"]


def test_uscore_G18_what_was_entered_in_error_is_found_when_asked_for(kit: Kit):
    for resource_type, found in (("Observation", "us-core-weight-mistaken"), ("CarePlan", "us-core-plan-mistaken")):
        asked = {"patient": MARA, "status": "entered-in-error"}
        assert [each["id"] for each in kit.matches(resource_type, asked)] == [found]


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "sdoh"),
        ("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "functional-status"),
        ("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "disability-status"),
        ("http://hl7.org/fhir/us/core/CodeSystem/us-core-category", "cognitive-status"),
        ("http://terminology.hl7.org/CodeSystem/observation-category", "activity"),
        ("http://terminology.hl7.org/CodeSystem/observation-category", "social-history"),
    ],
)
def test_uscore_11_screening_has_observations_of_every_category(kit: Kit, system: str, code: str):
    assert kit.matches("Observation", {"patient": MARA, "category": f"{system}|{code}"})


def test_uscore_11_screening_has_a_condition(kit: Kit):
    category = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh"
    found = kit.matches("Condition", {"patient": MARA, "category": category})
    assert [each["id"] for each in found] == ["us-core-food-insecurity"]


def test_uscore_G19_a_status_that_no_table_knows_is_answered_with_a_warning(kit: Kit):
    entries = kit.search("Observation", {"patient": MARA, "status": "no-such-status"})
    assert [entry["search"]["mode"] for entry in entries] == ["outcome"]
    assert entries[0]["resource"]["issue"][0]["severity"] == "warning"
