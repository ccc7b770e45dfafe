"""What no index row says, read from the bodies themselves: texts, systems, and what tokens and references sort by.

Rows for these would cost disk with every resource and answer what is seldom asked (docs/decisions/0014). The elements
are those of the parameter's own expression, one step further; PostgreSQL follows them in the language of SQL/JSON, for
SQLite `body_values` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import cache
from typing import Any, Final

from capability.search_parameters import SearchParameter, SearchType, find
from storage.codec import decode
from storage.projection.coverage import variants
from storage.projection.paths import Condition, Path, Step, compile_paths
from storage.search.values import fold


class BodyPart(StrEnum):
    """What is read of the values of a parameter."""

    TEXT = "text"
    """What people read: the text of a concept, the display of a coding, the text of an identifier's type."""
    SYSTEM = "system"
    """Systems of codings, identifiers and contact points."""
    IDENTIFIER_SYSTEM = "identifier system"
    """Systems of the identifiers that references carry."""
    ORDER = "order"
    """Codes, values of identifiers, references as they are written."""


_PLAIN: Final = ((),)
_CHILDREN: Final[Mapping[BodyPart, Mapping[str, tuple[tuple[str, ...], ...]]]] = {
    BodyPart.TEXT: {
        "CodeableConcept": (("text",), ("coding", "display")),
        "Coding": (("display",),),
        "Identifier": (("type", "text"),),
    },
    BodyPart.SYSTEM: {
        "CodeableConcept": (("coding", "system"),),
        "Coding": (("system",),),
        "Identifier": (("system",),),
        "ContactPoint": (("system",),),
    },
    BodyPart.IDENTIFIER_SYSTEM: {"Reference": (("identifier", "system"),)},
    BodyPart.ORDER: {
        "CodeableConcept": (("coding", "code"),),
        "Coding": (("code",),),
        "Identifier": (("value",),),
        "ContactPoint": (("value",),),
        "Reference": (("reference",),),
        **dict.fromkeys(("code", "string", "boolean", "id", "canonical"), _PLAIN),
    },
}
"""From the data type of a value to the elements below it; a type that is not named has nothing of the kind."""

LONGEST_ORDER: Final = 200
"""Characters that resources are put in order by."""

_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@cache
def body_paths(resource_type: str, code: str, part: BodyPart) -> tuple[Path | Condition, ...]:
    """Return the ways to a part of a parameter's values; empty when its data types have nothing of the kind."""
    found: list[Path | Condition] = []
    for parameter in _parameters(resource_type, code):
        for path in compile_paths(resource_type, parameter.expression):
            for names in _CHILDREN[part].get(path.datatype, ()):
                if isinstance(path, Condition):
                    found.append(path)
                else:
                    steps = tuple(Step(name, repeats=name == "coding") for name in names)
                    found.append(replace(path, steps=(*path.steps, *steps)))
    return tuple(found)


def has_part(parameter: SearchParameter, part: BodyPart) -> bool:
    """Say whether values of a parameter have such a part at all."""
    return bool(body_paths(parameter.resource_type, parameter.code, part))


def is_ordered_by_body(parameter: SearchParameter) -> bool:
    """Say whether resources are sorted by what their bodies say: of such a parameter the index holds hashes."""
    return parameter.type in {SearchType.TOKEN, SearchType.REFERENCE} and has_part(parameter, BodyPart.ORDER)


def body_values(body: bytes, resource_type: str, code: str, part: BodyPart) -> list[str]:
    """Return a part of a parameter's values; truths are `true` and `false`. A deleted resource has none."""
    resource = decode(body) if body else {}
    found = [value for path in body_paths(resource_type, code, part) for value in path.values(resource)]
    return [str(value).lower() if isinstance(value, bool) else value for value in found]


def sorted_form(value: str, *, exact: bool) -> str:
    """Return what a value is sorted as: without regard to the case of A to Z unless `exact`, cut to LONGEST_ORDER."""
    return (value if exact else value.translate(_LOWER))[:LONGEST_ORDER]


# --- as functions of SQLite -------------------------------------------------------------------------------------------

SEPARATOR: Final = " "


def body_name(resource_type: str, code: str, part: BodyPart) -> str:
    """Return the name by which the functions of SQLite know a part of a parameter's values."""
    return SEPARATOR.join((resource_type, code, part))


def _named_values(body: bytes, name: str) -> list[str]:
    resource_type, code, part = name.split(SEPARATOR, 2)
    return body_values(body, resource_type, code, BodyPart(part))


def _starts(body: bytes, name: str, beginnings: str) -> bool:
    asked = tuple(decode(beginnings.encode()))
    return any(fold(value).startswith(asked) for value in _named_values(body, name))


def _is(body: bytes, name: str, wanted: str) -> bool:
    return not set(decode(wanted.encode())).isdisjoint(_named_values(body, name))


def _extreme(choose: Callable[[list[str]], str], *, exact: bool) -> Callable[[bytes, str], str | None]:
    def function(body: bytes, name: str) -> str | None:
        values = [sorted_form(value, exact=exact) for value in _named_values(body, name)]
        return choose(values) if values else None

    return function


BODY_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "fhir_body_starts": _starts,
    "fhir_body_is": _is,
    "fhir_body_lowest": _extreme(min, exact=False),
    "fhir_body_highest": _extreme(max, exact=False),
    "fhir_body_lowest_exact": _extreme(min, exact=True),
    "fhir_body_highest_exact": _extreme(max, exact=True),
}
"""By the name that statements call them by."""


def _parameters(resource_type: str, code: str) -> list[SearchParameter]:
    found = [find(resource_type, each) for each in variants(resource_type, code)]
    return [parameter for parameter in found if parameter is not None]
