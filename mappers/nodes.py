"""What a mapper renders before the residual is merged in: JSON with a little knowledge about its parts.

- a dict is compared member by member;
- `Whole` is a datatype that only makes sense in one piece (a Quantity, a Reference, a CodeableConcept, a Dosage): a
  value of one column beside the unit of another writer would be a lie, so it is replaced as a whole or not at all;
- `Slots` is a list whose elements have names, so that an element keeps its identity when its neighbours come and go;
- anything else, a plain list included, is compared as one value.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from mappers.json_values import ABSENT, Absent, Json, encode

Node: TypeAlias = Any
"""A dict of nodes, a `Whole`, a `Slots`, or plain JSON."""

_LONGEST_PLAIN_GUARD: Final = 24


@dataclass(frozen=True, slots=True)
class Whole:
    """A value replaced as a whole; `guard` says which column value it shows (display names left out)."""

    value: Json
    guard: Json


def _anything(_: Json) -> bool:
    return True


def _nothing(_: Json) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one element (or, when `many`, of several) in a list.

    `pattern` are members that an element of this slot has, and is rendered with; `accepts` narrows that down (no
    telecom of use `old`). Where no element fits, the first one that `otherwise` accepts is taken for it
    (`Patient.name` without a use).
    """

    name: str
    pattern: Mapping[str, Json] = field(default_factory=dict)
    many: bool = False
    accepts: Callable[[Json], bool] = _anything
    otherwise: Callable[[Json], bool] = _nothing

    def fits(self, element: Json) -> bool:
        """Whether a written element has the slot's members."""
        if self.pattern and not (isinstance(element, dict) and contains(element, self.pattern)):
            return False
        return self.accepts(element)


@dataclass(frozen=True, slots=True)
class Slots:
    """A rendered list: its elements by key, in order, and the slot that each key belongs to."""

    items: dict[str, Node] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)

    def add(self, key: str, node: Node, slot: Slot) -> None:
        """Put an element at the end."""
        self.items[key] = node
        self.slots[key] = slot


def contains(element: Json, pattern: Json) -> bool:
    """Whether every leaf of `pattern` occurs in `element` at the same place (lists by position)."""
    if isinstance(pattern, Mapping):
        return isinstance(element, dict) and all(k in element and contains(element[k], v) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(element, list) and len(element) >= len(pattern) and all(map(contains, element, pattern))
    return bool(element == pattern)


def plain(node: Node) -> Json:
    """Return the node as plain JSON."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, Whole):
        return node.value
    if isinstance(node, Slots):
        return [plain(value) for value in node.items.values()]
    return node


def guarded(node: Node) -> Json:
    """Return what the node shows of its columns: like `plain`, with each `Whole` replaced by its guard."""
    if isinstance(node, dict):
        return {key: guarded(value) for key, value in node.items()}
    if isinstance(node, Whole):
        return node.guard
    if isinstance(node, Slots):
        return {key: guarded(value) for key, value in node.items.items()}
    return node


def guard(node: Node | Absent) -> str:
    """Return a short text that is equal for equal column values: "" for ABSENT, the JSON, or a digest of long JSON."""
    if node is ABSENT:
        return ""
    text = encode(guarded(node))
    if len(text) <= _LONGEST_PLAIN_GUARD:
        return text.decode()
    digest = hashlib.blake2b(text, digest_size=9).digest()
    return "#" + base64.urlsafe_b64encode(digest).decode()
