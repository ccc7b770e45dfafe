"""Places in a resource: cheap to keep while walking, FHIRPath when something is wrong there."""

from __future__ import annotations

import re
from typing import Any, Final

from capability import elements

Place = tuple[Any, str | int]
"""A place as (place of the parent, name or index); the root has the parent None and the name of its type."""

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def expression(place: Place) -> str:
    """Return a place in FHIRPath: `Patient.name[0].given[1]`."""
    steps: list[str] = []
    parent: Any = place
    while parent is not None:
        parent, name = parent
        steps.append(f"[{name}]" if isinstance(name, int) else f".{name}")
    return "".join(reversed(steps)).removeprefix(".")


def from_json_names(path: str, resource: dict[str, Any]) -> str:
    """Return a path of JSON keys in FHIRPath: `valueQuantity` and `value[x]` are `value`, `_given` is `given`.

    R4 operationoutcome.html#expression: element names only. A name that is not known stays as it is.
    """
    type_name, _, rest = path.removesuffix("[x]").partition(".")
    value: Any = resource
    steps = [type_name]
    for name, index in _STEP.findall(rest):
        if index:
            steps[-1] += f"[{index}]"
            value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
            continue
        if type_name == "Resource":
            type_name = str(value.get("resourceType", "")) if isinstance(value, dict) else ""
        value = value.get(name) if isinstance(value, dict) else None
        element, type_name = _element(type_name, name.removeprefix("_"))
        steps.append(element)
    return ".".join(steps)


def _element(type_name: str, key: str) -> tuple[str, str]:
    """Return the name and the type of the element that a JSON key of a type holds; as it is when there is none."""
    found = elements.element(type_name, key)
    if found is not None:
        return key, found.datatypes[0]
    for cut in range(1, len(key)):
        choice = elements.element(type_name, key[:cut]) if key[cut].isupper() else None
        if choice is not None and choice.choice:
            suffix = key[cut:]
            return key[:cut], next((each for each in choice.datatypes if each[0].upper() + each[1:] == suffix), "")
    return key, ""
