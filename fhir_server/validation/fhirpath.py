"""FHIRPath constraints of profiles, by the library fhirpathpy: the only module that knows it.

Constraints may use the whole language, of which search parameters (`storage/projection/paths.py`) and patches
(`fhir_server/fhir/patch/paths.py`) need a part that has to be quick, or to know where its results stand. The library,
its parser and its model of R4 take some 6 MB: they are loaded by the first constraint that is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import msgspec

from fhir_server.validation.references import MalformedReference, target_type

_IGNORE: Final = {"traceFn": lambda _label, _value: None}


class NotEvaluated(Exception):
    """The library cannot evaluate an expression on this value."""


def holds(expression: str, value: Any, datatype: str, resource: Mapping[str, Any]) -> bool:
    """Say whether a constraint holds for a value of an element.

    `datatype` is the type of the value (`HumanName`, `Observation.component`), `resource` is what `%resource` means.
    Nothing is changed in either. A constraint that has no answer, as where an element is missing, is not broken
    (fhirpath.html#variables). Raises NotEvaluated.
    """
    library = _library()
    options = {**_IGNORE, "userInvocationTable": {"resolve": {"fn": _resolver(resource), "arity": {0: []}}}}
    variables = {"resource": resource, "rootResource": resource}
    try:
        node = library.node(value, datatype)
        found = library.apply(node, _parsed(expression), variables, library.model, options)
    except Exception as error:
        raise NotEvaluated from error  # the library raises bare Exceptions
    if len(found) > 1:
        raise NotEvaluated
    return not found or found[0] is not False


class _Library:
    """The parts of the library that are used."""

    def __init__(self) -> None:
        from fhirpathpy import apply_parsed_path
        from fhirpathpy.engine.nodes import ResourceNode
        from fhirpathpy.parser import parse

        self.apply: Any = apply_parsed_path
        self.parse: Any = parse
        self.model: Any = _model()
        self.node: Any = ResourceNode.create_node


def _model() -> dict[str, Any]:
    """Return what the library knows of R4; its own loader reads three other versions as well."""
    folder = resources.files("fhirpathpy") / "models" / "r4"
    return {each.name.removesuffix(".json"): msgspec.json.decode(each.read_bytes()) for each in folder.iterdir()}


@cache
def _library() -> _Library:
    return _Library()


@lru_cache(maxsize=256)
def _parsed(expression: str) -> Any:
    return _library().parse(expression)


def _resolver(resource: Mapping[str, Any]) -> Any:
    """Return `resolve()` within a resource: what it contains, and of other resources only their types."""

    def resolve(values: list[Any]) -> list[Any]:
        found = (resolved(each, resource) for each in values)
        return [_library().node(each) for each in found if each is not None]

    return resolve


def resolved(reference: Any, resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the contained resource that a Reference leads to, or a resource with nothing but the type it names."""
    literal = reference.get("reference") if isinstance(reference, dict) else reference
    if not isinstance(literal, str):
        return None
    if literal.startswith("#"):
        return next((each for each in resource.get("contained", ()) if each.get("id") == literal[1:]), None)
    try:
        found = target_type(literal, conditional=True)
    except MalformedReference:
        return None
    return {"resourceType": found} if found else None
