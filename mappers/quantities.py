"""Quantities: a number and a unit as written, with the UCUM code where known (FHIR R4 datatypes.html#Quantity)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final, NamedTuple

from mappers import isos, systems
from mappers.codes.units import ucum
from mappers.errors import Refusal
from mappers.json_values import ABSENT, Json, is_number
from mappers.nodes import Whole

_READ: Final = re.compile(r"\s*(<=|>=|<|>)?\s*(-?(?:0|[1-9]\d*)(?:\.\d+)?)\s*")


class Measured(NamedTuple):
    """A number with its comparator, as a lab writes it."""

    number: Json
    comparator: str | None = None


def read_number(value: Json) -> Measured | None:
    """Return the number that a JSON number or a text such as `"22.0"` or `"<5.0"` says, or None.

    What could be read in two ways (`"9,8"`, `"1,200"`) is no number, nor is one of more digits than a column keeps.
    """
    match = _READ.fullmatch(value) if isinstance(value, str) else None
    written = match[2] if match else value
    if not match and not is_number(value):
        return None
    try:
        return Measured(isos.number(isos.column_number(Decimal(written))), match[1] if match else None)
    except Refusal:
        return None


def quantity(measured: Measured, unit: str | None) -> Whole:
    """Return a Quantity; one number in another unit is another quantity, hence one piece."""
    value: dict[str, Json] = {"value": measured.number}
    if measured.comparator:
        value["comparator"] = measured.comparator
    words = ABSENT if unit is None else isos.fhir_text(unit)
    if words is not ABSENT:
        value["unit"] = words
    code = ucum(unit)
    if code is not None:
        value |= {"system": systems.UCUM, "code": code}
    return Whole(value, [measured.number, measured.comparator, unit])


def quantity_unit(value: Json, current: str | None = None) -> str | None:
    """Return the unit that a written Quantity gives a unit column, None where it has none.

    The unit in words where it says the same as the code (or there is no code), else the code; the current unit where
    that says the same.
    """
    words, code = value.get("unit"), value.get("code")
    if value.get("system") != systems.UCUM or not isinstance(code, str):
        return words if isinstance(words, str) else None
    if current is not None and ucum(current) == code:
        return current
    return words if isinstance(words, str) and ucum(words) == code else code


def plain_number(value: Json) -> Decimal:
    """Return the number of a written Quantity that a numeric column can hold; raises Refusal for any other."""
    if not isinstance(value, dict) or "value" not in value:
        raise Refusal("has no value", final=True)
    if "comparator" in value:
        raise Refusal("has a comparator", final=True)
    return isos.column_number(value["value"])
