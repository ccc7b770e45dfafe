"""CapabilityStatement (FHIR R4 capabilitystatement.html): valid, and only what exists."""

from datetime import UTC, datetime
from importlib import resources

import fhirkit
import msgspec
import pytest

from capability.elements import RESOURCE_TYPES
from capability.markdown import capability_markdown
from capability.operation_definitions import operation_definition
from capability.operations import OPERATIONS
from capability.registry import CONDITIONAL_INTERACTIONS, REGISTRY, SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from capability.search_parameters import COMMON, find
from capability.statement import capability_statement, terminology_capabilities
from capability.us_core import combinations

BASE = "http://example.org/fhir"
STATEMENT = capability_statement(BASE, "0.1.0", datetime(2026, 1, 1, tzinfo=UTC))
REST = STATEMENT["rest"][0]
RESOURCES = {each["type"]: each for each in REST["resource"]}


def test_the_statement_is_a_valid_resource():
    assert fhirkit.validate(msgspec.json.encode(STATEMENT)) == []


def test_every_served_type_is_listed_once_and_in_order():
    assert [each["type"] for each in REST["resource"]] == list(REGISTRY) == list(RESOURCE_TYPES)


def test_uscore_C1_the_terminology_side_is_valid_and_empty():
    told = terminology_capabilities(BASE, "0.1.0", datetime(2026, 1, 1, tzinfo=UTC))
    assert fhirkit.validate(msgspec.json.encode(told)) == []


def test_uscore_C2_C3_version_and_formats():
    assert STATEMENT["fhirVersion"] == "4.0.1"
    assert STATEMENT["format"] == ["application/fhir+json", "json"]


def test_uscore_C4_supported_profiles_are_those_of_the_registry():
    for name, resource in RESOURCES.items():
        assert tuple(resource.get("supportedProfile", ())) == REGISTRY[name].profiles


def test_uscore_C4_every_profile_that_the_sample_data_claims_is_told():
    sample = (resources.files("fhir_server.demo") / "data" / "us_core.json").read_text("utf-8")
    claimed = {
        canonical.partition("|")[0]
        for entry in msgspec.json.decode(sample)["entry"]
        for canonical in entry["resource"].get("meta", {}).get("profile", ())
    }
    told = {profile for resource in RESOURCES.values() for profile in resource.get("supportedProfile", ())}
    assert claimed
    assert claimed <= told
    assert "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient" in told


def test_uscore_C5_the_server_is_an_instance_of_us_core():
    url = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"
    assert STATEMENT["instantiates"] == [url, f"{url}|7.0.0", f"{url}|6.1.0"]


def test_uscore_C7_what_the_kind_instance_demands_is_there():
    assert (STATEMENT["status"], STATEMENT["kind"], REST["mode"]) == ("active", "instance", "server")
    assert STATEMENT["date"] == "2026-01-01T00:00:00+00:00"
    assert STATEMENT["implementation"]["url"] == BASE
    assert STATEMENT["implementation"]["description"]
    assert STATEMENT["software"] == {"name": "fhir-server", "version": "0.1.0"}


def test_uscore_C8_security_names_smart_and_cors():
    assert REST["security"]["cors"] is True
    assert REST["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"


def test_uscore_C9_every_resource_tells_its_rules():
    for name, resource in RESOURCES.items():
        assert resource["profile"] == f"http://hl7.org/fhir/StructureDefinition/{name}"
        assert (resource["versioning"], resource["readHistory"]) == ("versioned-update", True)
        assert "Provenance:target" in resource["searchRevInclude"]
        assert all(each["documentation"] for each in resource.get("searchParam", ()))
        for conditional in ("Create", "Update"):
            code = conditional.lower()
            claimed = code in CONDITIONAL_INTERACTIONS and code in REGISTRY[name].interactions
            assert resource[f"conditional{conditional}"] == claimed


def test_uscore_C10_combinations_are_published():
    told = [
        [each["valueString"] for each in extension["extension"]] for extension in RESOURCES["Observation"]["extension"]
    ]
    assert ["patient", "category", "date"] in told
    assert all(find("Observation", code) for codes in told for code in codes)
    for name in REGISTRY:
        assert all(find(name, code) for codes in combinations(name) for code in codes)


def test_uscore_C12_interactions_are_those_of_the_registry():
    for name, served in REGISTRY.items():
        assert tuple(each["code"] for each in RESOURCES[name]["interaction"]) == served.interactions
    assert tuple(each["code"] for each in REST["interaction"]) == SYSTEM_INTERACTIONS
    assert ("patchFormat" in STATEMENT) == ("patch" in TYPE_INTERACTIONS)


def test_uscore_C12_every_operation_is_told_once_with_its_definition():
    told = [operation["name"] for resource in RESOURCES.values() for operation in resource.get("operation", ())]
    told += [operation["name"] for operation in REST.get("operation", ())]
    assert sorted(set(told)) == sorted(OPERATIONS)
    for each in [*REST.get("operation", ()), *RESOURCES["Patient"]["operation"]]:
        assert each["definition"] == OPERATIONS[each["name"]].canonical(BASE)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda each: each.name)
def test_definitions_of_operations_are_valid_resources(operation):
    definition = operation_definition(operation, BASE, "2026-01-01")
    assert fhirkit.validate(msgspec.json.encode(definition)) == []
    assert definition["url"] == operation.canonical(BASE)
    assert operation.text
    assert any(each.use == "out" for each in operation.parameters)


def test_what_nobody_may_write_is_not_claimed_to_be_written():
    assert not {"create", "update", "patch", "delete"} & set(REGISTRY["AuditEvent"].interactions)
    assert RESOURCES["AuditEvent"]["conditionalDelete"] == "not-supported"
    assert RESOURCES["AuditEvent"]["updateCreate"] is False


def test_normative_mode_leaves_out_the_rest():
    told = capability_statement(BASE, "0.1.0", datetime(2026, 1, 1, tzinfo=UTC), "normative")
    names = [each["type"] for each in told["rest"][0]["resource"]]
    assert "Patient" in names
    assert "Goal" not in names


def test_every_parameter_listed_is_found_under_its_type():
    for name, resource in RESOURCES.items():
        for listed in [*resource.get("searchParam", []), *REST["searchParam"]]:
            parameter = find(name, listed["name"])
            assert parameter is not None
            assert parameter.type.value == listed["type"]
            assert listed.get("definition", "") == parameter.url


def test_parameters_of_every_type_are_listed_at_the_base():
    assert tuple(each["name"] for each in REST["searchParam"]) == COMMON


def test_includes_go_both_ways():
    assert "MedicationRequest:medication" in RESOURCES["MedicationRequest"]["searchInclude"]
    assert "MedicationRequest:medication" in RESOURCES["Medication"]["searchRevInclude"]
    assert "CareTeam:participant:PractitionerRole" in RESOURCES["CareTeam"]["searchInclude"]
    assert "Patient:*" in RESOURCES["Patient"]["searchInclude"]


def test_mapped_types_name_their_mappers():
    assert REGISTRY["Patient"].mappers
    assert REGISTRY["Basic"].mappers == ()


def test_the_documentation_lists_every_parameter():
    text = capability_markdown()
    for name, served in REGISTRY.items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for code in served.search_parameters:
            assert f"| `{code}` |" in (text if code in COMMON else section), f"{name}.{code}"
