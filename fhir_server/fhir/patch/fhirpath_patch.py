"""FHIRPath Patch: operations in a Parameters resource (FHIR R4 fhirpatch.html; fhir_rest P2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from capability.elements import Element, element
from fhir_server.errors import BodyTooComplex, MalformedBody, PatchFailed
from fhir_server.fhir.patch.json_patch import MAX_OPERATIONS
from fhir_server.fhir.patch.paths import Path, PathError, parse_path
from fhir_server.fhir.patch.places import Node, Pair, Work, children, keys_of, pairs_at, put_pairs

Part = dict[str, Any]
_PLAIN: Final = re.compile(r"\s*[A-Za-z]+(\.[A-Za-z]+|\[[0-9]+\])*\s*")
_COPIED: Final = 64
"""Members of a list that are copied in the time in which a path looks at one value."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """One `operation` parameter, its parts by name."""

    kind: str
    text: str
    path: Path
    parts: Mapping[str, Part]


class FhirPathPatch:
    """A FHIRPath Patch as it was sent."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        """Take a validated Parameters resource; raises MalformedBody, BodyTooComplex and PatchFailed."""
        sent = parameters.get("parameter", [])
        if any(each.get("name") != "operation" for each in sent):
            raise MalformedBody("Every parameter of a FHIRPath Patch is named operation.", ("Parameters.parameter",))
        if len(sent) > MAX_OPERATIONS:
            raise BodyTooComplex("operations", MAX_OPERATIONS)
        self._operations = [_operation(each, place) for place, each in enumerate(sent)]

    @property
    def size(self) -> int:
        """How many operations it has."""
        return len(self._operations)

    @property
    def asks(self) -> bool:
        """Whether one of its paths is more than names and positions: then it compares what is stored."""
        return not all(_PLAIN.fullmatch(operation.text) for operation in self._operations)

    def apply(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Return what the operations make of a resource, which is changed on the way.

        Raises PatchFailed, and BodyTooComplex when their paths look at too much.
        """
        work = Work()
        for place, operation in enumerate(self._operations):
            root = Node(resource, None, resource["resourceType"], work=work)
            try:
                _KINDS[operation.kind](operation, root)
            except PathError as error:
                raise PatchFailed(f"{error}.", place) from None
            except _Impossible as error:
                raise PatchFailed(f"{error}.", place) from None
        if any(each.kind == "delete" for each in self._operations):
            _drop_empty(resource)
        return resource


class _Impossible(Exception):
    """An operation cannot be carried out; the message says why and names no value."""


def _operation(parameter: Part, place: int) -> _Operation:
    parts: dict[str, Part] = {}
    for part in parameter.get("part", []):
        if parts.setdefault(part.get("name", ""), part) is not part:
            raise PatchFailed("a part is given twice.", place)
    try:
        kind, text = _text(parts, "type"), _text(parts, "path")
        path = parse_path(text)
    except (PathError, _Impossible) as error:
        raise PatchFailed(f"{error}.", place) from None
    if kind not in _KINDS:
        raise PatchFailed(f"its type is none of {', '.join(_KINDS)}.", place)
    return _Operation(kind, text, path, parts)


def _text(parts: Mapping[str, Part], name: str) -> str:
    part = parts.get(name, {})
    value = part.get("valueString", part.get("valueCode"))
    if not isinstance(value, str):
        raise _Impossible(f"it has no {name}")
    return value


def _number(parts: Mapping[str, Part], name: str, most: int) -> int:
    """Return a part that is a position from 0 to `most`."""
    part = parts.get(name, {})
    value = part.get("valueInteger", part.get("valueUnsignedInt", part.get("valuePositiveInt")))
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Impossible(f"it has no {name}")
    if not 0 <= value <= most:
        raise _Impossible(f"its {name} lies outside the list")
    return value


# --- operations -------------------------------------------------------------------------------------------------------


def _one(operation: _Operation, root: Node) -> Node:
    found = operation.path.nodes(root)
    if len(found) != 1:
        raise _Impossible(f"its path leads to {'several elements' if found else 'no element'}; it has to lead to one")
    return found[0]


def _list_of(operation: _Operation, root: Node) -> tuple[Node, Element]:
    """Return the one object that has the list which the path names, and the element that repeats."""
    owner, name = operation.path.owner, operation.path.name
    if owner is None:
        raise _Impossible("its path has to end in the name of a list")
    found = owner([root], root)
    if len(found) != 1:
        raise _Impossible("its path has to lead to one list")
    repeating = element(found[0].children_type, name)
    if repeating is None or not repeating.repeats:
        raise _Impossible("its path leads to no element that repeats")
    return found[0], repeating


