"""REGISTRY → CapabilityStatement (FHIR R4 capabilitystatement.html, http.html#capabilities): what exists, no more."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from capability.operations import ANY_TYPE, OPERATIONS, Level, Operation, operations_at
from capability.registry import REGISTRY, SYSTEM_INTERACTIONS, ResourceType
from capability.search_parameters import COMMON, SearchParameter

Json = dict[str, Any]

_SECURITY = (
    "Every request but this one needs an access token (Authorization: Bearer). Its scopes and the patient compartment "
    "decide what is seen; what lies outside is answered as if it did not exist."
)


def capability_statement(base_url: str, version: str, date: datetime) -> Json:
    """Return the CapabilityStatement of this instance.

    `base_url` is the FHIR base without trailing slash, `version` that of the software, `date` when its abilities last
    changed (aware).
    """
    sources = _sources()
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{base_url}/metadata",
        "version": version,
        "name": "FhirServer",
        "title": "FHIR R4 server in front of an application database",
        "status": "active",
        "date": date.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "fhir-server", "version": version},
        "implementation": {"description": "FHIR R4 over internal tables", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": _SECURITY},
                "resource": [_resource(each, sources.get(each.name, [])) for each in REGISTRY.values()],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                "searchParam": [_parameter(REGISTRY["Patient"].search_parameters[code]) for code in COMMON],
                **_system_operations(),
            }
        ],
    }


def _resource(served: ResourceType, sources: list[str]) -> Json:
    own = [each for code, each in served.search_parameters.items() if code not in COMMON]
    statement: Json = {
        "type": served.name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{served.name}",
        "supportedProfile": list(served.profiles),
        "interaction": [{"code": code} for code in served.interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": [f"{served.name}:{each.code}" for each in served.includes],
        "searchRevInclude": sources,
        "searchParam": [_parameter(each) for each in own],
        "operation": [_operation(each) for each in _operations(served.name)],
    }
    return {name: value for name, value in statement.items() if value != []}


def _operations(resource_type: str) -> list[Operation]:
    """Return the operations of a type; those of all types are told once, at the base."""
    of_type = (*operations_at(Level.TYPE, resource_type), *operations_at(Level.INSTANCE, resource_type))
    return [each for each in dict.fromkeys(of_type) if ANY_TYPE not in each.types]


def _system_operations() -> Json:
    """Return what the base tells of operations: its own, and those of all types; nothing where there is none."""
    told = [each for each in OPERATIONS.values() if Level.SYSTEM in each.levels or ANY_TYPE in each.types]
    return {"operation": [_operation(each) for each in told]} if told else {}


def _operation(operation: Operation) -> Json:
    return {"name": operation.name, "definition": operation.definition}


def _parameter(parameter: SearchParameter) -> Json:
    definition = {"definition": parameter.url} if parameter.url else {}
    return {"name": parameter.code, **definition, "type": parameter.type.value}


def _sources() -> Mapping[str, list[str]]:
    """Return per type the `Type:parameter` that can refer to it."""
    found: dict[str, list[str]] = {}
    for served in REGISTRY.values():
        for parameter in served.includes:
            for target in REGISTRY if "*" in parameter.targets else parameter.targets:
                found.setdefault(target, []).append(f"{served.name}:{parameter.code}")
    return found
