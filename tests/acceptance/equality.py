"""When what a server gives back is what was sent: digit for digit, apart from what the server assigns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

Json = Any
ASSIGNED_META = ("versionId", "lastUpdated")


class Number(NamedTuple):
    """A JSON number: equal to another only when sign, digits and exponent are; `1.10` is not `1.1`, nor 1 true."""

    sign: int
    digits: tuple[int, ...]
    exponent: int | str


def exact(text: str | bytes) -> Json:
    """Return a JSON value whose numbers keep every digit."""
    return json.loads(text, parse_float=_number, parse_int=_number)


def _number(text: str) -> Number:
    return Number(*Decimal(text).as_tuple())


def content(resource: Json) -> Json:
    """Return a resource without what the server assigns: its id, version and time."""
    rest = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in ASSIGNED_META}
    return {**rest, "meta": meta} if meta else rest


def differences(expected: Json, found: Json, path: str = "") -> Iterator[str]:
    """Yield the places where two values differ, for messages."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in {**expected, **found}:
            if name not in expected or name not in found:
                yield f"{path}.{name}: {'missing' if name in expected else 'added'}"
            else:
                yield from differences(expected[name], found[name], f"{path}.{name}")
    elif type(expected) is list and type(found) is list and len(expected) == len(found):
        for position, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from differences(one, other, f"{path}[{position}]")
    elif expected != found:
        yield f"{path}: {str(expected)[:80]} became {str(found)[:80]}"
