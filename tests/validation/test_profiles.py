"""Profiles: what follows them passes, and each kind of rule finds what breaks it (us_core §2; fhir_rest C6, §18)."""

from __future__ import annotations

import copy
import gzip
import json
from decimal import Decimal
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from capability.profiles import PROFILES, ElementRule, find_profile, must_support, profiles_of, versions_of
from capability.value_sets import find_value_set
from fhir_server.fhir.json_body import encode_json, parse_json
from fhir_server.validation.fhirpath import NotEvaluated, holds
from fhir_server.validation.profiles import extension_issues, profile_issues
from fhir_server.validation.slicing import steps
from fhir_server.validation.validate import BIG_CLAIMS, claimed_issues, resource_issues, takes_long
from tests.validation.profile_samples import (
    LOINC,
    PATIENT,
    SNOMED,
    TERMINOLOGY,
    US_CATEGORY,
    US_CORE,
    concept,
    of_us_core,
    quantity,
    sample,
    versioned,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
DEFINITIONS = SHARED / "definitions"
PACKAGES = {
    "7.0.0": "us-core-7.0.0/structuredefinitions.ndjson.gz",
    "6.1.0": "us-core-6.1.0/structuredefinitions.ndjson.gz",
    "4.0.1": "r4/structure-definitions.ndjson.gz",
}
needs_definitions = pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="the published definitions are not at hand")
OF_RESOURCES = [each for each in versioned() if each.type != "Extension"]
NAMES = [each.canonical.rpartition("/")[2] for each in OF_RESOURCES]


def rules(rule: ElementRule):
    """Yield a rule and all inside it."""
    yield rule
    for each in (*rule.slices, *rule.children):
        yield from rules(each)


def faults(resource, profile, severity="error"):
    """Return code and place of what a resource does not follow; it is R4 all the same."""
    assert [each for each in resource_issues(resource) if not each.breaks_rule] == []
    return {(each.code, each.expression) for each in profile_issues(resource, profile) if each.severity == severity}


def changed(name, version="7.0.0", /, **elements):
    """Return the sample of a profile with other elements; None takes one away."""
    resource = sample(of_us_core(name, version)) | elements
    return {key: value for key, value in resource.items() if value is not None}


def published(version):
    with gzip.open(DEFINITIONS / PACKAGES[version], "rt", encoding="utf-8") as lines:
        return [each for each in map(json.loads, lines) if each.get("derivation") == "constraint"]


# --- the data ---------------------------------------------------------------------------------------------------------


@needs_definitions
@pytest.mark.parametrize("version", PACKAGES)
def test_uscore_every_published_profile_and_extension_is_at_hand(version):
    for structure in published(version):
        profile = PROFILES[f"{structure['url']}|{version}"]
        assert (profile.type, profile.version) == (structure["type"], version)
        assert version in versions_of(structure["url"])


@needs_definitions
@pytest.mark.parametrize("version", PACKAGES)
def test_uscore_M1_must_support_elements_are_those_of_the_snapshots(version):
    for structure in published(version):
        marked = {each["id"] for each in structure["snapshot"]["element"] if each.get("mustSupport")}
        assert {each.path for each in must_support(PROFILES[f"{structure['url']}|{version}"])} == marked


def test_uscore_a_url_without_version_means_the_newest():
    assert PROFILES[f"{US_CORE}us-core-patient"].version == "7.0.0"
    assert versions_of(f"{US_CORE}us-core-patient") == ("7.0.0", "6.1.0")
    assert find_profile(f"{US_CORE}us-core-patient|6.1.0").version == "6.1.0"
    assert find_profile(f"{US_CORE}us-core-race", of_us_core("us-core-patient", "6.1.0")).version == "6.1.0"
    assert find_profile(f"{US_CORE}us-core-patient|3.1.1") is None
    assert find_profile("http://example.org/nobody") is None


def test_uscore_profiles_are_listed_by_type():
    assert profiles_of("Patient") == (f"{US_CORE}us-core-patient",)
    assert "http://hl7.org/fhir/StructureDefinition/bp" in profiles_of("Observation")
    assert profiles_of("Account") == ()


