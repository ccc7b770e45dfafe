"""Search parameters of US Core as data, and the values that a kit would draw from resources (us_core.md §5–§9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.us_core.elements import found

PARAMETERS: dict[str, dict[str, tuple[str, str]]] = {
    "Patient": {
        "_id": ("id", "id"),
        "identifier": ("identifier", "identifier"),
        "name": ("name", "name"),
        "family": ("string", "name.family"),
        "birthdate": ("date", "birthDate"),
        "gender": ("code", "gender"),
        "death-date": ("date", "deceasedDateTime"),
    },
    "MedicationRequest": {
        "patient": ("reference", "subject"),
        "intent": ("code", "intent"),
        "status": ("code", "status"),
        "encounter": ("reference", "encounter"),
        "authoredon": ("date", "authoredOn"),
    },
    "CarePlan": {
        "patient": ("reference", "subject"),
        "category": ("concept", "category"),
        "status": ("code", "status"),
        "date": ("date", "period"),
    },
    "Observation": {
        "patient": ("reference", "subject"),
        "category": ("concept", "category"),
        "code": ("concept", "code"),
        "status": ("code", "status"),
        "date": ("date", "effective[x]"),
        "_lastUpdated": ("instant", "meta.lastUpdated"),
    },
    "Practitioner": {
        "_id": ("id", "id"),
        "identifier": ("identifier", "identifier"),
        "name": ("name", "name"),
    },
    "PractitionerRole": {
        "practitioner": ("reference", "practitioner"),
        "specialty": ("concept", "specialty"),
    },
    "Organization": {"name": ("string", "name"), "address": ("address", "address")},
    "Location": {
        "name": ("string", "name"),
        "address": ("address", "address"),
        "address-city": ("string", "address.city"),
        "address-state": ("string", "address.state"),
        "address-postalcode": ("string", "address.postalCode"),
    },
    "RelatedPerson": {
        "_id": ("id", "id"),
        "patient": ("reference", "patient"),
        "name": ("name", "name"),
    },
    "Condition": {
        "patient": ("reference", "subject"),
        "category": ("concept", "category"),
        "clinical-status": ("concept", "clinicalStatus"),
        "code": ("concept", "code"),
        "encounter": ("reference", "encounter"),
        "onset-date": ("date", "onsetDateTime"),
        "abatement-date": ("date", "abatementDateTime"),
        "asserted-date": ("date", "extension[condition-assertedDate].valueDateTime"),
        "recorded-date": ("date", "recordedDate"),
        "_lastUpdated": ("instant", "meta.lastUpdated"),
    },
    "MedicationDispense": {
        "patient": ("reference", "subject"),
        "status": ("code", "status"),
        "type": ("concept", "type"),
    },
    "Device": {
        "patient": ("reference", "patient"),
        "type": ("concept", "type"),
        "status": ("code", "status"),
    },
    "Encounter": {
        "_id": ("id", "id"),
        "patient": ("reference", "subject"),
        "date": ("date", "period"),
        "identifier": ("identifier", "identifier"),
        "class": ("coding", "class"),
        "type": ("concept", "type"),
        "status": ("code", "status"),
        "location": ("reference", "location.location"),
        "discharge-disposition": ("concept", "hospitalization.dischargeDisposition"),
        "_lastUpdated": ("instant", "meta.lastUpdated"),
    },
    "CareTeam": {
        "patient": ("reference", "subject"),
        "status": ("code", "status"),
        "role": ("concept", "participant.role"),
    },
    "AllergyIntolerance": {"patient": ("reference", "patient"), "clinical-status": ("concept", "clinicalStatus")},
    "Coverage": {"patient": ("reference", "beneficiary")},
    "DiagnosticReport": {
        "patient": ("reference", "subject"),
        "category": ("concept", "category"),
        "code": ("concept", "code"),
        "status": ("code", "status"),
        "date": ("date", "effective[x]"),
        "_lastUpdated": ("instant", "meta.lastUpdated"),
    },
    "DocumentReference": {
        "_id": ("id", "id"),
        "patient": ("reference", "subject"),
        "type": ("concept", "type"),
        "category": ("concept", "category"),
        "status": ("code", "status"),
        "date": ("date", "date"),
        "period": ("date", "context.period"),
    },
    "Immunization": {
        "patient": ("reference", "patient"),
        "date": ("date", "occurrenceDateTime"),
        "status": ("code", "status"),
    },
    "Procedure": {
        "patient": ("reference", "subject"),
        "code": ("concept", "code"),
        "date": ("date", "performed[x]"),
        "status": ("code", "status"),
    },
    "QuestionnaireResponse": {
        "_id": ("id", "id"),
        "patient": ("reference", "subject"),
        "questionnaire": ("uri", "questionnaire"),
        "authored": ("date", "authored"),
        "status": ("code", "status"),
    },
    "ServiceRequest": {
        "_id": ("id", "id"),
        "patient": ("reference", "subject"),
        "category": ("concept", "category"),
        "code": ("concept", "code"),
        "authored": ("date", "authoredOn"),
        "status": ("code", "status"),
    },
    "Specimen": {"_id": ("id", "id"), "patient": ("reference", "subject")},
    "Goal": {
        "patient": ("reference", "subject"),
        "lifecycle-status": ("code", "lifecycleStatus"),
        "target-date": ("date", "target.dueDate"),
        "description": ("concept", "description"),
    },
}
"""Type → parameter → kind of value, and where it stands in a resource."""

COMPARATORS = ("gt", "ge", "lt", "le")
UNCOMPARED = {"birthdate", "death-date", "_lastUpdated"}
"""Date parameters for which no comparator is asked."""


def values(resource: dict[str, Any], parameter: str) -> list[str]:
    """Return what a kit could search to find the resource by the parameter; [] where it has nothing."""
    kind, path = PARAMETERS[resource["resourceType"]][parameter]
    return [text for element in found(resource, path, "") for text in _texts(kind, element)]


def _texts(kind: str, element: Any) -> list[str]:
    match kind:
        case "reference":
            return [element["reference"]] if not element.get("reference", "#").startswith("#") else []
        case "concept":
            return [
                text
                for each in element.get("coding", [])
                for text in (f"{each['system']}|{each['code']}", each["code"])
            ]
        case "coding":
            return [f"{element['system']}|{element['code']}", element["code"]]
        case "identifier":
            return [f"{element['system']}|{element['value']}", element["value"]]
        case "name":
            parts = [
                element.get("family"),
                *element.get("given", []),
                *element.get("suffix", []),
                *element.get("prefix", []),
            ]
            return [escaped(part) for part in parts if part]
        case "address":
            return [escaped(element[part]) for part in ("city", "state", "postalCode", "country") if part in element]
        case "date" if isinstance(element, dict):
            return [f"gt{shifted(element['start'], -1)}"]
        case _:
            return [escaped(element)]


def bounds(resource: dict[str, Any], parameter: str) -> tuple[str, str | None]:
    """Return the first and the last instant of a date that a resource has; None for a period that goes on."""
    element = found(resource, PARAMETERS[resource["resourceType"]][parameter][1], "")[0]
    return (element["start"], element.get("end")) if isinstance(element, dict) else (element, element)


def escaped(text: str) -> str:
    """Return a value whose commas, dollars and bars are no separators (FHIR R4 search.html#escaping)."""
    for mark in ("\\", ",", "$", "|"):
        text = text.replace(mark, f"\\{mark}")
    return text


def shifted(value: str, days: int) -> str:
    """Return an instant some days away from a date, in seconds with an offset, as the kits write comparators."""
    moment = datetime.fromisoformat(value if "T" in value else f"{value}-01-01"[:10] + "T00:00:00+00:00")
    return (moment + timedelta(days=days)).isoformat(timespec="seconds")
