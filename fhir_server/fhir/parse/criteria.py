"""One `name=value` of a search → a criterion (FHIR R4 search.html#modifiers, #chaining, #has)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from capability.elements import RESOURCE_TYPES
from capability.search_parameters import SearchParameter, SearchType, find
from fhir_server.fhir.parse.escapes import split, unescape
from fhir_server.fhir.parse.faults import MalformedValue, SearchTooLarge, UnknownParameter, UnsupportedSearch
from fhir_server.fhir.parse.ordered import parse_date
from fhir_server.fhir.parse.references import parse_id
from fhir_server.fhir.parse.values import KNOWN_MODIFIERS, MODIFIERS, Ground, parse_value
from storage.projection.coverage import Answer, answer
from storage.search.query import (
    Chain,
    Composite,
    Criterion,
    Has,
    Ids,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Target,
    Token,
    Value,
)

MAX_VALUES: Final = 500
MAX_STEPS: Final = 6
MOST_NAMES: Final = 2_048
"""Names of parameters whose meaning is kept."""

_TYPES: Final = frozenset(RESOURCE_TYPES)
_MODIFIERS: Final = {modifier.value: modifier for modifier in Modifier if modifier.value}


@dataclass(frozen=True, slots=True)
class CriterionParser:
    """Parses criteria."""

    ground: Ground

    def parse(self, resource_type: str, name: str, value: str, steps: int = 0) -> Criterion | None:
        """Return the criterion; None when the value is empty.

        Raises UnknownParameter, MalformedValue, UnsupportedSearch and SearchTooLarge. `steps` counts the chain steps
        above.
        """
        if steps > MAX_STEPS:
            raise SearchTooLarge(f"more than {MAX_STEPS} chain steps")
        if name.startswith("_has:"):
            return self._parse_has(resource_type, name, value, steps)
        if "." in name:
            head, _, rest = name.partition(".")
            code, _, modifier = head.partition(":")
            return self._parse_chain(_known(resource_type, code, name), modifier, rest, value, steps)
        pieces = [piece for piece in split(value, ",") if piece]
        if len(pieces) > MAX_VALUES:
            raise SearchTooLarge(f"more than {MAX_VALUES} alternatives in one parameter")
        return self._parse_match(_named(resource_type, name), pieces) if pieces else None

    def _parse_match(self, named: _Named, pieces: list[str]) -> Criterion:
        parameter = named.parameter
        if named.is_missing:
            return Missing(parameter, _parse_boolean(pieces))
        if parameter.code == "_id":
            return Ids(parameter.resource_type, tuple(dict.fromkeys(parse_id(piece) for piece in pieces)))
        if parameter.code == "_lastUpdated":
            return LastUpdated(tuple(parse_date(piece, self.ground.zone) for piece in pieces))
        values: dict[Value, None] = {}
        for piece in pieces:
            value = parse_value(parameter, named.modifier, piece, self.ground, named.target_type)
            _require_code(parameter, value)
            values[value] = None
        return Match(parameter, named.modifier, tuple(values))

    def _parse_chain(
        self, parameter: SearchParameter, modifier: str, rest: str, value: str, steps: int
    ) -> Criterion | None:
        if parameter.type is not SearchType.REFERENCE:
            raise MalformedValue("only a reference parameter can be followed by a dot")
        if modifier:
            _require_target(parameter, modifier)
            types: tuple[str, ...] = (modifier,)
        elif "*" in parameter.targets:
            raise MalformedValue(f"name the type to follow: {parameter.code}:Type.{rest}")
        else:
            types = parameter.targets
        targets: list[Target] = []
        unknown: UnknownParameter | None = None
        for each in types:
            try:
                criterion = self.parse(each, rest, value, steps + 1)
            except UnknownParameter as error:
                unknown = error
                continue
            if criterion is None:
                return None
            targets.append(Target(each, criterion))
        if not targets and unknown is not None:
            raise unknown
        return Chain(parameter, tuple(targets))

    def _parse_has(self, resource_type: str, name: str, value: str, steps: int) -> Criterion | None:
        parts = name.split(":", 3)
        if len(parts) != 4 or not all(parts):
            raise MalformedValue("a reverse chain is _has:Type:reference:parameter")
        _, source, code, rest = parts
        if source not in _TYPES:
            raise MalformedValue("the type after _has: is not a resource type")
        parameter = find(source, code)
        if parameter is None or parameter.type is not SearchType.REFERENCE:
            raise UnknownParameter(name)
        if not parameter.permits(resource_type):
            raise MalformedValue(f"{source}:{code} does not refer to {resource_type}")
        criterion = self.parse(source, rest, value, steps + 1)
        return None if criterion is None else Has(parameter, criterion)


@dataclass(frozen=True, slots=True)
class _Named:
    """What the name of a parameter says, whatever its value."""

    parameter: SearchParameter
    modifier: Modifier = Modifier.NONE
    target_type: str | None = None
    is_missing: bool = False


@lru_cache(maxsize=MOST_NAMES)
def _named(resource_type: str, name: str) -> _Named:
    """Return what a name without a chain says; raises UnknownParameter, MalformedValue and UnsupportedSearch.

    Names are kept, for a client sends few of them and often; values never are, for they may tell about a patient.
    """
    code, _, modifier = name.partition(":")
    parameter = _known(resource_type, code, name)
    if modifier == "missing":
        return _Named(parameter, is_missing=True)
    if parameter.code in {"_id", "_lastUpdated"}:
        _require_none(parameter, modifier)
    if parameter.type is SearchType.REFERENCE and modifier in _TYPES:
        _require_target(parameter, modifier)
        return _Named(parameter, target_type=modifier)
    return _Named(parameter, _modifier(parameter, modifier) if modifier else Modifier.NONE)


def _known(resource_type: str, code: str, name: str) -> SearchParameter:
    parameter = find(resource_type, code)
    if parameter is None or parameter.type is SearchType.SPECIAL:
        raise UnknownParameter(name)
    return parameter


def inner_searches(criterion: Criterion) -> int:
    """Return how many searches within the search a criterion stands for: one for each type that a chain may lead to."""
    match criterion:
        case Chain(_, targets):
            return sum(1 + inner_searches(target.criterion) for target in targets)
        case Has(_, inner):
            return 1 + inner_searches(inner)
        case _:
            return 0


def _modifier(parameter: SearchParameter, text: str) -> Modifier:
    modifier = _MODIFIERS.get(text)
    if modifier in MODIFIERS[parameter.type]:
        return modifier
    if text in KNOWN_MODIFIERS.get(parameter.type, ()):
        raise UnsupportedSearch(f"the modifier :{text} is not supported; search without it")
    served = sorted(f":{each.value}" for each in MODIFIERS[parameter.type] if each.value)
    served += [":missing", *([":Type"] if parameter.type is SearchType.REFERENCE else [])]
    raise MalformedValue(f"a {parameter.type.value} parameter has the modifiers {', '.join(served)}")


def _require_none(parameter: SearchParameter, modifier: str) -> None:
    if modifier:
        raise MalformedValue(f"{parameter.code} has no modifier")


def _require_target(parameter: SearchParameter, resource_type: str) -> None:
    if resource_type not in _TYPES or not parameter.permits(resource_type):
        raise MalformedValue(f"{parameter.code} does not refer to that type: use {', '.join(parameter.targets)}")


def _require_code(parameter: SearchParameter, value: Value) -> None:
    """Refuse `system|` as a part of a composite with rows of its own: those are kept under the code."""
    if not isinstance(value, Composite) or answer(parameter.resource_type, parameter.code) is Answer.CONJUNCTION:
        return
    if any(isinstance(part, Token) and part.code is None for part in value.parts):
        raise UnsupportedSearch("system| without a code is not supported in this composite: name the code")


def _parse_boolean(pieces: list[str]) -> bool:
    match [unescape(piece) for piece in pieces]:
        case ["true"]:
            return True
        case ["false"]:
            return False
        case _:
            raise MalformedValue(":missing is true or false")