def test_uscore_value_sets_are_expanded_where_their_codes_are_at_hand():
    temperatures = find_value_set("http://hl7.org/fhir/ValueSet/ucum-bodytemp")
    assert temperatures.codes == {"http://unitsofmeasure.org": {"Cel", "[degF]"}}
    assert not temperatures.whole
    assert not temperatures.open
    races = find_value_set("http://hl7.org/fhir/us/core/ValueSet/omb-race-category", "6.1.0")
    assert races.codes[f"{TERMINOLOGY}v3-NullFlavor"] == {"ASKU", "UNK"}
    assert find_value_set("http://hl7.org/fhir/ValueSet/observation-codes").whole == {LOINC}
    assert find_value_set("http://hl7.org/fhir/us/core/ValueSet/us-core-condition-code").open  # a part of SNOMED CT
    assert find_value_set("http://example.org/nobody") is None
    assert find_value_set("http://hl7.org/fhir/ValueSet/observation-codes").has(LOINC, "8302-2") is True
    conditions = find_value_set("http://hl7.org/fhir/us/core/ValueSet/us-core-condition-code")
    assert [conditions.has(SNOMED, "1"), conditions.has("urn:x", "1")] == [None, False]


def test_uscore_every_discriminator_can_be_followed():
    for profile in versioned():
        for rule in rules(profile.root):
            for discriminator in rule.discriminators:
                assert discriminator.kind in {"value", "pattern", "type", "exists", "profile"}
                assert steps(discriminator.path)


def test_a_path_that_no_discriminator_has_is_refused():
    with pytest.raises(ValueError, match="where"):
        steps("where(x = 1)")


# --- what follows its profile -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", OF_RESOURCES, ids=NAMES)
def test_uscore_a_resource_that_follows_its_profile_has_no_fault(profile):
    resource = sample(profile)
    before = encode_json(resource)
    assert resource_issues(resource) == []
    assert faults(resource, profile) == set()
    assert encode_json(resource) == before


@pytest.mark.parametrize("profile", OF_RESOURCES, ids=NAMES)
def test_uscore_another_library_takes_the_samples_for_valid_too(profile):
    resource = sample(profile)
    get_fhir_model_class(resource["resourceType"]).model_validate_json(encode_json(resource))


@pytest.mark.parametrize("profile", OF_RESOURCES, ids=NAMES)
def test_uscore_only_required_value_sets_that_are_not_at_hand_stay_unchecked(profile):
    assert faults(sample(profile), profile, "information") <= {("informational", "DocumentReference.type")}


@needs_definitions
@pytest.mark.parametrize("version", PACKAGES)
def test_uscore_each_mandatory_element_of_the_snapshots_is_missed(version):
    """A second reading, straight from the snapshots: top-level elements with a minimum above R4's."""
    seen = 0
    for structure in published(version):
        profile = PROFILES[f"{structure['url']}|{version}"]
        if profile.type == "Extension":
            continue
        for element in structure["snapshot"]["element"]:
            name = element["id"].removeprefix(f"{profile.type}.")
            if "." in name or ":" in name or element["min"] <= element["base"]["min"]:
                continue
            bare = name.removesuffix("[x]")
            resource = sample(profile)
            for key in [key for key in resource if key == bare or (name != bare and key.startswith(bare))]:
                del resource[key]
            assert ("required", f"{profile.type}.{bare}") in faults(resource, profile), (profile, name)
            seen += 1
    assert seen > 30


@needs_definitions
@pytest.mark.parametrize("version", PACKAGES)
def test_uscore_each_pattern_and_fixed_code_of_the_snapshots_is_demanded(version):
    """A second reading: patterns of elements that are no slices."""
    seen = 0
    for structure in published(version):
        profile = PROFILES[f"{structure['url']}|{version}"]
        for element in structure["snapshot"]["element"]:
            if profile.type == "Extension" or ":" in element["id"] or "patternCodeableConcept" not in element:
                continue
            resource = sample(profile)
            name = element["id"].removeprefix(f"{profile.type}.")
            assert set(resource[name]["coding"][0]) >= set(element["patternCodeableConcept"]["coding"][0])
            resource[name] = concept("urn:x", "x")
            assert ("value", f"{profile.type}.{name}") in faults(resource, profile)
            seen += 1
    assert seen > 10 or version == "4.0.1"  # R4 says it by fixed values of slices


