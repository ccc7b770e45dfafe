"""What FHIR R4 says about elements: names, data types, summary, reference targets (definitions of hl7.fhir.r4.core)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from capability.data_files import read_data

_DATA: Final[dict[str, Any]] = read_data("elements.json")
_TYPES: Final[dict[str, dict[str, str]]] = _DATA["types"]

RESOURCE_TYPES: Final[tuple[str, ...]] = tuple(_DATA["resources"])
"""Names of the 146 concrete resource types of R4, sorted."""

SUMMARY_ELEMENTS: Final[Mapping[str, tuple[str, ...]]] = {n: tuple(e) for n, e in _DATA["summary"].items()}
"""Top-level elements with `isSummary`, choices without `[x]`, of types whose structure definition is at hand."""

MANDATORY_ELEMENTS: Final[Mapping[str, tuple[str, ...]]] = {n: tuple(e) for n, e in _DATA["mandatory"].items()}
"""Top-level elements with a minimum of 1, per resource type, choice elements without `[x]`."""

REFERENCE_TARGETS: Final[Mapping[str, tuple[str, ...]]] = {p: tuple(t) for p, t in _DATA["targets"].items()}
"""Permitted target types per element path (`Observation.subject`); `Resource` stands for any."""

_IS_RESOURCE: Final = frozenset(RESOURCE_TYPES) | {"Resource", "DomainResource"}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type: its data types (several for a choice) and whether it repeats.

    `key` is the JSON property; for a choice element it lacks the type's name (`value`, then `valueQuantity`).
    """

    key: str
    datatypes: tuple[str, ...]
    repeats: bool
    choice: bool


def elements_of(type_name: str) -> Mapping[str, str]:
    """Return the own elements of a type or backbone element (`Observation.component`), as the data file spells them.

    Raises KeyError for a name that is not one.
    """
    return _TYPES[type_name]


def is_type(name: str) -> bool:
    """Say whether a name is that of a resource type, a data type or a backbone element."""
    return name in _TYPES


def element(type_name: str, name: str) -> Element | None:
    """Return an element of a type by its FHIRPath name, inherited ones included; None when there is none."""
    tables = ("Resource", "DomainResource") if type_name in _IS_RESOURCE else ("Element",)
    for table in (type_name, *tables):
        own = _TYPES.get(table, {})
        if name in own:
            kind = own[name]
            return Element(name, (kind.rstrip("*"),), repeats=kind.endswith("*"), choice=False)
        if f"{name}[x]" in own:
            return Element(name, tuple(own[f"{name}[x]"].split("|")), repeats=False, choice=True)
    return None


def _uri_keys() -> frozenset[str]:
    keys: set[str] = set()
    for own in _TYPES.values():
        for name, kind in own.items():
            if name.endswith("[x]"):
                stem = name.removesuffix("[x]")
                keys.update(f"{stem}{each[0].upper()}{each[1:]}" for each in kind.split("|") if each in URI_TYPES)
            elif kind.rstrip("*") in URI_TYPES:
                keys.add(name)
    return frozenset(keys)


URI_TYPES: Final = frozenset({"uri", "url", "oid", "uuid"})
"""Data types whose values are rewritten when they name an entry of the same transaction (http.html#trules)."""

URI_KEYS: Final = _uri_keys()
"""JSON properties that hold a value of URI_TYPES in some type; the name alone says it quickly and nearly always."""
