"""JSON as the server handles it: plain dict and list, Decimal for every number that is not an integer.

`ABSENT` stands for "no such member", which JSON cannot say. Two values are `same` only when they are equal digit for
digit: `1.10` is not `1.1`, `1` is not `1.0`, and `true` is not `1` (FHIR R4 datatypes.html#decimal).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

Json: TypeAlias = Any
"""A JSON value; numbers are int or Decimal, never float."""


class Absent:
    """The type of `ABSENT`; falsy, equal to itself only."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()

_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def encode(value: Json) -> bytes:
    """Return compact JSON with sorted members; Decimals keep their digits."""
    return _encoder.encode(value)


def decode(data: bytes | str) -> Json:
    """Return the value of a JSON text; every number with a fraction or exponent becomes a Decimal."""
    return _decoder.decode(data)


def same(left: Json | Absent, right: Json | Absent) -> bool:
    """Whether two values are JSON-equal, digit for digit; the order of members does not count."""
    if left is right:
        return True
    if isinstance(left, str):
        return isinstance(right, str) and left == right
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and len(left) == len(right)
            and all(key in right and same(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Decimal):
        return isinstance(right, Decimal) and left.as_tuple() == right.as_tuple()
    return type(left) is type(right) and bool(left == right)


def is_number(value: Json | Absent) -> bool:
    """Whether the value is a JSON number (a boolean is not)."""
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