# --- one that fails for each kind of rule -----------------------------------------------------------------------------

RACE = f"{US_CORE}us-core-race"
OMB = "urn:oid:2.16.840.1.113883.6.238"


def race(*parts):
    return [{"url": RACE, "extension": list(parts)}]


def omb(code, system=OMB):
    return {"url": "ombCategory", "valueCoding": {"system": system, "code": code}}


TEXT = {"url": "text", "valueString": "x"}
SURVEY, SDOH = concept(f"{TERMINOLOGY}observation-category", "survey"), concept(US_CATEGORY, "sdoh")
SPO2 = concept(LOINC, "59408-5", "2708-6")
FLOW = {"code": concept(LOINC, "3151-8"), "valueQuantity": quantity("L/min")}
NPI = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}

BROKEN = {
    "a mandatory element": ("us-core-patient", {"gender": None}, ("required", "Patient.gender")),
    "a mandatory element inside": (
        "us-core-patient",
        {"identifier": [{"system": "urn:x", "value": "1"}, {"value": "2"}]},
        ("required", "Patient.identifier[1].system"),
    ),
    "an element inside one that is not there": (
        "us-core-patient",
        {"telecom": [{"use": "home"}]},
        ("required", "Patient.telecom[0].system"),
    ),
    "an element that may not be": (
        "us-core-average-blood-pressure",
        {"valueString": "x"},
        ("structure", "Observation.value"),
    ),
    "more than there may be": (
        "us-core-coverage",
        {"payor": [{"reference": "Patient/p"}, {"reference": "Patient/p"}]},
        ("structure", "Coverage.payor"),
    ),
    "a mandatory slice by pattern": (
        "us-core-careplan",
        {"category": [concept("urn:x", "assess-plan")]},
        ("required", "CarePlan.category"),
    ),
    "a slice by pattern twice": (
        "us-core-observation-screening-assessment",
        {"category": [SURVEY, SURVEY, SDOH]},
        ("structure", "Observation.category"),
    ),
    "a mandatory slice by values inside": (
        "us-core-body-weight",
        {"category": [concept(f"{TERMINOLOGY}observation-category", "survey")]},
        ("required", "Observation.category"),
    ),
    "a mandatory slice by value set": (
        "us-core-condition-problems-health-concerns",
        {"category": [concept(f"{TERMINOLOGY}condition-category", "encounter-diagnosis")]},
        ("required", "Condition.category"),
    ),
    "a slice inside an element": (
        "us-core-pulse-oximetry",
        {"code": concept(LOINC, "59408-5", "59408-5")},
        ("required", "Observation.code.coding"),
    ),
    "an element of a slice": (
        "us-core-pulse-oximetry",
        {"component": [FLOW | {"valueQuantity": quantity("mL/min")}]},
        ("value", "Observation.component[0].value.code"),
    ),
    "an element of a slice by type": (
        "us-core-body-weight",
        {"valueQuantity": {"value": 1, "unit": "stone"}},
        ("required", "Observation.value.code"),
    ),
    "the type of a choice": (
        "us-core-observation-occupation",
        {"valueCodeableConcept": None, "valueString": "x"},
        ("structure", "Observation.value"),
    ),
    "the target of a reference": (
        "us-core-heart-rate",
        {"subject": {"reference": "Group/g"}},
        ("value", "Observation.subject.reference"),
    ),
    "a pattern": ("us-core-bmi", {"code": concept(LOINC, "1")}, ("value", "Observation.code")),
    "a fixed value": (
        "us-core-bmi",
        {"valueQuantity": quantity("kg/cm2")},
        ("value", "Observation.value.code"),
    ),
    "a required value set of a code": (
        "us-core-smokingstatus",
        {"status": "preliminary"},
        ("code-invalid", "Observation.status"),
    ),
    "a required value set of a unit": (
        "us-core-body-temperature",
        {"valueQuantity": quantity("K")},
        ("code-invalid", "Observation.value.code"),
    ),
    "a required value set in an extension": (
        "us-core-patient",
        {"extension": race(omb("0"), TEXT)},
        ("code-invalid", "Patient.extension[0].extension[0].value"),
    ),
    "a mandatory part of an extension": (
        "us-core-patient",
        {"extension": race(omb("2106-3"))},
        ("required", "Patient.extension[0].extension"),
    ),
    "an extension twice": (
        "us-core-patient",
        {"extension": [*race(omb("2106-3"), TEXT), *race(omb("2028-9"), TEXT)]},
        ("structure", "Patient.extension"),
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_fhir_C6_what_breaks_a_rule_of_a_profile_is_found(kind):
    name, elements, fault = BROKEN[kind]
    assert fault in faults(changed(name, **elements), of_us_core(name)), kind


@pytest.mark.parametrize("nothing", ["", [], {}, None])
def test_uscore_M2_what_is_missing_is_left_out_never_empty(nothing):
    found = resource_issues(sample(of_us_core("us-core-patient")) | {"telecom": nothing})
    assert {each.expression for each in found} >= {"Patient.telecom"}
    assert not all(each.breaks_rule for each in found)


@pytest.mark.parametrize(
    "value", [{"valueQuantity": quantity("mg")}, {"valueCodeableConcept": concept(SNOMED, "1")}, {"valueString": "x"}]
)
def test_uscore_M10_a_laboratory_result_may_be_of_each_supported_type(value):
    profile = of_us_core("us-core-observation-lab")
    assert faults(changed("us-core-observation-lab", valueQuantity=None) | value, profile) == set()
    (supported,) = [each for each in must_support(profile) if each.path == "Observation.value[x]"]
    assert supported.types == ("Quantity", "CodeableConcept", "string")


@pytest.mark.parametrize(
    "medication",
    [
        {"medicationCodeableConcept": {"text": "x"}},
        {"medicationReference": {"reference": "Medication/m"}},
        {
            "medicationReference": {"reference": "#m"},
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "x"}}],
        },
    ],
)
def test_uscore_M12_a_medication_is_a_code_a_reference_or_contained(medication):
    resource = changed("us-core-medicationrequest", medicationCodeableConcept=None) | medication
    assert faults(resource, of_us_core("us-core-medicationrequest")) == set()


