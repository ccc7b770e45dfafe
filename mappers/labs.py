"""One biomarker of `lab_results.biomarkers`, as the mappers of Observation and DiagnosticReport see it.

`{key: {value, unit, code?, referenceRange?{min, max, text}, status?, note?, …}}`; members that nobody knows stay.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from mappers import isos, systems
from mappers.codes.biomarkers import BIOMARKERS
from mappers.codes.code import Code
from mappers.codes.units import same_kind, ucum
from mappers.json_values import Json
from mappers.lens import Split
from mappers.nodes import Node, Whole
from mappers.rows import LabResult

LAB_RESULTS: Final = "lab_results"
_LOINC: Final = re.compile(r"(?:LOINC:)?(\d{1,7})-(\d)", re.IGNORECASE)
_MEMBERS: Final = {
    "value": "value",
    "unit": "unit",
    "code": "code",
    "reference_range": "referenceRange",
    "flag": "status",
    "note": "note",
}
"""Attribute of the view → member of the biomarker's JSON."""


@dataclass(frozen=True, slots=True)
class LabValue:
    """One biomarker, and what it shares with the others of its report."""

    key: str
    customer_id: str
    report_status: str
    lab_date: str | None
    lab_day: date | None
    provider: str | None
    value: Json = None
    unit: Json = None
    code: Json = None
    reference_range: Json = None
    flag: Json = None
    note: Json = None


def biomarker_keys(row: LabResult) -> tuple[str, ...]:
    """Return the part keys of a report: its biomarkers, sorted, since databases do not keep the order of members."""
    return tuple(sorted(row.biomarkers)) if isinstance(row.biomarkers, dict) else ()


def lab_value(row: LabResult, key: str) -> LabValue:
    """Return one biomarker; one that is no object is taken for its value."""
    entry = row.biomarkers[key]
    members = entry if isinstance(entry, dict) else {"value": entry}
    return LabValue(
        key,
        row.customer_id,
        row.status,
        row.lab_date,
        row.lab_day,
        row.provider,
        **{attribute: members.get(member) for attribute, member in _MEMBERS.items()},
    )


def with_lab_value(row: LabResult, key: str, view: LabValue) -> LabResult:
    """Return the row with one biomarker changed; columns that biomarkers share are not written here (settled §1.9)."""
    before, entry = lab_value(row, key), row.biomarkers[key]
    members = dict(entry) if isinstance(entry, dict) else {"value": entry}
    for attribute, member in _MEMBERS.items():
        now = getattr(view, attribute)
        if now is not getattr(before, attribute):
            members[member] = now
            if now is None and member != "value":
                del members[member]
    return dataclasses.replace(row, biomarkers={**row.biomarkers, key: members})


def without_lab_value(row: LabResult, key: str) -> LabResult:
    """Return the row without one biomarker."""
    return dataclasses.replace(row, biomarkers={name: value for name, value in row.biomarkers.items() if name != key})


BIOMARKERS_OF: Final = Split(
    lambda row, _: biomarker_keys(row),
    lab_value,
    with_lab_value,
    without_lab_value,
    columns={**dict.fromkeys(["key", *_MEMBERS], "biomarkers"), "report_status": "status"},
)


def biomarker_key(concept: Json) -> str | None:
    """Return the key of a written code: this server's own, else the table's of its LOINC code, else its words."""
    codings = concept.get("coding", [])
    for coding in codings:
        if coding.get("system") == systems.BIOMARKER and isinstance(coding.get("code"), str):
            return str(coding["code"])
    for coding in codings:
        if coding.get("system") == systems.LOINC and coding.get("code") in _KEYS:
            return _KEYS[coding["code"]]
    words = [concept.get("text"), *(coding.get("display") for coding in codings)]
    return next((word for word in words if isinstance(word, str)), None)


def is_loinc(code: str) -> str | None:
    """Return the LOINC number of a code such as `LOINC:2986-8` or `2986-8`; None where the check digit is wrong."""
    match = _LOINC.fullmatch(code.strip())
    if match is None:
        return None
    digits, check = match.groups()
    doubled = "".join(str(int(digit) * (2 if place % 2 == 0 else 1)) for place, digit in enumerate(reversed(digits)))
    return f"{digits}-{check}" if (10 - sum(map(int, doubled)) % 10) % 10 == int(check) else None


def loinc_of(view: LabValue) -> Code | None:
    """Return the LOINC code of a biomarker: its own, else the table's where the unit is of the code's kind."""
    known = BIOMARKERS.get(view.key)
    own = is_loinc(view.code) if isinstance(view.code, str) else None
    if own is not None:
        display = known.code.display if known is not None and known.code is not None and known.code.code == own else ""
        return Code(own, display or _DISPLAYS.get(own, ""))
    if known is None or known.code is None:
        return None
    unit = view.unit if isinstance(view.unit, str) and view.unit.strip() else None
    return known.code if unit is None or same_kind(ucum(unit), known.ucum) else None


_KEYS: Final = {entry.code.code: key for key, entry in BIOMARKERS.items() if entry.code is not None}
_DISPLAYS: Final = {entry.code.code: entry.code.display for entry in BIOMARKERS.values() if entry.code is not None}


def biomarker_code(view: LabValue, bare: bool) -> Node:
    """Return the code of a biomarker: LOINC where known, this server's own code, and the key in words."""
    loinc = loinc_of(view)
    codings: list[Json] = []
    if loinc is not None:
        coding = {"system": systems.LOINC, "code": loinc.code}
        codings.append({**coding, "display": loinc.display} if loinc.display else coding)
    if isos.is_code(view.key) and not (bare and codings):
        codings.append({"system": systems.BIOMARKER, "code": view.key})
    value: dict[str, Any] = {"coding": codings} if codings else {}
    words = isos.fhir_text(view.key)
    value["text"] = words or "unnamed"
    return Whole(value, [view.key, loinc.code if loinc else None])
