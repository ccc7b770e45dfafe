"""The calls that clients make most, as addresses below the base (US Core's searches among them)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bench.population import IDENTIFIER, LOINC, PLAN_CATEGORY

SEARCHES: Final[Mapping[str, Callable[[int], str]]] = {
    "read Observation": lambda n: f"/Observation/o{n}-17",
    "Patient?identifier": lambda n: f"/Patient?identifier={IDENTIFIER}|MRN-{n}",
    "Patient?name": lambda n: f"/Patient?name=family{n % 1000}&birthdate=ge1930",
    "Observation?patient&category, newest 50": lambda n: (
        f"/Observation?patient=p{n}&category=vital-signs&_sort=-date&_count=50"
    ),
    "Observation?patient&category&date=ge, newest 50": lambda n: (
        f"/Observation?patient=p{n}&category=laboratory&date=ge2020-01-01&_sort=-date&_count=50"
    ),
    "Observation?patient&code=a,b,c": lambda n: (
        f"/Observation?patient=p{n}&code={LOINC}|8867-4,{LOINC}|8310-5,{LOINC}|2339-0"
    ),
    "Observation?patient.identifier&code": lambda n: (
        f"/Observation?patient.identifier={IDENTIFIER}|MRN-{n}&code=2339-0"
    ),
    "MedicationRequest?patient&intent&status&_include": lambda n: (
        f"/MedicationRequest?patient=p{n}&intent=order&status=active&_include=MedicationRequest:medication"
    ),
    "CarePlan?patient&category": lambda n: f"/CarePlan?patient=p{n}&category={PLAN_CATEGORY}|assess-plan",
    "CarePlan?patient&category&_revinclude=Provenance:target": lambda n: (
        f"/CarePlan?patient=p{n}&category={PLAN_CATEGORY}|assess-plan&_revinclude=Provenance:target"
    ),
    "Observation?patient&_lastUpdated": lambda n: f"/Observation?patient=p{n}&_lastUpdated=ge2020-01-01&_count=50",
    "Patient/$everything, 100 a page": lambda n: f"/Patient/p{n}/$everything?_count=100",
}
"""Title → address for a patient's number. Each is about one patient."""
