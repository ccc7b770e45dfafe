"""Parts of resources: `_summary` and `_elements` (FHIR R4 search.html#summary, #elements; fhir_rest Q5, Q6, R4).

A resource of which a part is shown is tagged SUBSETTED. Only its top level is taken apart: the elements that stay are
the bytes that are stored, so that numbers keep their digits. Elements that must be there, and those that change the
meaning of others, always stay. Of types whose structure definition is not at hand nobody here knows the summary
elements: their summary is everything but what is no summary element in any type (`text`, `contained`, `extension`,
`language`), which R4 permits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from capability.elements import MANDATORY_ELEMENTS, elements_of
from capability.subsets import modifier_elements, summary_elements
from fhir_server.errors import InvalidParameter
from storage.resources import Version

SUBSETTED: Final[Mapping[str, str]] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
"""The tag of a resource of which a part is shown."""
NAMES: Final = frozenset({"_summary", "_elements"})

_TAG: Final = msgspec.json.encode({**SUBSETTED, "display": "subsetted"})
_ALWAYS: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
_OF_EVERY_TYPE: Final = ("id", "meta", "implicitRules", "language")
_OF_DOMAIN_RESOURCES: Final = ("text", "contained", "extension", "modifierExtension")
_NOT_OF_DOMAIN: Final = frozenset({"Binary", "Bundle", "Parameters"})
_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_tags: Final = msgspec.json.Decoder(list[dict[str, Any]]).decode
_encode: Final = msgspec.json.encode


class Summary(StrEnum):
    """The values of `_summary` that ask for a part of each resource."""

    TRUE = "true"
    TEXT = "text"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Subset:
    """Which part is asked for: a summary, or else these top-level elements."""

    summary: Summary | None = None
    elements: frozenset[str] = frozenset()


def summary_of(value: str) -> Subset | None:
    """Return what `_summary` asks for, None for whole resources; raises ValueError for what it cannot be."""
    return None if value == "false" else Subset(Summary(value))


def elements_asked(value: str) -> Subset:
    """Return what `_elements` asks for: names of top-level elements, separated by commas."""
    return Subset(elements=frozenset(name.strip() for name in value.split(",") if name.strip()))


def asked_subset(pairs: Sequence[tuple[str, str]]) -> Subset | None:
    """Return the part that a read or a history asks for, None for whole resources.

    Raises InvalidParameter.
    """
    found: Subset | None = None
    for name, value in pairs:
        if name not in NAMES or not value:
            continue
        try:
            found = joined(found, summary_of(value) if name == "_summary" else elements_asked(value))
        except ValueError:
            raise InvalidParameter(name, "give _elements, or _summary once: true, text, data or false") from None
    return found


def joined(found: Subset | None, more: Subset | None) -> Subset | None:
    """Return what two parameters ask for together; raises ValueError where they ask for different parts."""
    if found is None or more is None:
        return found or more
    if found.summary is not None or more.summary is not None:
        raise ValueError("give _summary or _elements, and _summary once")
    return Subset(elements=found.elements | more.elements)


def subset(resource_type: str, body: bytes, asked: Subset) -> bytes:
    """Return the part of a resource that is asked for, tagged."""
    names = asked.elements & _names_of(resource_type) if asked.elements else asked.elements
    kept = _keys(resource_type, Subset(asked.summary, names))
    whole = _decode(body)
    part = {key: value for key, value in whole.items() if key in kept}
    meta = _decode(whole["meta"]) if "meta" in whole else {}
    meta["tag"] = _with_tag(meta.get("tag"))
    part["meta"] = msgspec.Raw(_encode(meta))
    return _encode(part)


def subset_versions(versions: Sequence[Version], asked: Subset | None) -> list[Version]:
    """Return versions as they are shown; deletions, and all when no part is asked for, stay as they are."""
    if asked is None:
        return list(versions)
    return [
        replace(each, body=subset(each.key.resource_type, each.body, asked)) if each.body and not each.deleted else each
        for each in versions
    ]


def is_subsetted(resource: Mapping[str, Any]) -> bool:
    """Say whether a resource that a client sends is a part of one: to store it would lose the rest (Q6)."""
    meta = resource.get("meta")
    tags = meta.get("tag") if isinstance(meta, Mapping) else None
    return isinstance(tags, list) and any(isinstance(tag, Mapping) and SUBSETTED.items() <= tag.items() for tag in tags)


def _with_tag(tags: msgspec.Raw | None) -> msgspec.Raw:
    """Return the tags with the mark, once."""
    stored = bytes(tags).strip() if tags is not None else b"[]"
    present = _decode_tags(stored)
    if any(SUBSETTED.items() <= tag.items() for tag in present):
        return msgspec.Raw(stored)
    return msgspec.Raw(b"".join((stored[:-1], b"," if present else b"", _TAG, b"]")))


@lru_cache(maxsize=256)
def _elements(resource_type: str) -> Mapping[str, str]:
    """Return the element that each JSON property of a resource belongs to."""
    found: dict[str, str] = {}
    own = _OF_EVERY_TYPE if resource_type in _NOT_OF_DOMAIN else (*_OF_EVERY_TYPE, *_OF_DOMAIN_RESOURCES)
    found.update((name, name) for name in own)
    for name, kind in elements_of(resource_type).items():
        stem = name.removesuffix("[x]")
        types = [f"{each[:1].upper()}{each[1:]}" for each in kind.split("|")] if name.endswith("[x]") else [""]
        found.update((f"{stem}{each}", stem) for each in types)
    return found | {f"_{key}": element for key, element in found.items()}


@lru_cache(maxsize=256)
def _names_of(resource_type: str) -> frozenset[str]:
    return frozenset(_elements(resource_type).values())


@lru_cache(maxsize=1024)
def _keys(resource_type: str, asked: Subset) -> frozenset[str]:
    """Return the JSON properties that stay."""
    required = _ALWAYS | {*MANDATORY_ELEMENTS.get(resource_type, ()), *modifier_elements(resource_type)}
    every = _names_of(resource_type)
    match asked.summary:
        case Summary.TRUE:
            wanted = summary_elements(resource_type)
            names = required | (every - NO_SUMMARY if wanted is None else {*wanted})
        case Summary.TEXT:
            names = required | {"text"}
        case Summary.DATA:
            names = every - {"text"}
        case None:
            names = required | asked.elements
    return frozenset(key for key, element in _elements(resource_type).items() if element in names) | {"resourceType"}


NO_SUMMARY: Final = frozenset({"text", "contained", "extension", "language"})
"""Elements of every resource that are in no summary (DomainResource, Resource)."""