def test_uscore_M3_an_extension_for_missing_data_stands_for_a_mandatory_element():
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
    }
    patient = of_us_core("us-core-patient")
    identifier = [{"system": "urn:x", "_value": absent}]
    assert faults(changed("us-core-patient", name=[absent], identifier=identifier), patient) == set()
    assert faults(changed("us-core-patient", gender=None, _gender=absent), patient) == set()


def test_uscore_M4_any_code_satisfies_an_extensible_value_set():
    resource = changed("us-core-encounter", type=[{"text": "x"}])
    assert faults(resource, of_us_core("us-core-encounter")) == set()
    resource = changed("us-core-encounter", type=[concept("urn:x", "x")])
    assert faults(resource, of_us_core("us-core-encounter")) == set()
    assert ("code-invalid", "Encounter.type[0]") in faults(resource, of_us_core("us-core-encounter"), "warning")


def test_uscore_M5_a_required_value_set_has_no_code_for_what_is_missing():
    resource = changed("us-core-smokingstatus", status="unknown")
    assert ("code-invalid", "Observation.status") in faults(resource, of_us_core("us-core-smokingstatus"))


def test_uscore_M7_a_patient_has_a_name_or_the_reason_why_not_never_both():
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    profile, broken = of_us_core("us-core-patient"), ("invariant", "Patient.name[0]")
    assert broken in faults(changed("us-core-patient", name=[{"use": "usual"}]), profile)
    assert broken in faults(changed("us-core-patient", name=[{"given": ["x"], "extension": [reason]}]), profile)
    assert broken not in faults(changed("us-core-patient", name=[{"extension": [reason]}]), profile)


def test_uscore_M8_an_observation_has_a_value_or_says_why_not():
    profile, broken = of_us_core("us-core-observation-lab"), ("invariant", "Observation")
    assert broken in faults(changed("us-core-observation-lab", valueQuantity=None), profile)
    why = concept(f"{TERMINOLOGY}data-absent-reason", "unknown")
    assert faults(changed("us-core-observation-lab", valueQuantity=None, dataAbsentReason=why), profile) == set()


def test_uscore_M9_a_vital_sign_has_the_fixed_unit():
    for missing, place in (("unit", "unit"), ("system", "system"), ("code", "code")):
        value = {key: each for key, each in quantity("/min").items() if key != missing}
        found = faults(changed("us-core-heart-rate", valueQuantity=value), of_us_core("us-core-heart-rate"))
        assert ("required", f"Observation.value.{place}") in found


