"""Where an element of a resource stands, and how it is put there, replaced and taken out (FHIR R4 json.html).

A primitive value lies beside what else belongs to it (`birthDate`, `_birthDate`); of repeating ones both are lists that
are kept in step. A choice element has its type in its key (`valueQuantity`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from capability.elements import Element, element
from fhir_server.errors import BodyTooComplex

MOST_WORK: Final = 500_000
"""Values that all paths of one patch may look at together: about two seconds of a core."""
Pair = tuple[Any, Any]
"""A value and what lies beside it under the key with `_`; None for what is not there."""


class Work:
    """Counts what the paths of one patch look at: many operations on a long list shall not keep a worker busy."""

    def __init__(self) -> None:
        self._left = MOST_WORK

    def spend(self, steps: int) -> None:
        """Take note of some steps; raises BodyTooComplex."""
        self._left -= steps
        if self._left < 0:
            raise BodyTooComplex("values that its paths look at", MOST_WORK)


@dataclass(frozen=True, slots=True)
class Node:
    """One value that a path leads to. `owner` is the object that holds it under `key` (in a list: at `index`).

    Literals and computed values have no owner. `type_name` is that of a data type, a backbone element
    (`Patient.contact`) or a resource. `work` counts what is looked at below it.
    """

    value: Any
    beside: Any
    type_name: str
    owner: dict[str, Any] | None = None
    key: str = ""
    index: int | None = None
    element: Element | None = None
    work: Work | None = None

    def spend(self, steps: int = 1) -> None:
        """Take note of some steps of work; raises BodyTooComplex."""
        if self.work is not None:
            self.work.spend(steps)

    def object(self) -> dict[str, Any]:
        """Return the object that has the children of this node; that of a primitive value is made when it is not there.

        Raises TypeError for a computed value.
        """
        if isinstance(self.value, dict):
            return self.value
        if isinstance(self.beside, dict):
            return self.beside
        if self.owner is None:
            raise TypeError("a computed value has no children")
        made: dict[str, Any] = {}
        self.put((self.value, made))
        return made

    @property
    def children_type(self) -> str:
        """The type in which the elements below this node are defined."""
        return self.type_name if isinstance(self.value, dict) else "Element"

    def put(self, pair: Pair) -> None:
        """Put something else in this place; raises TypeError for a computed value."""
        if self.owner is None:
            raise TypeError("a computed value stands nowhere")
        if self.index is None:
            _put(self.owner, self.key, pair)
        else:
            pairs = pairs_at(self.owner, self.key)
            pairs[self.index] = pair
            put_pairs(self.owner, self.key, pairs)

    def remove(self) -> None:
        """Take the element out, and its list when it was the last one; raises TypeError for a computed value."""
        if self.owner is None:
            raise TypeError("a computed value stands nowhere")
        if self.index is None:
            _put(self.owner, self.key, (None, None))
        else:
            pairs = pairs_at(self.owner, self.key)
            del pairs[self.index]
            put_pairs(self.owner, self.key, pairs)


def children(node: Node, name: str) -> Iterator[Node]:
    """Yield the elements of a name below a node, none when its type has no such element; raises BodyTooComplex."""
    owner = node.value if isinstance(node.value, dict) else node.beside
    found = element(node.children_type, name) if isinstance(owner, dict) else None
    if found is None:
        return
    for key, datatype in keys_of(found):
        if found.repeats:
            pairs = pairs_at(owner, key)
            node.spend(len(pairs))
            for index, (value, beside) in enumerate(pairs):
                yield Node(value, beside, _type_of(value, datatype), owner, key, index, found, node.work)
        elif key in owner or f"_{key}" in owner:
            node.spend()
            value = owner.get(key)
            yield Node(value, owner.get(f"_{key}"), _type_of(value, datatype), owner, key, None, found, node.work)


def keys_of(found: Element) -> Iterator[tuple[str, str]]:
    """Yield the JSON keys that an element can have, each with its data type."""
    for datatype in found.datatypes:
        yield (f"{found.key}{datatype[0].upper()}{datatype[1:]}" if found.choice else found.key), datatype


def _type_of(value: Any, datatype: str) -> str:
    """Return the data type of a value; where any resource may stand, it says itself what it is."""
    own = value.get("resourceType") if isinstance(value, dict) else None
    return own if isinstance(own, str) and datatype == "Resource" else datatype


def pairs_at(owner: dict[str, Any], key: str) -> list[Pair]:
    """Return what a repeating element holds."""
    values, beside = _list(owner.get(key)), _list(owner.get(f"_{key}"))
    length = max(len(values), len(beside))
    return list(zip(_padded(values, length), _padded(beside, length), strict=True))


def put_pairs(owner: dict[str, Any], key: str, pairs: list[Pair]) -> None:
    """Put them back, in step; lists without anything are left out."""
    for name, members in ((key, [value for value, _ in pairs]), (f"_{key}", [beside for _, beside in pairs])):
        if any(each is not None for each in members):
            owner[name] = members
        else:
            owner.pop(name, None)


def _put(owner: dict[str, Any], key: str, pair: Pair) -> None:
    for name, member in zip((key, f"_{key}"), pair, strict=True):
        if member is None:
            owner.pop(name, None)
        else:
            owner[name] = member


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _padded(values: list[Any], length: int) -> list[Any]:
    return values + [None] * (length - len(values))
