"""The data of the capability room agrees with itself, with R4 and with the published definitions (settled §3.6)."""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import fhirkit
import pytest

from capability.bindings import REQUIRED, implied_system
from capability.compartments import PATIENT_COMPARTMENT, in_patient_compartment
from capability.elements import MANDATORY_ELEMENTS, REFERENCE_TARGETS, RESOURCE_TYPES, SUMMARY_ELEMENTS, element
from capability.search_parameters import CLINICAL_DATE, COMMON, SearchType, find, search_parameters

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = ROOT.parent / "shared" / "data" / "definitions"
ALL = [parameter for name in RESOURCE_TYPES for parameter in search_parameters(name).values()]
FULLY_SEARCHABLE = {
    "AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "DiagnosticReport",
    "DocumentReference", "Encounter", "Goal", "Group", "Immunization", "Location", "Medication", "MedicationRequest",
    "Observation", "Organization", "Patient", "Practitioner", "PractitionerRole", "Procedure", "Provenance",
    "MedicationDispense", "MedicationStatement", "Specimen", "QuestionnaireResponse", "RelatedPerson", "ServiceRequest",
    "Consent", "Flag", "ChargeItem",
}  # fmt: skip


def test_every_r4_resource_type_is_known():
    assert list(RESOURCE_TYPES) == sorted(fhirkit.RESOURCE_TYPES)


def test_every_type_has_the_common_parameters_at_the_same_bits():
    for name in RESOURCE_TYPES:
        assert [search_parameters(name)[code].bit for code in COMMON] == list(range(6)), name


def test_bits_of_a_type_are_distinct_and_leave_room_for_the_patient_bit():
    for name in RESOURCE_TYPES:
        bits = [parameter.bit for parameter in search_parameters(name).values()]
        assert len(set(bits)) == len(bits), name
        assert max(bits) < 62, name


def test_types_with_full_parameters_have_more_than_the_others():
    assert {name for name in FULLY_SEARCHABLE if len(search_parameters(name)) > 10} == FULLY_SEARCHABLE


def test_types_with_an_identifier_element_can_be_searched_by_it():
    for name in RESOURCE_TYPES:
        known = element(name, "identifier")
        if known is not None and known.datatypes == ("Identifier",):
            assert find(name, "identifier") is not None, name


def test_every_compartment_parameter_exists_and_may_refer_to_a_patient():
    for name, codes in PATIENT_COMPARTMENT.items():
        for code in codes:
            parameter = find(name, code)
            assert parameter is not None, f"{name}.{code}"
            assert parameter.permits("Patient"), f"{name}.{code}"


def test_a_link_does_not_put_one_patient_into_the_compartment_of_another():
    assert "Patient" not in PATIENT_COMPARTMENT
    assert in_patient_compartment("Patient")
    assert not in_patient_compartment("Practitioner")


def test_reference_parameters_name_their_targets():
    for parameter in ALL:
        if parameter.type is SearchType.REFERENCE:
            assert parameter.targets, f"{parameter.resource_type}.{parameter.code}"
            assert set(parameter.targets) <= {*RESOURCE_TYPES, "*"}


def test_components_of_composites_are_parameters_of_the_same_type():
    for parameter in ALL:
        for component in parameter.components:
            found = find(parameter.resource_type, component.code)
            assert found is not None, f"{parameter.resource_type}.{parameter.code}"
            assert found.type is component.type


def test_clinical_dates_are_date_parameters():
    for name, code in CLINICAL_DATE.items():
        parameter = find(name, code)
        assert parameter is not None, name
        assert parameter.type is SearchType.DATE


@pytest.mark.parametrize(
    ("resource_type", "code"),
    [
        ("Patient", "race"),
        ("Patient", "ethnicity"),
        ("Condition", "asserted-date"),
        ("Encounter", "discharge-disposition"),
        ("Goal", "description"),
        ("CareTeam", "role"),
    ],
)
def test_us_core_parameters_that_r4_lacks_are_there(resource_type, code):
    parameter = find(resource_type, code)
    assert parameter is not None
    assert parameter.url.startswith("http://hl7.org/fhir/us/core/")


@pytest.mark.parametrize("code", ["phonetic", "near", "_text", "_content", "_query"])
def test_parameters_without_an_algorithm_are_not_offered(code):
    assert all(find(name, code) is None for name in RESOURCE_TYPES)


def test_identifiers_are_exact_and_codes_are_not():
    assert {p.code for p in ALL if p.exact} == {"_id", "identifier", "accession", "container-id", "requisition"}


def test_an_unknown_type_or_code_has_no_parameter():
    assert find("Observation", "colour") is None
    assert find("Dragon", "code") is None


@pytest.mark.parametrize(
    ("path", "code", "system", "allowed"),
    [
        ("Observation.status", "final", None, True),
        ("Observation.status", "finished", None, False),
        ("Condition.clinicalStatus", "active", "http://terminology.hl7.org/CodeSystem/condition-clinical", True),
        ("Condition.clinicalStatus", "active", "http://example.org", False),
        ("Task.status", "requested", None, True),
        ("Task.status", "begun", None, False),
    ],
)
def test_required_bindings_tell_which_codes_are_allowed(path, code, system, allowed):
    assert REQUIRED[path].allows(code, system) is allowed


def test_the_system_of_a_code_is_implied_where_its_binding_has_one():
    assert implied_system("Patient.gender") == "http://hl7.org/fhir/administrative-gender"
    assert implied_system("Task.status") is None
    assert implied_system("Patient.id") is None


def test_elements_know_choices_inheritance_and_backbone_elements():
    assert element("Observation", "value").choice
    assert "SampledData" in element("Observation", "value").datatypes
    assert element("Observation", "component").datatypes == ("Observation.component",)
    assert element("Observation.component", "code").datatypes == ("CodeableConcept",)
    assert element("QuestionnaireResponse.item.answer", "item").datatypes == ("QuestionnaireResponse.item",)
    assert element("Observation", "extension").repeats
    assert element("HumanName", "given").repeats
    assert element("Observation", "meta").datatypes == ("Meta",)
    assert element("Observation", "colour") is None


def test_summary_mandatory_and_target_tables_hold_what_r4_says():
    assert "text" not in SUMMARY_ELEMENTS["Observation"]
    assert "value" in SUMMARY_ELEMENTS["Observation"]
    assert MANDATORY_ELEMENTS["Observation"] == ("status", "code")
    assert REFERENCE_TARGETS["CarePlan.subject"] == ("Group", "Patient")


def test_data_files_stay_small():
    assert all(path.stat().st_size < 1_000_000 for path in (ROOT / "capability" / "data").glob("*.json"))


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_capability", ROOT / "scripts" / "generate_capability.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not DEFINITIONS.exists(), reason="the published definitions are not at hand")
def test_the_data_files_are_what_the_generator_writes(tmp_path, monkeypatch):
    published = ROOT / "capability" / "data"
    shutil.copy(published / "search_parameters.json", tmp_path)
    generator = _generator()
    monkeypatch.setattr(generator, "DATA", tmp_path)
    monkeypatch.setattr("sys.argv", ["generate_capability.py", str(DEFINITIONS)])
    generator.main()
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (published / path.name).read_bytes(), path.name
