"""Elements of a resource as profiles speak of them: by FHIRPath name, with their data types and places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from capability import elements
from fhir_server.validation.places import Place


@dataclass(frozen=True, slots=True)
class Item:
    """One occurrence of an element. `sibling` holds id and extensions of a primitive; its value may then be None.

    `datatype` is the type of the value: `Quantity`, `Observation.component`, for resources their own type.
    """

    value: Any
    sibling: Any
    place: Place
    datatype: str

    @property
    def members(self) -> Mapping[str, Any]:
        """The elements inside, of a primitive its id and extensions."""
        inner = self.value if isinstance(self.value, dict) else self.sibling
        return inner if isinstance(inner, dict) else {}

    @property
    def owner(self) -> str:
        """The name under which `capability.elements` knows what is inside."""
        return self.datatype if isinstance(self.value, dict) else "Element"


def root_item(resource: dict[str, Any]) -> Item:
    """Return a resource as an item."""
    resource_type = str(resource.get("resourceType"))
    return Item(resource, None, (None, resource_type), resource_type)


def items(owner: Item, name: str) -> Iterator[Item]:
    """Yield every occurrence of an element inside another, by its name with or without `[x]`."""
    bare, repeats, keys = _keys(owner.owner, name)
    members = owner.members
    for datatype, key, sibling_key in keys:
        value, sibling = members.get(key), members.get(sibling_key)
        if value is None and sibling is None:
            continue
        place = (owner.place, bare)
        if repeats:
            yield from _repeated(value, sibling, place, datatype)
        else:
            yield _item(value, sibling, place, datatype)


@lru_cache(maxsize=4096)
def _keys(owner: str, name: str) -> tuple[str, bool, tuple[tuple[str, str, str], ...]]:
    """Return how an element is called, whether it repeats, and its data types with their JSON keys."""
    bare = name.removesuffix("[x]")
    element = elements.element(owner, bare)
    if element is None:
        return bare, False, ()
    keys = [(each, f"{bare}{each[0].upper()}{each[1:]}" if element.choice else bare) for each in element.datatypes]
    return bare, element.repeats, tuple((datatype, key, f"_{key}") for datatype, key in keys)


def _repeated(values: Any, siblings: Any, place: Place, datatype: str) -> Iterator[Item]:
    values = values if isinstance(values, list) else []
    siblings = siblings if isinstance(siblings, list) else []
    for index in range(max(len(values), len(siblings))):
        value = values[index] if index < len(values) else None
        sibling = siblings[index] if index < len(siblings) else None
        yield _item(value, sibling, (place, index), datatype)


def _item(value: Any, sibling: Any, place: Place, datatype: str) -> Item:
    if datatype == "Resource" and isinstance(value, dict):
        datatype = str(value.get("resourceType"))
    return Item(value, sibling, place, datatype)


def equals(demanded: Any, value: Any) -> bool:
    """Say whether a value is exactly what `fixed[x]` demands (elementdefinition.html#fixed)."""
    if isinstance(demanded, dict):
        return (
            isinstance(value, dict)
            and demanded.keys() == value.keys()
            and all(equals(each, value[key]) for key, each in demanded.items())
        )
    if isinstance(demanded, list):
        return isinstance(value, list) and len(demanded) == len(value) and all(map(equals, demanded, value))
    return isinstance(demanded, bool) == isinstance(value, bool) and bool(demanded == value)


def fits(pattern: Any, value: Any) -> bool:
    """Say whether a value has at least what `pattern[x]` demands (elementdefinition.html#pattern).

    Each member of a list in the pattern has to fit some member of the value's.
    """
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(key in value and fits(each, value[key]) for key, each in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(each, one) for one in value) for each in pattern)
    return equals(pattern, value)
