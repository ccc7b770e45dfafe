"""What no column holds of a resource that came through FHIR (settled §1.2).

A residual is made once, by comparing the written resource with what its row renders (`difference`), and merged back
on every later rendering (`merged`). Each entry carries a guard: what the columns showed at its place when it was
written. While they still show that, the entry's literal (or absence) is shown; once another writer has changed them,
the columns win. That one device covers partial dates, dropped elements, exponents and extensions of primitives.

The smallest unit that is guarded:

- a member of an object, with its primitive extension (`birthDate` and `_birthDate` go together);
- a datatype that the mapper renders as `Whole`;
- an element of a list with named slots, wherever it stands in the list; elements that no column renders are kept at
  their place for good;
- `text` (a narrative, a name's or address's text) with everything beside it, since it repeats that in words;
- members that the mapper declares to belong together (all of `value[x]`, an interpretation of it, …).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from mappers.json_values import ABSENT, Absent, Json, same
from mappers.nodes import Node, Slots, contains, guard, plain

ARRANGEMENT: Final = "[]"
"""The last step of an entry that says in which order a list's slots and its other elements stand."""

Path: TypeAlias = tuple[str, ...]
Place: TypeAlias = tuple[str | int, ...]
Origin: TypeAlias = Callable[[Place, Path | None], None]
"""Told, for each piece of the merged resource, where in the rendering it came from; None for the residual."""


@dataclass(frozen=True, slots=True)
class ResidualEntry:
    """One literal, or one absence, at a place: element names and slot keys from the root.

    An entry whose path ends in `[]` arranges a list: its literal holds `[key]` for a slot and other elements as they
    were written.
    """

    path: Path
    literal: Json | Absent
    guard: str


@dataclass(frozen=True, slots=True)
class Residual:
    """The entries of one resource; `bare` when its last FHIR writer left the enrichment out (settled §1.1)."""

    entries: tuple[ResidualEntry, ...] = ()
    bare: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries) or self.bare

    def to_json(self) -> Json:
        """Return a JSON value (Decimals in literals included) for `from_json`; None for an empty residual."""
        if not self:
            return None
        entries = [
            ["/".join(entry.path), entry.guard]
            if entry.literal is ABSENT
            else ["/".join(entry.path), entry.guard, entry.literal]
            for entry in self.entries
        ]
        return {"bare": entries} if self.bare else {"full": entries}

    @staticmethod
    def from_json(value: Json) -> Residual:
        """Return the residual that `to_json` wrote."""
        if value is None:
            return NOTHING
        bare = "bare" in value
        return Residual(
            tuple(
                ResidualEntry(tuple(item[0].split("/")), item[2] if len(item) > 2 else ABSENT, item[1])
                for item in value["bare" if bare else "full"]
            ),
            bare,
        )


NOTHING: Final = Residual()


@dataclass(frozen=True, slots=True)
class Groups:
    """Which members of the resource are guarded together: a member's name starts with one of a group's prefixes."""

    prefixes: tuple[tuple[str, ...], ...] = ()

    def of(self, name: str, top: bool) -> tuple[str, ...] | None:
        """Return the prefixes of the group of a member of the resource itself, or None."""
        if top:
            for group in self.prefixes:
                if name.lstrip("_").startswith(group):
                    return group
        return None


def _member_guard(members: Mapping[str, Node], name: str, groups: Groups, top: bool) -> str:
    """Return the guard of one member of a rendered object."""
    if name in {"text", "_text"}:
        return guard({k: v for k, v in members.items() if k not in {"text", "_text"}})
    group = groups.of(name, top)
    if group is not None:
        return guard({k: v for k, v in members.items() if k.lstrip("_").startswith(group)})
    base = name.removeprefix("_")
    if f"_{base}" in members:
        return guard({base: members.get(base), f"_{base}": members[f"_{base}"]})
    return guard(members.get(base, ABSENT))


def _alone(name: str, groups: Groups, top: bool) -> bool:
    """Whether a member may be compared piece by piece."""
    return name != "text" and groups.of(name, top) is None


def difference(base: Node, target: Json, groups: Groups) -> tuple[ResidualEntry, ...]:
    """Return the entries that turn the rendered resource into the written one."""
    out: list[ResidualEntry] = []
    _compare(base, target, (), groups, out)
    return tuple(out)


def difference_below(base: Node, target: Json, path: Path, groups: Groups) -> tuple[ResidualEntry, ...]:
    """Return the entries that turn one rendered object into the written one, member by member."""
    out: list[ResidualEntry] = []
    _compare_members(base if isinstance(base, dict) else {}, target, path, groups, out)
    return tuple(out)


def _compare(base: Node, target: Json, path: Path, groups: Groups, out: list[ResidualEntry]) -> None:
    if isinstance(base, dict) and isinstance(target, dict):
        _compare_members(base, target, path, groups, out)
    elif isinstance(base, Slots) and isinstance(target, list):
        _compare_slots(base, target, path, groups, out)
    elif not same(plain(base), target):
        out.append(ResidualEntry(path, target, guard(base)))


def _compare_members(
    base: dict[str, Node], target: dict[str, Json], path: Path, groups: Groups, out: list[ResidualEntry]
) -> None:
    top = not path
    for name in [*base, *(name for name in target if name not in base)]:
        shown, wanted = base.get(name, ABSENT), target.get(name, ABSENT)
        if wanted is ABSENT and isinstance(shown, Slots) and not shown.items:
            continue
        if isinstance(shown, (dict, Slots)) and wanted is not ABSENT and _alone(name, groups, top):
            _compare(shown, wanted, (*path, name), groups, out)
        elif shown is ABSENT or wanted is ABSENT or not same(plain(shown), wanted):
            out.append(ResidualEntry((*path, name), wanted, _member_guard(base, name, groups, top)))


