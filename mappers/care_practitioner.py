"""Practitioner ⇄ `clinicians` of the care platform (mapping.md "Outside the four")."""

from __future__ import annotations

import re
from typing import Any, Final

from mappers import isos, systems
from mappers.care_rows import CareClinician
from mappers.fields import Context, derived, enrich, field, profile
from mappers.isos import Iso
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper, Shows
from mappers.lookups import Lookups
from mappers.nodes import Node, Slot, Whole

CLINICIANS: Final = "clinicians"

DEGREES: Final = {
    "MD": "Doctor of Medicine",
    "DO": "Doctor of Osteopathy",
    "NP": "Nurse Practitioner",
    "PA": "Physician Assistant",
    "RN": "Registered Nurse",
    "PHD": "Doctor of Philosophy",
}
"""Credentials that HL7's table 0360 knows, with its names for them."""

_NPI: Final = re.compile(r"[12]\d{9}")
_ISSUER: Final = "80840"
_TRUTH: Final = Iso(lambda value: value, lambda value: value)


def is_npi(text: str) -> bool:
    """Whether the text is a National Provider Identifier: ten digits, the last one a Luhn check over `80840…`."""
    return _NPI.fullmatch(text) is not None and _luhn(_ISSUER + text)


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (2 if index % 2 else 1) for index, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def credentials(text: str | None) -> list[str]:
    """Return the credentials that a column lists: `MD, PhD` are two."""
    named = (part.strip() for part in re.split(r"[,;]", text or ""))
    return [part for part in named if isos.fhir_text(part) is not ABSENT]


def clinician_words(clinician: CareClinician | None) -> str | None:
    """Return how a reference to a clinician is displayed: `Terrence Chan, MD`; None when nothing tells the name."""
    if clinician is None:
        return None
    name = " ".join(part for part in (clinician.first_name.strip(), clinician.last_name.strip()) if part)
    words = isos.fhir_text(", ".join([name, *credentials(clinician.credentials)])) if name else ABSENT
    return words if isinstance(words, str) else None


def clinician_shown(column: str = "clinician_id", of: str = "") -> Shows:
    """Return what a mapper declares that displays the clinician of a column."""
    return Shows(column, CLINICIANS, of, ("first_name", "last_name", "credentials"))


def clinician_reference(clinician_id: str, lookups: Lookups) -> Whole:
    """Return the reference to a clinician, with the name where the row is at hand; the guard is the literal alone."""
    literal = lookups.reference("Practitioner", CLINICIANS, clinician_id)
    words = clinician_words(lookups.row(CLINICIANS, clinician_id))
    return Whole({"reference": literal, "display": words} if words else {"reference": literal}, literal)


def _words(value: str | None) -> Node:
    return ABSENT if value is None else isos.fhir_text(value)


def _key(values: tuple[Any, ...], _: Context) -> Node:
    words = _words(values[0])
    return {"system": systems.CLINICIAN, "value": words} if words is not ABSENT else ABSENT


def _npi(values: tuple[Any, ...], _: Context) -> Node:
    """Show an NPI in its own system; what is none keeps its words in a system that claims nothing."""
    words = _words(values[0])
    if words is ABSENT:
        return ABSENT
    valid = is_npi(words.strip())
    return (
        {"system": systems.NPI, "value": words.strip()} if valid else {"system": systems.NPI_AS_WRITTEN, "value": words}
    )


def _license(values: tuple[Any, ...], _: Context) -> Node:
    words = _words(values[0])
    kind = {"coding": [{"system": systems.IDENTIFIER_TYPE, "code": "LN", "display": "License number"}]}
    return {"type": kind, "system": systems.CLINICIAN_LICENSE, "value": words} if words is not ABSENT else ABSENT


def _suffix(values: tuple[Any, ...], _: Context) -> Node:
    return list(map(isos.fhir_text, credentials(values[0]))) or ABSENT


def _qualification(text: str) -> Json:
    words, code = isos.fhir_text(text), text.replace(".", "").upper()
    known = {"coding": [{"system": systems.DEGREE, "code": code, "display": DEGREES[code]}]} if code in DEGREES else {}
    return {"code": {**known, "text": words}}


def _qualifications(values: tuple[Any, ...], _: Context) -> Node:
    return list(map(_qualification, credentials(values[0]))) or ABSENT


def _unknown_family(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants a family name, or the reason why there is none (us_core.md M3)."""
    return [systems.data_absent()] if _words(values[0]) is ABSENT else ABSENT


CARE_CLINICIAN: Final = ResourceMapper(
    "Practitioner",
    table=CLINICIANS,
    name="clinician",
    row_type=CareClinician,
    read_only=True,
    internal_endpoint="/care/clinicians/{id}",
    about="One Practitioner for each clinician of the care platform.",
    slots={
        "identifier": (Slot("clinician"), Slot("npi"), Slot("license")),
        "name": (Slot("official", {"use": "official"}),),
        "name.given": (Slot("first"),),
        "telecom": (
            Slot("email", {"system": "email", "use": "work"}),
            Slot("phone", {"system": "phone", "use": "work"}),
        ),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-practitioner"),
        derived(("id",), "identifier[clinician]", _key),
        derived(("npi_number",), "identifier[npi]", _npi, note="in the NPI's system only if the check digit is right"),
        derived(("license_number",), "identifier[license]", _license),
        field("is_active", "active", _TRUTH),
        field("last_name", "name[official].family"),
        enrich(("last_name",), "name[official]._family.extension", _unknown_family, note="data-absent-reason"),
        field("first_name", "name[official].given[first]"),
        derived(("credentials",), "name[official].suffix", _suffix, note="one each, parted by commas"),
        field("email", "telecom[email].value", note="at work"),
        field("phone", "telecom[phone].value", note="at work"),
        derived(("credentials",), "qualification", _qualifications, note="HL7 table 0360 where it knows the code"),
    ),
)
