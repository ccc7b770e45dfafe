"""Coverage ⇄ `patients.insurance_info` of the care platform (mapping.md Patient).

The column is JSON with the members of INSURANCE_KEYS that are known; others stay internal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from mappers import isos, systems
from mappers.care_rows import Patient
from mappers.fields import Context, constant, derived, enrich, field, reference
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper, Split
from mappers.lookups import Lookups
from mappers.nodes import Node

INSURANCE_KEYS: Final = ("type", "payer", "memberId")
"""Members of `insurance_info` that are shown."""
INSURANCE: Final = "insurance"
"""The part key of a patient's only insurance."""

_SELF_PAY: Final = {"self pay", "selfpay", "self-pay"}
_PAY: Final = {"coding": [{"system": systems.SELF_PAY, "code": "pay", "display": "Pay"}]}


@dataclass(frozen=True, slots=True)
class Insurance:
    """What `insurance_info` says in words, and the patient's id."""

    id: str
    organization_id: str
    type: str | None = None
    payer: str | None = None
    member_id: str | None = None


def _words(info: Json, key: str) -> str | None:
    value = info.get(key) if isinstance(info, dict) else None
    return value if isinstance(value, str) and isos.fhir_text(value) is not ABSENT else None


def _view(row: Patient, _part: str) -> Insurance:
    return Insurance(row.id, row.organization_id, *(_words(row.insurance_info, key) for key in INSURANCE_KEYS))


def _parts(row: Patient, _: Lookups) -> tuple[str, ...]:
    return (INSURANCE,) if any(_words(row.insurance_info, key) for key in INSURANCE_KEYS) else ()


def _pays_alone(kind: str | None) -> bool:
    return kind is not None and kind.strip().casefold() in _SELF_PAY


def _type(values: tuple[Any, ...], _: Context) -> Node:
    if values[0] is None:
        return ABSENT
    return {**(_PAY if _pays_alone(values[0]) else {}), "text": isos.fhir_text(values[0])}


def _payor(values: tuple[Any, ...], context: Context) -> Node:
    """Name who pays: the payer, or the patient; where nobody is named, that is unknown (R4 asks for one)."""
    payer, kind, patient = values
    if payer is not None:
        return [{"display": isos.fhir_text(payer)}]
    if _pays_alone(kind):
        return [{"reference": context.lookups.reference("Patient", "patients", patient)}]
    return [{"extension": [systems.data_absent()]}]


def _profile(values: tuple[Any, ...], _: Context) -> Node:
    """Claim the profile where there is a member number: US Core wants one (us-core-15)."""
    return [f"{systems.US_CORE}us-core-coverage"] if values[0] is not None else ABSENT


def _relationship(_values: tuple[Any, ...], _context: Context) -> Node:
    """Say that nobody knows how the patient is related to the subscriber: US Core wants to know (us_core.md M4)."""
    return {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}


COVERAGE: Final = ResourceMapper(
    "Coverage",
    table="patients",
    name="patient_insurance",
    row_type=Patient,
    split=Split(_parts, _view, columns=dict.fromkeys(("type", "payer", "member_id"), "insurance_info")),
    read_only=True,
    internal_endpoint="/care/patients/{id}",
    about="One Coverage for each patient whose insurance_info says something: type, payer, memberId.",
    fields=(
        enrich(("member_id",), "meta.profile", _profile, note="US Core, where there is a member number"),
        constant("status", "active"),
        derived(("type",), "type", _type, note="in words; coded where the patient pays"),
        field("member_id", "subscriberId"),
        reference("id", "beneficiary", "Patient", "patients"),
        enrich((), "relationship", _relationship, note="unknown: no column has it"),
        derived(("payer", "type", "id"), "payor", _payor, note="unknown where nobody is named"),
    ),
)