def align(base: Slots, target: list[Json]) -> dict[str, int]:
    """Return which element of a written list stands for which slot key."""
    if len(base.items) == len(target) == 1:
        return _align_one(base, target[0])
    found: dict[str, int] = {}
    taken: set[int] = set()

    def take(key: str, candidates: Iterable[int]) -> bool:
        index = next((i for i in candidates if i not in taken), None)
        if index is None:
            return False
        found[key] = index
        taken.add(index)
        return True

    tests: tuple[Callable[[str, Json], bool], ...] = (
        lambda key, element: same(rendered[key], element),
        lambda key, element: contains(element, rendered[key]),
        lambda key, element: base.slots[key].fits(element),
        lambda key, element: base.slots[key].otherwise(element),
    )
    rendered = {key: plain(node) for key, node in base.items.items()}
    for test in tests:
        for key in base.items:
            if key not in found:
                take(key, (i for i, element in enumerate(target) if i not in taken and test(key, element)))
    return found


def _align_one(base: Slots, element: Json) -> dict[str, int]:
    """Return what `align` does for one slot and one element, which is nearly every list."""
    ((key, node),) = base.items.items()
    slot = base.slots[key]
    fits = slot.fits(element) or slot.otherwise(element) or contains(element, plain(node))
    return {key: 0} if fits else {}


def _compare_slots(base: Slots, target: list[Json], path: Path, groups: Groups, out: list[ResidualEntry]) -> None:
    aligned = align(base, target)
    keys = {index: key for key, index in aligned.items()}
    order = [keys.get(index) for index in range(len(target))]
    if order != list(base.items):
        arrangement = [element if key is None else [key] for key, element in zip(order, target, strict=True)]
        out.append(ResidualEntry((*path, ARRANGEMENT), arrangement, ""))
    for key, node in base.items.items():
        if key in aligned:
            _compare(node, target[aligned[key]], (*path, key), groups, out)
        else:
            out.append(ResidualEntry((*path, key), ABSENT, guard(node)))


@dataclass(slots=True)
class _Branch:
    """Entries below one place, by next step."""

    entry: ResidualEntry | None
    below: dict[str, _Branch]


def _branches(entries: Iterable[ResidualEntry]) -> _Branch:
    root = _Branch(None, {})
    for entry in entries:
        branch = root
        for step in entry.path:
            branch = branch.below.setdefault(step, _Branch(None, {}))
        branch.entry = entry
    return root


def merged(base: dict[str, Node], residual: Residual, groups: Groups, origin: Origin | None = None) -> Json:
    """Return plain JSON: the rendering with every entry applied whose guard still holds."""
    if not residual.entries and origin is None:
        return {name: value for name, value in plain(base).items() if value != []}
    return _Merge(groups, origin or _unheard).node(base, _branches(residual.entries), (), ())


def _unheard(_place: Place, _path: Path | None) -> None:
    """Nobody asked where the pieces come from."""


_NO_BRANCH: Final = _Branch(None, {})


@dataclass(frozen=True, slots=True)
class _Merge:
    """One walk over a rendering and its entries; `path` is where we are in the rendering, `place` in the result."""

    groups: Groups
    origin: Origin

    def node(self, base: Node, branch: _Branch, path: Path, place: Place) -> Json:
        if isinstance(base, dict):
            return self.members(base, branch, path, place)
        if isinstance(base, Slots):
            return self.slots(base, branch, path, place)
        self.origin(place, path)
        return plain(base)

    def members(self, base: dict[str, Node], branch: _Branch, path: Path, place: Place) -> dict[str, Json]:
        out: dict[str, Json] = {}
        for name in [*base, *(name for name in branch.below if name not in base)]:
            below = branch.below.get(name, _NO_BRANCH)
            if below.entry is not None and below.entry.guard == _member_guard(base, name, self.groups, not path):
                value = self.literal(below.entry, (*place, name))
            elif name in base:
                value = self.node(base[name], below, (*path, name), (*place, name))
            else:
                vanished: Node = Slots() if ARRANGEMENT in below.below else {}
                value = self.node(vanished, below, (*path, name), (*place, name))
            if value is not ABSENT and value not in ({}, []):
                out[name] = value
        return out

    def slots(self, base: Slots, branch: _Branch, path: Path, place: Place) -> list[Json]:
        arrangement = branch.below.get(ARRANGEMENT, _NO_BRANCH).entry
        listed: Json = [[key] for key in base.items] if arrangement is None else arrangement.literal
        mentioned = {item[0] for item in listed if isinstance(item, list)}
        out: list[Json] = []
        for item in [*listed, *([key] for key in base.items if key not in mentioned)]:
            there = (*place, len(out))
            if not isinstance(item, list):
                self.origin(there, None)
                out.append(item)
                continue
            value = self.slot(base, item[0], branch, path, there)
            if value is not ABSENT and value != {}:
                out.append(value)
        return out

    def slot(self, base: Slots, key: str, branch: _Branch, path: Path, place: Place) -> Json | Absent:
        if key not in base.items:
            return ABSENT
        below = branch.below.get(key, _NO_BRANCH)
        if below.entry is not None and below.entry.guard == guard(base.items[key]):
            return self.literal(below.entry, place)
        return self.node(base.items[key], below, (*path, key), place)

    def literal(self, entry: ResidualEntry, place: Place) -> Json | Absent:
        self.origin(place, None)
        return entry.literal
