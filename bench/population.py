"""A made-up population of any size: per patient the same record, so that only the number of patients grows.

Deterministic: equal sizes give equal files. A record is 500 Observations of ten years (half of them vital signs),
prescriptions and plans; what it refers to in the directory is shared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

OBSERVATIONS: Final = 500
"""Per patient."""
PRESCRIPTIONS: Final = 12
PLANS: Final = 4
PRACTITIONERS: Final = 50
MEDICATIONS: Final = 30
START: Final = datetime(2016, 1, 1, 8, tzinfo=UTC)
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
PLAN_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/careplan-category"
IDENTIFIER: Final = "urn:example:mrn"
VITALS: Final = (
    ("8867-4", "Heart rate", "/min"),
    ("9279-1", "Respiratory rate", "/min"),
    ("8310-5", "Body temperature", "Cel"),
    ("8302-2", "Body height", "cm"),
    ("29463-7", "Body weight", "kg"),
    ("39156-5", "Body mass index", "kg/m2"),
    ("59408-5", "Oxygen saturation", "%"),
)
LABS: Final = (
    ("2339-0", "Glucose", "mg/dL"),
    ("2160-0", "Creatinine", "mg/dL"),
    ("4548-4", "Hemoglobin A1c", "%"),
    ("2093-3", "Cholesterol", "mg/dL"),
    ("2951-2", "Sodium", "mmol/L"),
    ("6298-4", "Potassium", "mmol/L"),
)
KINDS: Final = (("vital-signs", VITALS), ("vital-signs", VITALS), ("laboratory", LABS), ("survey", VITALS[:2]))
"""Half of all measurements are vital signs."""
STATUSES: Final = ("active", "completed", "completed", "on-hold")


def write_population(folder: Path, patients: int) -> list[Path]:
    """Write the files for `fhir-server load`, and return them."""
    folder.mkdir()
    kinds = {
        "_directory": _directory(),
        "Patient": (patient(number) for number in range(patients)),
        "records": (each for number in range(patients) for each in record(number)),
    }
    return [_write(folder / f"{name}.ndjson", resources) for name, resources in kinds.items()]


def _write(path: Path, resources: Iterator[Json]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(each, separators=(",", ":")) + "\n" for each in resources)
    return path


def _directory() -> Iterator[Json]:
    for number in range(PRACTITIONERS):
        name = {"family": f"Doctor{number}", "given": ["Ada"]}
        yield {"resourceType": "Practitioner", "id": f"d{number}", "name": [name]}
    for number in range(MEDICATIONS):
        yield {"resourceType": "Medication", "id": f"m{number}", "code": {"text": f"Medicine {number}"}}


def patient(number: int) -> Json:
    """Return a Patient; names repeat every thousand."""
    return {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"system": IDENTIFIER, "value": f"MRN-{number}"}],
        "name": [{"family": f"Family{number % 1000}", "given": [f"Given{number % 37}"]}],
        "gender": ("female", "male")[number % 2],
        "birthDate": (START - timedelta(days=9000 + number % 20000)).date().isoformat(),
        "address": [{"line": [f"{number} Main Street"], "city": "Springfield", "state": "MA", "postalCode": "01101"}],
        "telecom": [{"system": "phone", "value": f"555-{number:07}", "use": "home"}],
    }


def record(number: int) -> Iterator[Json]:
    """Yield what belongs to one patient."""
    subject = {"reference": f"Patient/p{number}"}
    doctor = {"reference": f"Practitioner/d{number % PRACTITIONERS}"}
    for at in range(OBSERVATIONS):
        yield _observation(number, at, subject, doctor)
    for at in range(PRESCRIPTIONS):
        yield {
            "resourceType": "MedicationRequest",
            "id": f"r{number}-{at}",
            "status": STATUSES[at % len(STATUSES)],
            "intent": "order",
            "medicationReference": {"reference": f"Medication/m{(number + at) % MEDICATIONS}"},
            "subject": subject,
            "requester": doctor,
            "authoredOn": _time(number, at * 40).isoformat(),
            "dosageInstruction": [{"text": "one a day"}],
        }
    for at in range(PLANS):
        category = {"coding": [{"system": PLAN_CATEGORY, "code": "assess-plan"}]}
        yield {
            "resourceType": "CarePlan",
            "id": f"c{number}-{at}",
            "status": STATUSES[at % len(STATUSES)],
            "intent": "plan",
            "category": [category],
            "subject": subject,
            "period": {"start": _time(number, at * 120).date().isoformat()},
        }


def _observation(number: int, at: int, subject: Json, doctor: Json) -> Json:
    category, codes = KINDS[at % len(KINDS)]
    code, display, unit = codes[at // len(KINDS) % len(codes)]
    return {
        "resourceType": "Observation",
        "id": f"o{number}-{at}",
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": {"coding": [{"system": LOINC, "code": code, "display": display}], "text": display},
        "subject": subject,
        "performer": [doctor],
        "effectiveDateTime": _time(number, at).isoformat(),
        "valueQuantity": {"value": 60 + (number * 7 + at) % 80, "unit": unit, "system": UCUM, "code": unit},
    }


def _time(number: int, at: int) -> datetime:
    """Return when a patient's measurement was taken: one a week, at each patient's own hour."""
    return START + timedelta(days=7 * at, minutes=number % 600)
