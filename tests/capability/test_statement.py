"""CapabilityStatement (FHIR R4 capabilitystatement.html): valid, and only what exists."""

from datetime import UTC, datetime

import fhirkit
import msgspec

from capability.elements import RESOURCE_TYPES
from capability.markdown import capability_markdown
from capability.registry import REGISTRY
from capability.search_parameters import COMMON, find
from capability.statement import capability_statement

BASE = "http://example.org/fhir"
STATEMENT = capability_statement(BASE, "0.1.0", datetime(2026, 1, 1, tzinfo=UTC))
REST = STATEMENT["rest"][0]
RESOURCES = {each["type"]: each for each in REST["resource"]}


def test_the_statement_is_a_valid_resource():
    assert fhirkit.validate(msgspec.json.encode(STATEMENT)) == []


def test_every_served_type_is_listed_once_and_in_order():
    assert [each["type"] for each in REST["resource"]] == list(REGISTRY) == list(RESOURCE_TYPES)


def test_interactions_are_those_of_the_registry():
    for name, served in REGISTRY.items():
        assert tuple(each["code"] for each in RESOURCES[name]["interaction"]) == served.interactions
    assert {each["code"] for each in REST["interaction"]} == {"batch", "transaction"}


def test_what_is_not_implemented_is_absent():
    assert "patchFormat" not in STATEMENT
    assert "operation" not in REST
    assert not RESOURCES["Patient"]["conditionalUpdate"]
    assert RESOURCES["Patient"]["conditionalDelete"] == "not-supported"


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
    assert all("Provenance:target" in each["searchRevInclude"] for each in RESOURCES.values())


def test_mapped_types_name_their_mappers():
    assert REGISTRY["Patient"].mappers
    assert REGISTRY["Basic"].mappers == ()


def test_the_documentation_lists_every_parameter():
    text = capability_markdown()
    for name, served in REGISTRY.items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for code in served.search_parameters:
            assert f"| `{code}` |" in (text if code in COMMON else section), f"{name}.{code}"
