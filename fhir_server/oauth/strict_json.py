"""JSON objects of strangers: each name once, numbers that are numbers, text that is text (security IN-2)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn


class DuplicateName(ValueError):
    """A name is there twice: two readers may see two different things."""


def decode_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; raises ValueError for anything else, DuplicateName among it."""
    try:
        value = json.loads(
            text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
        storable = _is_storable(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 callers ask for what cannot be read
    if not storable:
        raise ValueError("text that no database takes")
    return value


def _is_storable(value: Any) -> bool:
    """Say whether no text in a value has U+0000 or half a surrogate pair."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_is_storable(name) and _is_storable(each) for name, each in value.items())
    return not isinstance(value, list) or all(map(_is_storable, value))


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateName("a name is there twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number that nothing can hold")
    return number


def _no_number(_text: str) -> NoReturn:
    raise ValueError("not a number of JSON")
