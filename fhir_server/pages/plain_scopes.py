"""Scopes in plain language, for people who decide on them (`smart.md` §15): what an app reads, changes, deletes.

A line speaks of one resource type (or one category of it) and one kind of access; lines of the same kind stand
together, what everybody knows first. The words are tables: another type gets better words by one more row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.scopes import ANY_TYPE, Level, Scope, parse_scopes


class Kind(StrEnum):
    """What a line is about; in this order lines are shown."""

    READ = "read"
    CHANGE = "change"
    DELETE = "delete"
    IDENTITY = "identity"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Line:
    """One line for people; `scopes` are the scopes, in normal form, that it tells of."""

    kind: Kind
    text: str
    scopes: tuple[str, ...]

    @property
    def is_risky(self) -> bool:
        """Whether it lets an app do more than look."""
        return self.kind in {Kind.CHANGE, Kind.DELETE}


NAMES: Final[Mapping[str, str]] = {
    ANY_TYPE: "all health data there is, now and in future",
    "Patient": "personal details such as name, birth date, address and telephone",
    "Observation": "measurements and results of all kinds: vital signs, laboratory, surveys",
    "Condition": "health problems and diagnoses",
    "AllergyIntolerance": "allergies and intolerances",
    "MedicationRequest": "prescriptions",
    "MedicationStatement": "medicines taken",
    "MedicationDispense": "medicines handed out",
    "MedicationAdministration": "medicines given",
    "Medication": "descriptions of medicines",
    "Immunization": "vaccinations",
    "Procedure": "operations and other procedures",
    "DiagnosticReport": "reports of laboratory and imaging",
    "DocumentReference": "documents and letters",
    "Encounter": "visits and hospital stays",
    "Appointment": "appointments",
    "CarePlan": "care plans",
    "CareTeam": "who is in the care team",
    "Goal": "health goals",
    "ServiceRequest": "orders and referrals",
    "Specimen": "samples taken",
    "Device": "implants and medical devices",
    "Coverage": "insurance",
    "ExplanationOfBenefit": "settled insurance claims",
    "Claim": "insurance claims",
    "QuestionnaireResponse": "answers to questionnaires",
    "FamilyMemberHistory": "illnesses in the family",
    "Consent": "consents given",
    "Communication": "messages",
    "Binary": "files, such as scanned letters",
    "ImagingStudy": "imaging studies",
    "RelatedPerson": "relatives and carers",
    "Provenance": "who recorded what, and when",
    "Practitioner": "names of doctors and other staff",
    "PractitionerRole": "what doctors and other staff do where",
    "Organization": "names of hospitals and other organizations",
    "Location": "names of wards, rooms and other places",
    "AuditEvent": "records of who looked at what",
    "Task": "tasks",
    "Basic": "what apps keep here for themselves, and other notes of no named kind",
}
"""What a resource type holds, in words that people use."""
CATEGORIES: Final[Mapping[tuple[str, str], str]] = {
    ("Observation", "laboratory"): "laboratory results",
    ("Observation", "vital-signs"): "vital signs such as blood pressure, weight and pulse",
    ("Observation", "social-history"): "social history such as smoking and occupation",
    ("Observation", "sdoh"): "living conditions such as housing and food",
    ("Observation", "survey"): "answers and scores of surveys",
    ("Observation", "clinical-test"): "results of clinical tests",
    ("Observation", "exam"): "findings of examinations",
    ("Observation", "imaging"): "findings of imaging",
    ("Observation", "procedure"): "measurements made during procedures",
    ("Observation", "therapy"): "measurements made during therapy",
    ("Observation", "activity"): "physical activity",
    ("Condition", "problem-list-item"): "health problems on the problem list",
    ("Condition", "encounter-diagnosis"): "diagnoses made at visits",
    ("Condition", "health-concern"): "health concerns",
    ("DiagnosticReport", "LAB"): "laboratory reports",
    ("DiagnosticReport", "RAD"): "imaging reports",
    ("DocumentReference", "clinical-note"): "clinical notes",
}
"""Words for the categories of US Core and of FHIR, by type and code."""
CATEGORY_SYSTEMS: Final = frozenset(
    {
        "http://terminology.hl7.org/CodeSystem/observation-category",
        "http://terminology.hl7.org/CodeSystem/condition-category",
        "http://terminology.hl7.org/CodeSystem/v2-0074",
        "http://hl7.org/fhir/us/core/CodeSystem/condition-category",
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-category",
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-observation-category",
        "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
    }
)
"""Whose codes these are; the same word of another system may mean anything."""
VERBS: Final[Mapping[Kind, str]] = {Kind.READ: "See", Kind.CHANGE: "Add and change", Kind.DELETE: "Delete"}
LETTERS: Final[Mapping[Kind, str]] = {Kind.READ: "rs", Kind.CHANGE: "cu", Kind.DELETE: "d"}
WHOSE: Final[Mapping[Level, str]] = {
    Level.PATIENT: "",
    Level.USER: " – of everyone whose data you may see",
    Level.SYSTEM: " – of everyone",
}
IDENTITY: Final[Mapping[str, str]] = {
    "openid": "Know that it is you who signed in",
    "fhirUser": "Know your name and who you are here",
    "profile": "Know your name and who you are here",
}
OFFLINE: Final[Mapping[str, str]] = {
    "offline_access": "Keep this access when you are not there, until you withdraw it",
    "online_access": "Keep this access for as long as you stay signed in here",
}


def describe(scopes: Sequence[Scope], identity: Sequence[str] = ()) -> list[Line]:
    """Return what scopes allow, one line per kind of access and thing; `launch` scopes allow nothing and have none."""
    told: dict[tuple[Kind, str], dict[str, None]] = {}
    for kind in VERBS:
        for scope in sorted(scopes, key=_place):
            if any(letter in scope.letters for letter in LETTERS[kind]):
                text = f"{_verb(kind, scope)} {_thing(scope)}{WHOSE[scope.level]}"
                told.setdefault((kind, text), {})[str(scope)] = None
    for kind, words in ((Kind.IDENTITY, IDENTITY), (Kind.OFFLINE, OFFLINE)):
        for word in (each for each in identity if each in words):
            told.setdefault((kind, words[word]), {})[word] = None
    return [Line(kind, text, tuple(known)) for (kind, text), known in told.items()]


def describe_text(scope: str) -> list[Line]:
    """Return what a space-separated list of granted scopes allows."""
    granted = parse_scopes(scope, RESOURCE_TYPES)
    return describe(granted.fhir, granted.identity)


def _place(scope: Scope) -> tuple[int, str]:
    """Everything first, then types in the order of `NAMES`, then the others by name; a type before its categories."""
    known = list(NAMES)
    place = known.index(scope.resource_type) if scope.resource_type in NAMES else len(known)
    return place, f"{scope.resource_type} {scope.filter}"


def _verb(kind: Kind, scope: Scope) -> str:
    """Name what is done; who may create but not update, or the other way round, does only that."""
    if kind is Kind.CHANGE and "u" not in scope.letters:
        return "Add"
    if kind is Kind.CHANGE and "c" not in scope.letters:
        return "Change"
    return VERBS[kind]


def _thing(scope: Scope) -> str:
    if not scope.filter:
        return NAMES.get(scope.resource_type) or f"data of the kind {_spaced(scope.resource_type)}"
    words = [CATEGORIES.get((scope.resource_type, code)) for code in _categories(scope)]
    if words and all(words):
        return " that are also ".join(filter(None, words))
    name = NAMES.get(scope.resource_type) or f"data of the kind {_spaced(scope.resource_type)}"
    return f"{name} – only those with {scope.filter}"


def _categories(scope: Scope) -> Iterable[str]:
    """Return the category codes that a filter asks for; nothing when it asks for anything else, too."""
    codes = []
    for part in scope.filter.split("&"):
        name, _, value = part.partition("=")
        system, _, code = unquote(value).rpartition("|")
        if name != "category" or "," in value or system not in CATEGORY_SYSTEMS:
            return ()
        codes.append(code)
    return codes


def _spaced(resource_type: str) -> str:
    """Return `ChargeItem` as `charge item`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in resource_type).strip()