def _add(operation: _Operation, root: Node) -> None:
    _put_new(_one(operation, root), _text(operation.parts, "name"), operation.parts.get("value", {}))


def _insert(operation: _Operation, root: Node) -> None:
    owner, repeating = _list_of(operation, root)
    held = _object(owner)
    pairs = pairs_at(held, repeating.key)
    root.spend(len(pairs) // _COPIED)
    position = _number(operation.parts, "index", len(pairs))
    _, pair = _pair(operation.parts.get("value", {}), repeating)
    pairs.insert(position, pair)
    put_pairs(held, repeating.key, pairs)


def _delete(operation: _Operation, root: Node) -> None:
    if operation.path.nodes(root):
        _in_resource(_one(operation, root)).remove()


def _replace(operation: _Operation, root: Node) -> None:
    node = _in_resource(_one(operation, root))
    if node.element is None:
        raise _Impossible("its path leads to no element")
    key, pair = _pair(operation.parts.get("value", {}), node.element)
    if node.owner is not None and key != node.key:
        node.remove()
        node = Node(None, None, "", node.owner, key)
    node.put(pair)


def _move(operation: _Operation, root: Node) -> None:
    owner, repeating = _list_of(operation, root)
    held = _object(owner)
    pairs = pairs_at(held, repeating.key)
    root.spend(len(pairs) // _COPIED)
    source = _number(operation.parts, "source", len(pairs) - 1)
    destination = _number(operation.parts, "destination", len(pairs) - 1)
    pairs.insert(destination, pairs.pop(source))
    put_pairs(held, repeating.key, pairs)


_KINDS: Final[Mapping[str, Callable[[_Operation, Node], None]]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _in_resource(node: Node) -> Node:
    if node.owner is None:
        raise _Impossible("its path has to lead to an element of the resource")
    return node


def _object(node: Node) -> dict[str, Any]:
    try:
        return node.object()
    except TypeError:
        raise _Impossible("its path has to lead to an element of the resource") from None


# --- values -----------------------------------------------------------------------------------------------------------


def _put_new(owner: Node, name: str, part: Part) -> None:
    """Add an element to an object: at the end of its list when it repeats."""
    found = element(owner.children_type, name)
    if found is None:
        raise _Impossible("there is no element of this name")
    held = _object(owner)
    if not found.repeats and any(children(owner, name)):
        raise _Impossible("the element is there and does not repeat; replace it")
    key, pair = _pair(part, found)
    if found.repeats:
        pairs = pairs_at(held, key)
        owner.spend(len(pairs) // _COPIED)
        put_pairs(held, key, [*pairs, pair])
    else:
        Node(None, None, "", held, key).put(pair)


def _pair(part: Part, found: Element) -> tuple[str, Pair]:
    """Return the key and the value that a part gives for an element: `value[x]`, a resource, or parts of an object."""
    if "resource" in part:
        return found.key, (deepcopy(part["resource"]), None)
    if "part" in part:
        return found.key, (_made_of(part["part"], found), None)
    name = next((key.removeprefix("_") for key in part if key.startswith(("value", "_value"))), None)
    if name is None:
        raise _Impossible("it has no value")
    value, beside = deepcopy(part.get(name)), deepcopy(part.get(f"_{name}"))
    if not found.choice:
        return found.key, (value, beside)
    key = f"{found.key}{name.removeprefix('value')}"
    if key not in {each for each, _ in keys_of(found)}:
        raise _Impossible("the element does not take a value of this type")
    return key, (value, beside)


def _made_of(parts: list[Part], found: Element) -> dict[str, Any]:
    """Return an object of the element's type, made of named parts."""
    if found.choice:
        raise _Impossible("the value of an element with several types is given as value[x]")
    made: dict[str, Any] = {}
    owner = Node(made, None, found.datatypes[0])
    for part in parts:
        _put_new(owner, part.get("name", ""), part)
    return made


def _drop_empty(value: Any) -> bool:
    """Leave out objects and lists that have lost all they held; return whether `value` itself is empty now."""
    if isinstance(value, dict):
        for name in [name for name, member in value.items() if _drop_empty(member)]:
            del value[name]
        return not value
    if isinstance(value, list):
        kept = [None if isinstance(each, dict) and _drop_empty(each) else each for each in value]
        # Lists with gaps belong to primitives, whose values and what lies beside them are in step.
        value[:] = kept if None in value else [each for each in kept if each is not None]
        return not any(each is not None for each in value)
    return False
