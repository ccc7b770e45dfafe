"""The leaves of a resource, each under its FHIRPath: `Patient.name[0].given[1]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from mappers.json_values import Json

LeafPlace: TypeAlias = tuple[str | int, ...]
"""Members and positions that lead to a leaf."""


def leaf_places(value: Json, place: LeafPlace = ()) -> Iterator[tuple[LeafPlace, Json]]:
    """Yield the place and value of every leaf."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaf_places(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaf_places(item, (*place, index))
    else:
        yield place, value


def fhirpath(resource_type: str, place: LeafPlace) -> str:
    """Return the FHIRPath of a place in a resource of a type."""
    return resource_type + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)


def leaves(resource: Json) -> dict[str, Json]:
    """Return every leaf of a resource by its FHIRPath, `resourceType` aside."""
    resource_type = resource["resourceType"]
    rest = {name: value for name, value in resource.items() if name != "resourceType"}
    return {fhirpath(resource_type, place): value for place, value in leaf_places(rest)}