def test_uscore_M13_a_care_plan_has_its_narrative():
    profile = of_us_core("us-core-careplan")
    assert {"CarePlan.text", "CarePlan.text.status", "CarePlan.text.div"} <= {
        each.path for each in must_support(profile)
    }
    empty = {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    assert ("code-invalid", "CarePlan.text.status") in faults(changed("us-core-careplan", text=empty), profile)


def test_uscore_a_contained_resource_is_a_target_of_its_type():
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True}
    resource = changed("us-core-heart-rate", contained=[group], subject={"reference": "#g"})
    assert ("value", "Observation.subject.reference") in faults(resource, of_us_core("us-core-heart-rate"))


def test_uscore_closed_slices_leave_no_room_for_others():
    profile = PROFILES["http://hl7.org/fhir/StructureDefinition/bmi"]
    resource = sample(profile) | {"valueInteger": 22}
    del resource["valueQuantity"]
    assert ("structure", "Observation.value") in faults(resource, profile)


def test_uscore_a_known_extension_is_checked_wherever_it_stands():
    birthsex = {"url": f"{US_CORE}us-core-birthsex", "valueString": "F"}
    resource = {"resourceType": "RelatedPerson", "patient": PATIENT, "name": [{"extension": [birthsex]}]}
    assert {each.expression for each in extension_issues(resource)} == {"RelatedPerson.name[0].extension[0].value"}
    nested = {"resourceType": "Patient", "_gender": {"extension": [birthsex]}}
    assert {each.expression for each in extension_issues(nested)} == {"Patient.gender.extension[0].value"}
    assert extension_issues({"resourceType": "Patient", "extension": [{"url": "urn:x", "valueString": "F"}]}) == []


def test_uscore_a_profile_of_another_type_is_not_followed():
    assert faults(sample(of_us_core("us-core-goal")), of_us_core("us-core-patient")) == {("structure", "Goal")}


def test_uscore_without_warnings_errors_are_all_there_is():
    resource = changed("us-core-encounter", type=[concept("urn:x", "x")], subject=None)
    found = profile_issues(resource, of_us_core("us-core-encounter"), thorough=False)
    assert [(each.severity, each.expression) for each in found] == [("error", "Encounter.subject")]


def test_uscore_no_diagnostics_hold_a_value_of_the_resource():
    resource = changed("us-core-bmi", status="final", code=concept(LOINC, "secret"), note=[{"text": "secret"}])
    resource["valueQuantity"]["code"] = "secret"
    found = profile_issues(resource, of_us_core("us-core-bmi"))
    assert found
    assert not any("secret" in each.diagnostics for each in found)


# --- constraints ------------------------------------------------------------------------------------------------------

NAME = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
ANSWERED = {"linkId": "2", "answer": [{"valueString": "x"}]}
CVX, NDC = concept("http://hl7.org/fhir/sid/cvx", "207"), concept("http://hl7.org/fhir/sid/ndc", "1")

