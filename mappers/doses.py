"""Amounts written as text or as JSON numbers ⇄ Quantity (FHIR R4 datatypes.html#SimpleQuantity).

Digits are kept as written. Text that is more than an amount is no amount: "0.5 mg weekly" is a dosage, not a dose.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from mappers import isos, quantities
from mappers.codes.units import ucum
from mappers.errors import Refusal
from mappers.json_values import ABSENT, Json, is_number
from mappers.nodes import Node
from mappers.quantities import Measured

_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*((?:[^\W\d_]|%)(?:[^\d(]|\([^)]*\))*)?", re.ASCII)
"""A number, then its unit: words without a further number outside brackets. "1,200", "2-3 tabs", "30 x 2" are none."""
_FORM: Final = re.compile(r"(tab|tablet|cap|capsule|pill|drop|puff|spray|patch|unit)s?", re.IGNORECASE)
_WHOLE: Final = re.compile(r"\s*\d{1,10}\s*", re.ASCII)
_LARGEST_REPEATS: Final = 2**31 - 1


def _amount(text: str) -> tuple[Json, str] | None:
    """Return the number and the unit that a text consists of, None when it is more or less than that."""
    match = _AMOUNT.fullmatch(text.strip().replace("\u03bc", "\u00b5"))
    return None if match is None else (isos.number(Decimal(match.group(1))), match.group(2) or "")


def _node(number: Json, unit: str) -> Json:
    return quantities.quantity(Measured(number), unit).value


def quantity(value: Json) -> Node:
    """Return the Quantity of a JSON column: a number, or a text of number and unit ("1 vial (10 mL)")."""
    if is_number(value):
        return {"value": isos.number(value)}
    found = _amount(value) if isinstance(value, str) else None
    return ABSENT if found is None else _node(*found)


def dose(text: str) -> Node:
    """Return the Quantity of a dose, or ABSENT: a number with a unit of amount or a form, and nothing else.

    Concentrations ("200mg/mL") and rates ("250 mcg/day") are no doses.
    """
    found = _amount(text)
    if found is None or "/" in found[1] or (ucum(found[1]) is None and _FORM.fullmatch(found[1]) is None):
        return ABSENT
    return _node(*found)


def amount_of(value: Json) -> Json:
    """Return the JSON column of a written Quantity: its number, or with a unit both as text.

    Raises Refusal for a Quantity without a number.
    """
    if not isinstance(value, dict):
        raise Refusal("is no quantity")
    number = isos.column_number(value.get("value"))
    unit = value.get("unit", value.get("code"))
    return f"{number:f} {unit}" if isinstance(unit, str) else isos.number(number)


def amount_text(value: Json) -> str | None:
    """Return a written Quantity as text, or None when it has no number."""
    try:
        return str(amount_of(value))
    except Refusal:
        return None


def repeats(value: Json) -> Node:
    """Return the whole number of a JSON column (`5`, `"5"`), or ABSENT (FHIR R4 datatypes.html#unsignedInt)."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if not is_number(value) or not 0 <= value <= _LARGEST_REPEATS or value != int(value):
        return ABSENT
    return int(value)


def repeats_of(value: Json) -> int:
    """Return the JSON column of a written number of repeats; raises Refusal for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal("is no whole number")
    return value
