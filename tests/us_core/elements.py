"""Finds what a must-support row of US Core names: elements, choices, slices and extensions of plain JSON.

The rows are written as in `groups.json`: `address.period.end`, `name.use=old`, `value[x]`, `component:systolic.code`,
`slice category:AssessPlan`, `ext us-core-race`, `subject→patient` (a reference, with what it is to reach).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
OBSERVATION_CATEGORY = TERMINOLOGY + "observation-category"
US_CORE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"
CONDITION_CATEGORY = TERMINOLOGY + "condition-category"
NPI = "http://hl7.org/fhir/sid/us-npi"
LOINC = "http://loinc.org"
TARGETS = {
    "patient": "Patient",
    "encounter": "Encounter",
    "practitioner": "Practitioner",
    "practitionerrole": "PractitionerRole",
    "relatedperson": "RelatedPerson",
    "organization": "Organization",
    "location": "Location",
    "specimen": "Specimen",
    "medicationrequest": "MedicationRequest",
    "questionnaireresponse": "QuestionnaireResponse",
    "observation-screening-assessment": "Observation",
    "condition-problems-health-concerns": "Condition",
    "condition-encounter-diagnosis": "Condition",
}
"""Name of a profile in a row → type of what is reached."""


def _codes(system: str, *codes: str) -> frozenset[str]:
    return frozenset(f"{system}|{code}" for code in codes)


_SOCIAL = _codes(OBSERVATION_CATEGORY, "social-history")
_SCREENING = _codes(US_CORE_CATEGORY, "sdoh", "functional-status", "disability-status", "cognitive-status")
_CLINICAL = ("laboratory", "exam", "therapy", "imaging", "procedure", "vital-signs", "activity")
SLICES: dict[str, frozenset[str]] = {
    "us-core-observation-lab category:us-core": _codes(OBSERVATION_CATEGORY, "laboratory"),
    "us-core-observation-lab category:Laboratory": _codes(OBSERVATION_CATEGORY, "laboratory"),
    "us-core-observation-clinical-result category:us-core": _codes(OBSERVATION_CATEGORY, *_CLINICAL),
    "us-core-simple-observation category:us-core": _SCREENING
    | _codes(OBSERVATION_CATEGORY, *_CLINICAL, "survey", "social-history"),
    "us-core-observation-screening-assessment category:survey": _codes(OBSERVATION_CATEGORY, "survey"),
    "us-core-observation-screening-assessment category:screening-assessment": _SCREENING,
    "us-core-treatment-intervention-preference category:us-core": _codes(
        US_CORE_CATEGORY, "treatment-intervention-preference"
    ),
    "us-core-care-experience-preference category:us-core": _codes(US_CORE_CATEGORY, "care-experience-preference"),
    "us-core-medicationrequest category:us-core": _codes(
        TERMINOLOGY + "medicationrequest-category", "inpatient", "outpatient", "community", "discharge"
    ),
    "us-core-careplan category:AssessPlan": _codes(
        "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan"
    ),
    "us-core-condition-encounter-diagnosis category:us-core": _codes(CONDITION_CATEGORY, "encounter-diagnosis"),
    "us-core-condition-problems-health-concerns category:us-core": _codes(CONDITION_CATEGORY, "problem-list-item")
    | _codes("http://hl7.org/fhir/us/core/CodeSystem/condition-category", "health-concern"),
    "us-core-condition-problems-health-concerns category:screening-assessment": _SCREENING,
    "category:SocialHistory": _SOCIAL,
    "category:socialhistory": _SOCIAL,
    "code.coding:PulseOx": _codes(LOINC, "59408-5"),
    "code.coding:O2Sat": _codes(LOINC, "2708-6"),
    "component:industry": _codes(LOINC, "86188-0"),
    "component:FlowRate": _codes(LOINC, "3151-8"),
    "component:Concentration": _codes(LOINC, "3150-0"),
    "component:systolic": _codes(LOINC, "8480-6", "96608-5"),
    "component:diastolic": _codes(LOINC, "8462-4", "96609-3"),
    "component:SystolicBP": _codes(LOINC, "8480-6"),
    "component:DiastolicBP": _codes(LOINC, "8462-4"),
    "agent:ProvenanceAuthor": _codes(TERMINOLOGY + "provenance-participant-type", "author"),
    "agent:ProvenanceTransmitter": _codes(
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type", "transmitter"
    ),
}
"""What tells a slice: a coding of the element, of its `code` or of its `type`; a profile's own come first."""
IMPLIED = {"us-core": "category", "screening-assessment": "category", "ProvenanceAuthor": "agent"}
IMPLIED["ProvenanceTransmitter"] = "agent"
"""Element of a slice that a row names alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row taken apart: the path without marks, and the types that a reference is to reach."""

    path: str
    targets: tuple[str, ...] = ()


def wanted(row: str) -> Wanted:
    """Return what a must-support row asks for."""
    named, _, targets = row.partition("→")
    kind, _, rest = named.partition(" ")
    if kind == "ext":
        return Wanted(f"extension[{rest}]")
    if kind == "slice":
        named = _slice_path(rest)
    return Wanted(named, tuple(TARGETS[target] for target in targets.split(",") if target))


def _slice_path(name: str) -> str:
    if name == "NPI":
        return "identifier:NPI"
    if name == "dueDate":
        return "target.dueDate"
    choice = re.fullmatch(r"\w+\[x\]:(\w+)", name)
    if choice is not None:
        return choice[1]
    return f"{IMPLIED[name]}:{name}" if name in IMPLIED else name


def found(resource: dict[str, Any], path: str, profile: str) -> list[Any]:
    """Return every value of a resource at a path of a must-support row."""
    steps = re.findall(r"[^.\[]+(?:\[[^\]]*\])?", path)
    values: list[Any] = [resource]
    prefix = ""
    for step in steps:
        prefix = f"{prefix}.{step}" if prefix else step
        values = [value for each in values for value in _step(each, step, prefix, profile)]
    return values


def _step(node: Any, step: str, prefix: str, profile: str) -> Iterator[Any]:
    if not isinstance(node, dict):
        return
    if step.startswith("extension["):
        url = step[len("extension[") : -1]
        yield from (each for each in node.get("extension", []) if each["url"].rpartition("/")[2] == url)
        return
    name, _, expected = step.partition("=")
    name, _, slice_name = name.partition(":")
    keys = [key for key in node if key.startswith(name[:-3])] if name.endswith("[x]") else [name]
    values = [each for key in keys for each in _many(node.get(key))]
    if expected:
        values = [value for value in values if value == expected]
    if slice_name:
        values = [value for value in values if _in_slice(value, prefix, profile)]
    yield from values


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _in_slice(value: dict[str, Any], prefix: str, profile: str) -> bool:
    if prefix == "identifier:NPI":
        return value.get("system") == NPI
    known = SLICES.get(f"{profile} {prefix}") or SLICES[prefix]
    return bool(known & set(codings(value)) or known & set(codings(value.get("code"))) or known & set(_types(value)))


def _types(value: dict[str, Any]) -> list[str]:
    return codings(value.get("type"))


def codings(value: Any) -> list[str]:
    """Return the codings of a CodeableConcept, or a Coding itself, as `system|code`."""
    if not isinstance(value, dict):
        return []
    return [f"{each.get('system', '')}|{each.get('code', '')}" for each in value.get("coding", [value])]