CONSTRAINTS = {
    "con-3": ("us-core-condition-problems-health-concerns", {"clinicalStatus": None}, "Condition"),
    "dom-6": ("us-core-goal", {}, "Goal"),
    "pd-1": ("us-core-practitionerrole", {"telecom": None}, "PractitionerRole"),
    "provenance-1": (
        "us-core-provenance",
        {"agent": [{"type": {"text": "x"}, "who": {"reference": "Practitioner/d"}}]},
        "Provenance.agent[0]",
    ),
    "sdcqr-1": ("us-core-questionnaireresponse", {"subject": None}, "QuestionnaireResponse"),
    "sdcqr-2": (
        "us-core-questionnaireresponse",
        {"item": [{"linkId": "1", "item": [ANSWERED, ANSWERED]}]},
        "QuestionnaireResponse",
    ),
    "us-core-1": ("us-core-observation-lab", {"effectiveDateTime": "2024-02"}, "Observation.effective"),
    "us-core-2": ("us-core-observation-lab", {"valueQuantity": None}, "Observation"),
    "us-core-3": (
        "us-core-observation-lab",
        {"valueQuantity": quantity("mg") | {"system": "urn:x"}},
        "Observation.value",
    ),
    "us-core-4": (
        "us-core-observation-lab",
        {"valueQuantity": None, "valueCodeableConcept": concept("urn:x", "x")},
        "Observation.value",
    ),
    "us-core-5": ("us-core-immunization", {"vaccineCode": CVX}, "Immunization"),
    "us-core-6": ("us-core-patient", {"name": [{"use": "usual"}]}, "Patient.name[0]"),
    "us-core-7": ("us-core-procedure", {"performedDateTime": None}, "Procedure"),
    "us-core-8": ("us-core-diagnosticreport-lab", {"effectiveDateTime": None}, "DiagnosticReport"),
    "us-core-9": ("us-core-diagnosticreport-lab", {"issued": None}, "DiagnosticReport"),
    "us-core-10": ("us-core-diagnosticreport-note", {"effectiveDateTime": None}, "DiagnosticReport"),
    "us-core-13": ("us-core-practitionerrole", {"practitioner": None}, "PractitionerRole"),
    "us-core-14": ("us-core-relatedperson", {"name": None}, "RelatedPerson"),
    "us-core-15": ("us-core-coverage", {"identifier": None}, "Coverage"),
    "us-core-16": (
        "us-core-practitioner",
        {"identifier": [NPI | {"value": "123456789"}]},
        "Practitioner.identifier[0]",
    ),
    "us-core-17": (
        "us-core-practitioner",
        {"identifier": [NPI | {"value": "1234567890"}]},
        "Practitioner.identifier[0]",
    ),
    "us-core-18": (
        "us-core-organization",
        {"identifier": [{"system": "urn:oid:2.16.840.1.113883.4.7", "value": "1"}]},
        "Organization.identifier[0]",
    ),
    "us-core-19": (
        "us-core-organization",
        {"identifier": [{"system": "urn:oid:2.16.840.1.113883.6.300", "value": "1"}]},
        "Organization.identifier[0]",
    ),
    "us-core-20": ("us-core-medicationdispense", {"whenHandedOver": None}, "MedicationDispense"),
    "us-core-21": ("us-core-medicationrequest", {"requester": None}, "MedicationRequest"),
    "us-core-22": (
        "us-core-observation-lab",
        {"referenceRange": [{"low": quantity("mg") | {"system": "urn:x"}}]},
        "Observation.referenceRange[0]",
    ),
    "us-core-23": (
        "us-core-patient",
        {"extension": race(omb("UNK", f"{TERMINOLOGY}v3-NullFlavor"), omb("2106-3"), TEXT)},
        "Patient.extension[0]",
    ),
    "us-core-24": (
        "us-core-smokingstatus",
        {"valueCodeableConcept": None, "valueQuantity": quantity("{pack}")},
        "Observation",
    ),
    "us-core-25": ("us-core-smokingstatus", {"code": concept(SNOMED, "401201003")}, "Observation"),
    "us-core-26": (
        "us-core-average-blood-pressure",
        {"component": [{"code": concept(LOINC, code)} for code in ("96608-5", "96609-3")]},
        "Observation.component[1]",
    ),
    "vs-1": ("us-core-heart-rate", {"effectiveDateTime": "2024"}, "Observation.effective"),
    "vs-2": ("us-core-heart-rate", {"valueQuantity": None}, "Observation"),
    "vs-3": ("us-core-pulse-oximetry", {"component": [{"code": {"text": "x"}}]}, "Observation.component[0]"),
}
"""Each constraint beyond R4's own: a sample that breaks it, and where."""


def test_uscore_every_constraint_has_its_case_here():
    keys = {each.key for profile in versioned() for rule in rules(profile.root) for each in rule.constraints}
    assert keys == set(CONSTRAINTS)


@pytest.mark.parametrize("key", CONSTRAINTS)
def test_uscore_a_broken_constraint_is_found_in_each_version_that_has_it(key):
    name, elements, place = CONSTRAINTS[key]
    found = {}
    for version in versions_of(f"{US_CORE}{name}"):
        profile = of_us_core(name, version)
        if any(each.key == key for rule in rules(profile.root) for each in rule.constraints):
            resource = changed(name, version, **elements)
            if (key, version) == ("us-core-5", "6.1.0"):
                resource["vaccineCode"] = NDC  # its sense was turned round
            told = profile_issues(resource, profile)
            found[version] = {each.expression for each in told if each.diagnostics.startswith(f"{key}:")}
    assert found
    assert all(place in each for each in found.values()), found


