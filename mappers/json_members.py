"""The members that mappers know of JSON columns, so that what other writers add to them is noticed (drift).

A specification says what is below a place: a dict names the members of an object, `EACH` in it stands for members of
any name, a list with one item for the elements of a list, and `LEAF` for what is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from mappers.coverage import INSURANCE_KEYS
from mappers.emergency_contact import CONTACT_KEYS
from mappers.json_values import Json

Specification: TypeAlias = Any
"""A dict, a list with one item, or LEAF."""

EACH: Final = "*"
LEAF: Final = None

BIOMARKER: Final[Specification] = {
    "value": LEAF,
    "unit": LEAF,
    "code": LEAF,
    "status": LEAF,
    "referenceRange": {"min": LEAF, "max": LEAF, "text": LEAF},
    "note": LEAF,
}
COMPOUND: Final[Specification] = dict.fromkeys(
    ("name", "dosage", "unit", "frequency", "schedule", "route", "code", "notes", "cycle", "titration"), LEAF
)

MEMBERS: Final[Mapping[tuple[str, str], Specification]] = {
    ("lab_results", "biomarkers"): {EACH: BIOMARKER},
    ("protocols", "compounds"): [COMPOUND],
    ("patients", "emergency_contact"): dict.fromkeys(CONTACT_KEYS, LEAF),
    ("patients", "insurance_info"): dict.fromkeys(INSURANCE_KEYS, LEAF),
    ("profile_fhir_resources_clean", "sources"): [{"provider": LEAF, "raw_id": LEAF}],
}
"""Table and column → what is known of it: what mappers read, and what is known to stay internal (a biomarker's note, a
compound's cycle and titration). A column that is not here is shown as a whole, or not at all."""


def unknown_members(value: Json, specification: Specification, place: str = "") -> Iterator[str]:
    """Yield the places of members that a specification does not name, such as `*.referenceRange.critical`."""
    if isinstance(specification, dict) and isinstance(value, dict):
        for name, item in value.items():
            known = name if name in specification else EACH
            if known in specification:
                yield from unknown_members(item, specification[known], f"{place}.{known}".lstrip("."))
            else:
                yield f"{place}.{name}".lstrip(".")
    elif isinstance(specification, list) and isinstance(value, list):
        for item in value:
            yield from unknown_members(item, specification[0], f"{place}[]")
