"""REGISTRY → CapabilityStatement (FHIR R4 capabilitystatement.html, http.html#capabilities): what exists, no more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from capability.compartments import COMPARTMENTS
from capability.operations import ANY_TYPE, OPERATIONS, Level, Operation, operations_at
from capability.registry import (
    CONDITIONAL_INTERACTIONS,
    PATCH_FORMATS,
    REGISTRY,
    SYSTEM_INTERACTIONS,
    TYPE_INTERACTIONS,
    ResourceType,
)
from capability.search_parameters import COMMON, SearchParameter
from capability.smart import security_extensions
from capability.us_core import GUIDE, VERSIONS, combinations, targeted_includes
from capability.us_core import SERVER as US_CORE

Json = dict[str, Any]

COMBINATION: Final = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination"
NORMATIVE: Final = frozenset(
    {
        "Binary", "Bundle", "CapabilityStatement", "CodeSystem", "Observation", "OperationDefinition",
        "OperationOutcome", "Parameters", "Patient", "StructureDefinition", "ValueSet",
    }
)  # fmt: skip
"""Resource types with normative content (R4 versions.html#maturity)."""

DOCUMENTED: Final[Mapping[str, str]] = {
    "search-type": "No parameter is needed: a search without status is answered with every status. Parameters of the "
    "base and _has are taken by every type; modifiers and prefixes are those of R4.",
    "update": "Makes a new version only where the content differs. If-Match is honoured.",
}
"""What clients may want to know of interactions."""

_SMART: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
    "code": "SMART-on-FHIR",
    "display": "SMART-on-FHIR",
}
_SECURITY: Final = (
    "Every request but this one needs an access token (Authorization: Bearer). Its scopes and the patient compartment "
    "decide what is seen; what lies outside is answered as if it did not exist."
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What an installation decides: about writes (`conditional_delete` is single or multiple), and where it is.

    `server_url` is the public address without slash, below which the authorization server is; None: it is not told.
    `registration` says whether clients may register themselves.
    """

    conditional_delete: str = "single"
    update_create: bool = True
    server_url: str | None = None
    registration: bool = False


DEFAULT_CHOICES = Choices()


def capability_statement(
    base_url: str, version: str, date: datetime, mode: str = "full", choices: Choices = DEFAULT_CHOICES
) -> Json:
    """Return the CapabilityStatement of this instance.

    `base_url` is the FHIR base without trailing slash, `version` that of the software, `date` when its abilities last
    changed (aware). `mode` is full, or normative for the resource types that R4 calls so (http.html#capabilities).
    """
    sources = _sources()
    served = [each for name, each in REGISTRY.items() if mode == "full" or name in NORMATIVE]
    return {
        "resourceType": "CapabilityStatement",
        **_preface(base_url, version, date),
        "instantiates": [US_CORE, *(f"{US_CORE}|{each}" for each in VERSIONS)],
        "software": {"name": "fhir-server", "version": version},
        "implementation": {"description": "FHIR R4 over internal tables", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        **({"patchFormat": list(PATCH_FORMATS)} if "patch" in TYPE_INTERACTIONS else {}),
        "implementationGuide": [f"{GUIDE}|{each}" for each in VERSIONS],
        "rest": [
            {
                "mode": "server",
                "security": _security(choices),
                "resource": [_resource(each, sources.get(each.name, []), base_url, choices) for each in served],
                "interaction": [{"code": code} for code in SYSTEM_INTERACTIONS],
                "searchParam": [_parameter(REGISTRY["Patient"].search_parameters[code]) for code in COMMON],
                **_system_operations(base_url),
                "compartment": [
                    f"http://hl7.org/fhir/CompartmentDefinition/{each[:1].lower()}{each[1:]}" for each in COMPARTMENTS
                ],
            }
        ],
    }


def _security(choices: Choices) -> Json:
    """Return who may come in and how (`smart.md` §2)."""
    where = {}
    if choices.server_url is not None:
        where = {"extension": security_extensions(choices.server_url, registration=choices.registration)}
    return {**where, "cors": True, "service": [{"coding": [_SMART]}], "description": _SECURITY}


def terminology_capabilities(base_url: str, version: str, date: datetime) -> Json:
    """Return what `?mode=terminology` asks for: no terminology operation is served."""
    return {
        "resourceType": "TerminologyCapabilities",
        **_preface(base_url, version, date),
        "software": {"name": "fhir-server", "version": version},
        "implementation": {"description": "FHIR R4 over internal tables", "url": base_url},
        "codeSearch": "explicit",
    }


def _preface(base_url: str, version: str, date: datetime) -> Json:
    return {
        "url": f"{base_url}/metadata",
        "version": version,
        "name": "FhirServer",
        "title": "FHIR R4 server in front of an application database",
        "status": "active",
        "date": date.isoformat(timespec="seconds"),
        "kind": "instance",
    }


def _resource(served: ResourceType, sources: list[str], base_url: str, choices: Choices) -> Json:
    own = [each for code, each in served.search_parameters.items() if code not in COMMON]
    conditional = set(CONDITIONAL_INTERACTIONS) & set(served.interactions)
    statement: Json = {
        "extension": [_combination(codes) for codes in combinations(served.name)],
        "type": served.name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{served.name}",
        "supportedProfile": list(served.profiles),
        "interaction": [_interaction(code) for code in served.interactions],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": choices.update_create and "update" in served.interactions,
        "conditionalCreate": "create" in conditional,
        "conditionalRead": "full-support",
        "conditionalUpdate": "update" in conditional,
        "conditionalDelete": choices.conditional_delete if "delete" in conditional else "not-supported",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": _includes(served),
        "searchRevInclude": sources,
        "searchParam": [_parameter(each) for each in own],
        "operation": [_operation(each, base_url) for each in _operations(served.name)],
    }
    return {name: value for name, value in statement.items() if value != []}


def _includes(served: ResourceType) -> list[str]:
    """Return every `_include` of a type: all at once, one by one, and with the targets that US Core names."""
    single = [f"{served.name}:{each.code}" for each in served.includes]
    return [f"{served.name}:*", *single, *targeted_includes(served.name)] if single else []


def _combination(codes: Iterable[str]) -> Json:
    return {"url": COMBINATION, "extension": [{"url": "required", "valueString": code} for code in codes]}


def _interaction(code: str) -> Json:
    told = {"documentation": DOCUMENTED[code]} if code in DOCUMENTED else {}
    return {"code": code, **told}


def _operations(resource_type: str) -> list[Operation]:
    """Return the operations of a type; those of all types are told once, at the base."""
    of_type = (*operations_at(Level.TYPE, resource_type), *operations_at(Level.INSTANCE, resource_type))
    return [each for each in dict.fromkeys(of_type) if ANY_TYPE not in each.types]


def _system_operations(base_url: str) -> Json:
    """Return what the base tells of operations: its own, and those of all types; nothing where there is none."""
    told = [each for each in OPERATIONS.values() if Level.SYSTEM in each.levels or ANY_TYPE in each.types]
    return {"operation": [_operation(each, base_url) for each in told]} if told else {}


def _operation(operation: Operation, base_url: str) -> Json:
    told = {"documentation": operation.text} if operation.text else {}
    return {"name": operation.name, "definition": operation.canonical(base_url), **told}


def _parameter(parameter: SearchParameter) -> Json:
    definition = {"definition": parameter.url} if parameter.url else {}
    told = {"documentation": parameter.expression} if parameter.expression else {}
    return {"name": parameter.code, **definition, "type": parameter.type.value, **told}


def _sources() -> Mapping[str, list[str]]:
    """Return per type the `Type:parameter` that can refer to it."""
    found: dict[str, list[str]] = {}
    for served in REGISTRY.values():
        for parameter in served.includes:
            for target in REGISTRY if "*" in parameter.targets else parameter.targets:
                found.setdefault(target, []).append(f"{served.name}:{parameter.code}")
    return found
