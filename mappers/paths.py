"""Places in a resource: `name[official].given[first]` names an element, and which slot of a list it stands in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import quote

from mappers.errors import MappingError
from mappers.json_values import ABSENT, Absent, Json
from mappers.nodes import Node, Slot, Slots, contains, plain

_STEP: Final = re.compile(r"(_?\w+)(?:\[(\w+)\])?")


@dataclass(frozen=True, slots=True)
class Step:
    """An element, and the slot meant where it is a list with slots."""

    element: str
    slot: Slot | None = None


ROOT: Final = "*"
"""The path of a whole resource: a column that holds every element of it."""
Steps: TypeAlias = tuple[Step, ...]
SlotTable: TypeAlias = Mapping[str, tuple[Slot, ...]]
"""The slots of each list, by the list's path without slot names: `name.given`."""


def steps(path: str, slots: SlotTable) -> Steps:
    """Return the steps of a path, none for ROOT; raises MappingError for a slot that `slots` does not declare."""
    if path == ROOT:
        return ()
    out: list[Step] = []
    for piece in path.split("."):
        match = _STEP.fullmatch(piece)
        if match is None:
            raise MappingError("is not a path", path)
        element, name = match.groups()
        if name is None:
            out.append(Step(element))
            continue
        owner = ".".join([*(step.element for step in out), element])
        slot = next((slot for slot in slots.get(owner, ()) if slot.name == name), None)
        if slot is None:
            raise MappingError(f"slot {name} is not declared for {owner}", path)
        out.append(Step(element, slot))
    return tuple(out)


def put(base: dict[str, Node], place: Steps, node: Node) -> list[tuple[str, ...]]:
    """Put a node into a rendering and return the key paths it went to (several for a `many` slot or a whole one)."""
    if not place:
        base.update(node)
        return [(element,) for element in node]
    here: tuple[str, ...] = ()
    container = base
    for step in place[:-1]:
        here = (*here, step.element)
        if step.slot is None:
            container = container.setdefault(step.element, {})
            continue
        slots: Slots = container.setdefault(step.element, Slots())
        if step.slot.name not in slots.items:
            slots.add(step.slot.name, dict(step.slot.pattern), step.slot)
        here = (*here, step.slot.name)
        container = slots.items[step.slot.name]
    last = place[-1]
    if last.slot is None:
        container[last.element] = node
        return [(*here, last.element)]
    slots = container.setdefault(last.element, Slots())
    named = _named(last.slot.name, node) if last.slot.many else [(last.slot.name, node)]
    for key, item in named:
        slots.add(key, item, last.slot)
    return [(*here, last.element, key) for key, _ in named]


def _named(slot: str, nodes: list[Node] | dict[str, Node]) -> list[tuple[str, Node]]:
    """Return the elements of a `many` slot by key: the keys that a dict gives them, or their positions."""
    keys = map(_key, nodes) if isinstance(nodes, dict) else map(str, range(len(nodes)))
    items = nodes.values() if isinstance(nodes, dict) else nodes
    return [(f"{slot}:{key}", item) for key, item in zip(keys, items, strict=True)]


def _key(name: str) -> str:
    """Return a key without the characters that separate the steps of a stored path."""
    return quote(name, safe=" ")


def is_open(place: Steps) -> bool:
    """Whether a place is a list of the resource itself with a slot for any number of elements.

    Such a list is there even while the slot is empty: what a client wrote there stays beside elements that come later.
    """
    return len(place) == 1 and place[0].slot is not None and place[0].slot.many


def take(resource: Json, place: Steps, shown: Node | Absent = ABSENT) -> Json | Absent:
    """Return what a written resource has at a place, or ABSENT; a list of elements for a `many` slot.

    `shown` is the rendering of the row as it is: of several elements that fit a slot, the one that repeats what the
    slot shows is meant.
    """
    value = resource
    for step in place:
        value = value.get(step.element, ABSENT) if isinstance(value, dict) else ABSENT
        shown = shown.get(step.element, ABSENT) if isinstance(shown, dict) else ABSENT
        if value is ABSENT:
            return ABSENT
        if step.slot is None:
            continue
        if not isinstance(value, list):
            return ABSENT
        known = shown if isinstance(shown, Slots) else _NO_SLOTS
        free = _free(value, step.slot, known)
        if step.slot.many:
            return [element for element in free if step.slot.fits(element)] or ABSENT
        shown = known.items.get(step.slot.name, ABSENT)
        value = _chosen(free, step.slot, shown)
    return value


_NO_SLOTS: Final = Slots()


def _free(elements: list[Json], slot: Slot, shown: Slots) -> list[Json]:
    """Return the elements that do not just repeat what another slot shows."""
    others = [plain(node) for key, node in shown.items.items() if shown.slots[key].name != slot.name]
    return [element for element in elements if not any(contains(element, other) for other in others)]


def _chosen(elements: list[Json], slot: Slot, shown: Node | Absent) -> Json | Absent:
    if shown is not ABSENT:
        pattern = plain(shown)
        for element in elements:
            if contains(element, pattern):
                return element
    for test in (slot.fits, slot.otherwise):
        for element in elements:
            if test(element):
                return element
    return ABSENT


def shown_at(base: Node, place: Steps) -> Json | Absent:
    """Return what a rendering shows at a place, as `take` would read it from the plain resource."""
    value = base
    for step in place:
        value = value.get(step.element, ABSENT) if isinstance(value, dict) else ABSENT
        if step.slot is None or value is ABSENT:
            continue
        if not isinstance(value, Slots):
            return ABSENT
        if step.slot.many:
            name = step.slot.name
            return [plain(node) for key, node in value.items.items() if key.split(":")[0] == name] or ABSENT
        value = value.items.get(step.slot.name, ABSENT)
    return plain(value)