@pytest.mark.parametrize("profile", OF_RESOURCES, ids=NAMES)
def test_uscore_constraints_are_evaluated_and_hold_for_what_follows_the_profile(profile):
    told = [each.diagnostics for each in profile_issues(sample(profile), profile)]
    assert not [each for each in told if "could not be evaluated" in each]
    assert {each.partition(":")[0] for each in told if ": " in each and "(" in each} & set(CONSTRAINTS) <= {
        "dom-6",
        "us-core-5",
    }


def test_uscore_a_constraint_that_the_library_cannot_evaluate_is_told_apart_from_a_broken_one():
    with pytest.raises(NotEvaluated):
        holds("nosuch()", {"a": 1}, "HumanName", {})
    assert holds("missing", {"resourceType": "Patient"}, "Patient", {})


def test_uscore_decimals_are_evaluated_as_they_are():
    value = parse_json(b'{"resourceType":"Observation","valueQuantity":{"value":1.10}}')
    assert holds("value.value = 1.1", value, "Observation", value)
    assert not holds("value.value > 1.1", value, "Observation", value)
    assert value["valueQuantity"]["value"] == Decimal("1.10")


def test_uscore_a_resource_too_large_for_constraints_is_refused_in_good_time():
    items = [{"linkId": str(number), "answer": [{"valueString": "x"}]} for number in range(10_000)]
    found = faults(changed("us-core-questionnaireresponse", item=items), of_us_core("us-core-questionnaireresponse"))
    assert found == {("too-costly", "QuestionnaireResponse")}


# --- claims -----------------------------------------------------------------------------------------------------------


def test_fhir_C6_every_known_claim_is_checked():
    resource = changed("us-core-blood-pressure", subject=None)
    resource["meta"] = {
        "profile": [f"{US_CORE}us-core-blood-pressure", "http://hl7.org/fhir/StructureDefinition/bp", "urn:x"]
    }
    assert {each.profile for each in claimed_issues(resource)} == {
        f"{US_CORE}us-core-blood-pressure|7.0.0",
        "http://hl7.org/fhir/StructureDefinition/bp|4.0.1",
    }
    assert all(each.breaks_rule for each in claimed_issues(resource))


@pytest.mark.parametrize(
    ("resource", "size", "claimed", "long"),
    [
        ({"meta": {"profile": ["urn:x"]}}, BIG_CLAIMS + 1, True, True),
        ({"meta": {"profile": ["urn:x"]}}, BIG_CLAIMS + 1, False, False),
        ({"meta": {"profile": ["urn:x"]}}, BIG_CLAIMS, True, False),
        ({"meta": {}}, BIG_CLAIMS + 1, True, False),
        ({"meta": 1}, BIG_CLAIMS + 1, True, False),
        ({"resourceType": "Bundle"}, BIG_CLAIMS + 1, True, True),
        ([], BIG_CLAIMS + 1, True, False),
        ({}, 9 * BIG_CLAIMS, False, True),
    ],
)
def test_claims_of_larger_bodies_are_checked_off_the_event_loop(resource, size, claimed, long):
    assert takes_long([{}, resource], size, claimed=claimed) is long


@pytest.mark.skipif(not SHARED.is_dir(), reason="the official examples are not at hand")
def test_uscore_the_official_examples_follow_the_vital_signs_profiles_that_they_claim():
    claiming = 0
    for path in sorted((SHARED / "r4-examples").glob("Observation-*.json")):
        resource = parse_json(path.read_bytes())
        claiming += "http://hl7.org/fhir/StructureDefinition/vitalsigns" in resource.get("meta", {}).get("profile", [])
        assert claimed_issues(resource) == [], path.name
    assert claiming == 7


def test_uscore_a_profile_is_the_same_for_equal_resources():
    resource = sample(of_us_core("us-core-patient"))
    twin = copy.deepcopy(resource)
    assert profile_issues(resource, of_us_core("us-core-patient")) == profile_issues(
        twin, of_us_core("us-core-patient")
    )
