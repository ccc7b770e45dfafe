"""Condition ⇄ `patient_conditions` of the care platform (mapping.md "Outside the four")."""

from __future__ import annotations

import re
from typing import Any, Final

from mappers import isos, systems
from mappers.care_rows import PatientCondition
from mappers.fields import Context, derived, enrich, field, profile, reference
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper
from mappers.nodes import Node

CLINICAL: Final = {
    "ACTIVE": "active",
    "RECURRENCE": "recurrence",
    "RELAPSE": "relapse",
    "INACTIVE": "inactive",
    "REMISSION": "remission",
    "RESOLVED": "resolved",
}
"""Statuses that say how a condition is; the column is open text, and what is not listed says nothing of it."""
ENTERED_IN_ERROR: Final = "ENTERED_IN_ERROR"

_ICD_10: Final = re.compile(r"[A-TV-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?")
_SNOMED: Final = re.compile(r"[1-9]\d{5,17}")


def folded_status(status: str) -> str:
    """Return a status as the tables above spell it: `entered-in-error` is `ENTERED_IN_ERROR`."""
    return "_".join(re.split(r"[\s_-]+", status.strip())).upper()


def condition_codings(icd10: str | None, snomed: str | None) -> list[Json]:
    """Return the codings of a diagnosis; a text that has not the shape of its system's codes is none of them."""
    found = (
        (systems.ICD_10_CM, _ICD_10, (icd10 or "").strip().upper()),
        (systems.SNOMED, _SNOMED, (snomed or "").strip()),
    )
    return [{"system": system, "code": code} for system, shape, code in found if shape.fullmatch(code)]


def _code(values: tuple[Any, ...], _: Context) -> Node:
    icd10, snomed, label = values
    words = next((text for value in (label, icd10, snomed) if value and (text := isos.fhir_text(value))), ABSENT)
    codings = condition_codings(icd10, snomed)
    shown = {"coding": codings} if codings else {}
    return {**shown, "text": words} if words is not ABSENT else ABSENT


def _clinical(values: tuple[Any, ...], _: Context) -> Node:
    code = CLINICAL.get(folded_status(values[0]))
    return {"coding": [{"system": systems.CONDITION_CLINICAL, "code": code}]} if code else ABSENT


def _verification(values: tuple[Any, ...], _: Context) -> Node:
    """Say that the row is a mistake; a condition that is one has no clinical status (FHIR R4 con-5)."""
    mistaken = folded_status(values[0]) == ENTERED_IN_ERROR
    return {"coding": [{"system": systems.CONDITION_VERIFICATION, "code": "entered-in-error"}]} if mistaken else ABSENT


def _problem_list(_values: tuple[Any, ...], _context: Context) -> Node:
    return [{"coding": [{"system": systems.CONDITION_CATEGORY, "code": "problem-list-item"}]}]


def _unknown_code(values: tuple[Any, ...], context: Context) -> Node:
    """US Core wants a code, or a code that says why there is none (us_core.md M3)."""
    unknown = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}
    return unknown if _code(values, context) is ABSENT else ABSENT


CARE_CONDITION: Final = ResourceMapper(
    "Condition",
    table="patient_conditions",
    name="patient_condition",
    row_type=PatientCondition,
    read_only=True,
    internal_endpoint="/care/patients/{id}/conditions",
    about="One Condition for each diagnosis of a patient.",
    fields=(
        profile(f"{systems.US_CORE}us-core-condition-problems-health-concerns"),
        derived(("status",), "clinicalStatus", _clinical, note="a status that is not listed says nothing of it"),
        derived(("status",), "verificationStatus", _verification, note="of ENTERED_IN_ERROR alone"),
        enrich((), "category", _problem_list, note="US Core category"),
        derived(("icd10", "snomed", "label"), "code", _code, note="ICD-10-CM and SNOMED CT where it is a code"),
        enrich(("icd10", "snomed", "label"), "code", _unknown_code, note="unknown where no column says what it is"),
        reference("patient_id", "subject", "Patient", "patients", needed=True),
        field("onset_date", "onsetDateTime", isos.day),
    ),
)
