"""A written value[x] with its components → the JSON value and the unit of an observation: `care_values` backwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from mappers import isos, systems
from mappers.care_metrics import ANY_KIND, BOOLEAN, CODED, COMPOSITE, NUMBER, TEXT, named_coding, ucum_of
from mappers.care_rows import MetricDefinition
from mappers.care_values import (
    MEMBERS,
    RESERVED,
    VALUES,
    Part,
    Reading,
    in_order,
    in_row_unit,
    option_system,
    reading,
    truth,
)
from mappers.errors import Refusal
from mappers.isos import is_code
from mappers.json_values import ABSENT, Absent, Json, same
from mappers.quantities import read_number

_KIND_OF_ELEMENT: Final[Mapping[str, str]] = {
    "valueQuantity": NUMBER,
    "valueInteger": NUMBER,
    "valueString": TEXT,
    "valueBoolean": BOOLEAN,
    "valueCodeableConcept": CODED,
}
_MEMBER_OF: Final = {code.code: member for member, code in MEMBERS.items()}


class Taken(NamedTuple):
    """One written value; `measured` where its unit counts, even if there is none."""

    value: Json
    unit: str | None = None
    measured: bool = False


def written_kind(elements: Mapping[str, Json]) -> str:
    """Return the kind of metric that a written value is one of; ANY_KIND without a value."""
    kind = next((_KIND_OF_ELEMENT[name] for name in elements if name in _KIND_OF_ELEMENT), None)
    return kind or (COMPOSITE if "component" in elements else ANY_KIND)


def first_amount(elements: Mapping[str, Json]) -> Json | Absent:
    """Return the first Quantity of a written value: what it is measured in."""
    amounts = [elements, *_objects(elements.get("component"))]
    return next((item["valueQuantity"] for item in amounts if isinstance(item.get("valueQuantity"), dict)), ABSENT)


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def take(
    elements: Mapping[str, Json], metric: MetricDefinition | None, before: Json = None, unit: str | None = None
) -> tuple[Json, str | None]:
    """Return the columns `value` and `unit` of a written value, those of VALUES and `component` that there are.

    `before` and `unit` are the columns as they are: a number that was a text stays one, as does `yes`.
    Raises Refusal for what no JSON value of a metric can hold.
    """
    now = reading(before, unit, metric)
    values = {name: value for name, value in elements.items() if name in VALUES}
    members = _take_members(elements.get("component"), now, metric)
    if values and (not members or list(values) != ["dataAbsentReason"]):
        main = _taken(values, now.main or Part(None), metric, unit)
        row_unit = main.unit if main.measured else unit
        stored = {name: _stored(part, None) for name, part in members.items()}
        return ({"value": main.value, **stored} if members else main.value), row_unit
    own = in_row_unit(members)
    shared = [members[name].unit for name in in_order(members) if members[name].measured and own(name)]
    row_unit = shared[0] if shared else unit
    return {name: _stored(part, row_unit if own(name) else None) for name, part in members.items()}, row_unit


def _stored(part: Taken, implied: str | None) -> Json:
    """Return the JSON of a member: with its unit where that is not what everybody would take it for."""
    return {"value": part.value, "unit": part.unit} if part.measured and part.unit != implied else part.value


def _taken(values: Mapping[str, Json], now: Part, metric: MetricDefinition | None, unit: str | None) -> Taken:
    """Return one written value with the unit of its Quantity; `now` is what stands there."""
    if not values:
        return Taken(None)
    if len(values) > 1:
        raise Refusal(f"has {' and '.join(sorted(values))}", final=True)
    ((name, value),) = values.items()
    if name == "valueQuantity":
        return _taken_amount(value, now, metric, unit)
    if name == "valueInteger":
        return Taken(isos.number(isos.column_number(value)), None, measured=True)
    if name == "valueBoolean":
        return Taken(now.value if truth(now.value) is value else value)
    if name == "valueString":
        return Taken(isos.column_text(value))
    return Taken(_taken_concept(value, metric) if name == "valueCodeableConcept" else None)


def _taken_amount(amount: Json, now: Part, metric: MetricDefinition | None, unit: str | None) -> Taken:
    if not isinstance(amount, dict) or "value" not in amount:
        raise Refusal("has no number", final=True)
    number = isos.number(isos.column_number(amount["value"]))
    comparator = amount.get("comparator")
    value: Json = f"{comparator}{format(Decimal(number), 'f')}" if comparator else number
    before = read_number(now.value)
    if before is not None and before.comparator == comparator and same(before.number, number):
        value = now.value
    hints = (now.unit, unit, metric.unit if metric is not None else None)
    return Taken(value, _taken_unit(amount, hints, metric), measured=True)


def _taken_unit(amount: dict[str, Json], known: Iterable[str | None], metric: MetricDefinition | None) -> str | None:
    """Return the unit of a written Quantity in words that say the same: its own, those in use, else its code."""
    words, code = amount.get("unit"), amount.get("code")
    if not isinstance(code, str) or amount.get("system") != systems.UCUM:
        return words if isinstance(words, str) else None
    for candidate in (words, *known):
        if isinstance(candidate, str) and ucum_of(candidate, metric) == code:
            return candidate
    return code


def _taken_concept(concept: Json, metric: MetricDefinition | None) -> Json:
    codings, words = _objects(concept.get("coding")), concept.get("text")
    own = None if metric is None else option_system(metric)
    for coding in codings:
        if coding.get("system") == own and isinstance(coding.get("code"), str):
            return coding["code"]
    for coding in codings:
        if is_code(coding.get("code")):
            kept = {name: coding[name] for name in ("system", "code", "display") if name in coding}
            return {**kept, "text": words} if isinstance(words, str) else kept
    if not isinstance(words, str):
        raise Refusal("has neither a code nor text", final=True)
    return words


def _take_members(components: Json, now: Reading, metric: MetricDefinition | None) -> dict[str, Taken]:
    members: dict[str, Taken] = {}
    for component in _objects(components):
        name = _member_name(component.get("code"))
        if name is None or name in members or name in RESERVED:
            raise Refusal("has a component without a code of its own", final=True)
        values = {key: value for key, value in component.items() if key.startswith("value") or key in VALUES}
        if not set(VALUES).issuperset(values):
            raise Refusal("has a component with a value that is none of a metric's", final=True)
        before = now.members.get(name, Part(None))
        members[name] = _taken(values, before, metric, before.unit)
    return members


def _member_name(concept: Json) -> str | None:
    """Return the member that a component's code names; the inverse of `_member_code`."""
    codings = _objects(concept.get("coding")) if isinstance(concept, dict) else []
    for coding in codings:
        if coding.get("system") == systems.METRIC_MEMBER and is_code(coding.get("code")):
            return str(coding["code"])
    for coding in codings:
        if coding.get("system") == systems.LOINC and coding.get("code") in _MEMBER_OF:
            return _MEMBER_OF[coding["code"]]
    named = next((pair for pair in map(named_coding, codings) if pair is not None), None)
    if named is not None:
        return "|".join(named)
    words = concept.get("text") if isinstance(concept, dict) else None
    return words if isinstance(words, str) and words else None
