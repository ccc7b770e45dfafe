"""The JSON value of an observation ⇄ value[x] and components (mapping.md Observation, settled §2.2).

A value is what its writer made of it: a number or a text that reads as one, words, yes or no, a code, null, or an
object. Of an object, `value` is the value (in `unit`, where it names one) and every other member a component; an
object without `value` has components only. `128/76` of a composite is a blood pressure. A member may itself be
`{value, unit}`, where its unit is not the row's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from mappers import systems
from mappers.care_metrics import (
    BOOLEAN,
    CODED,
    COMPOSITE,
    TEXT,
    Range,
    kind_of,
    named_coding,
    normal_range,
    ucum_of,
)
from mappers.care_rows import MetricDefinition
from mappers.codes.code import Code
from mappers.isos import fhir_text, is_code, is_uri
from mappers.json_values import ABSENT, Absent, Json, encode
from mappers.quantities import Measured, read_number

VALUES: Final = (
    "valueQuantity",
    "valueInteger",
    "valueString",
    "valueBoolean",
    "valueCodeableConcept",
    "dataAbsentReason",
)
"""Elements that a value is shown in, or (an integer) may be written in."""

PRESSURES: Final = ("systolic", "diastolic")
MEMBERS: Final[Mapping[str, Code]] = {
    "systolic": Code("8480-6", "Systolic blood pressure"),
    "diastolic": Code("8462-4", "Diastolic blood pressure"),
    "pulse": Code("8867-4", "Heart rate"),
}
"""Member of a composite → LOINC; components stand in this order, then by name."""

_BLOOD_PRESSURE: Final = re.compile(r"\s*(\d{2,3})\s*/\s*(\d{2,3})\s*")
_TRUTHS: Final = {"yes": True, "true": True, "no": False, "false": False}
_CODED_MEMBERS: Final = frozenset({"system", "code", "display", "text"})
_UNKNOWN: Final = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}
RESERVED: Final = ("value", "unit")


@dataclass(frozen=True, slots=True)
class Part:
    """One value with the unit that its writer gave it.

    `read` says whether a text may be a number, `own` whether a number without a unit is in the metric's.
    """

    value: Json
    unit: str | None = None
    read: bool = True
    own: bool = True


@dataclass(frozen=True, slots=True)
class Reading:
    """What an observation's value says: the value itself, where there is one, and its members by name."""

    main: Part | None
    members: Mapping[str, Part]


# ---- the column read ----------------------------------------------------------------------------------------------


def reading(value: Json, unit: str | None, metric: MetricDefinition | None) -> Reading:
    """Return what the columns `value` and `unit` say of a metric."""
    kind = _kind(metric)
    pressures = _BLOOD_PRESSURE.fullmatch(value) if kind == COMPOSITE and isinstance(value, str) else None
    if pressures is not None:
        numbers = zip(PRESSURES, map(int, pressures.groups()), strict=True)
        return Reading(None, {name: Part(number, unit) for name, number in numbers})
    if not isinstance(value, dict) or not value or (kind != COMPOSITE and _is_coded(value)):
        return Reading(Part(None if value == {} else value, unit), {})
    if "value" not in value:
        own = in_row_unit(value)
        return Reading(None, {name: _member(value[name], unit, own=own(name)) for name in in_order(value)})
    main_unit = value.get("unit")
    others = in_order(name for name in value if name not in RESERVED)
    return Reading(
        Part(value["value"], main_unit if isinstance(main_unit, str) else unit),
        {name: _member(value[name], None, own=False, read=False) for name in others},
    )


def _kind(metric: MetricDefinition | None) -> str:
    return "" if metric is None else kind_of(metric.value_type)


def _is_coded(value: Json) -> bool:
    return isinstance(value, dict) and is_code(value.get("code")) and _CODED_MEMBERS.issuperset(value)


def in_order(names: Iterable[str]) -> list[str]:
    """Return names of members in the order of their components; databases do not keep an object's own."""
    known = list(MEMBERS)
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def in_row_unit(names: Iterable[str]) -> Callable[[str], bool]:
    """Return which members without a unit are in the row's: of a blood pressure only the pressures."""
    pressures = any(name in PRESSURES for name in names)
    return lambda name: not pressures or name in PRESSURES


def _member(value: Json, unit: str | None, *, own: bool, read: bool = True) -> Part:
    if isinstance(value, dict) and "value" in value and set(RESERVED).issuperset(value):
        if "unit" in value:
            named = value["unit"]
            return Part(value["value"], named if isinstance(named, str) else None, read, own=False)
        value = value["value"]
    return Part(value, unit if own else None, read, own)


# ---- shown --------------------------------------------------------------------------------------------------------


def show(said: Reading, metric: MetricDefinition | None) -> dict[str, Json]:
    """Return the elements that show a value, without enrichment: at most one of VALUES, and `component`."""
    out: dict[str, Json] = {}
    if said.main is not None:
        element, value = _shown(said.main, metric, _kind(metric))
        out[element] = value
    if said.members:
        out["component"] = [
            {"code": _member_code(name), **dict([_shown(part, metric, COMPOSITE)])}
            for name, part in said.members.items()
        ]
    return out


def _shown(part: Part, metric: MetricDefinition | None, kind: str) -> tuple[str, Json]:
    """Return the element that shows one value, and what it shows; what nobody can read is shown as it is written."""
    value = part.value
    if isinstance(value, bool):
        return "valueBoolean", value
    answer = truth(value) if kind == BOOLEAN else None
    if answer is not None:
        return "valueBoolean", answer
    concept = _concept(value, metric, kind)
    if concept is not ABSENT:
        return "valueCodeableConcept", concept
    measured = _measured(part, kind)
    if measured is not None:
        return "valueQuantity", _amount(measured, _unit_of(measured, part, metric), metric)
    words = ABSENT if value is None else fhir_text(value if isinstance(value, str) else encode(value).decode())
    return ("dataAbsentReason", _UNKNOWN) if words is ABSENT else ("valueString", words)


def truth(value: Json) -> bool | None:
    """Return what a text such as `yes` or `false` says, None for any other value."""
    return _TRUTHS.get(value.strip().casefold()) if isinstance(value, str) else None


def _measured(part: Part, kind: str) -> Measured | None:
    if isinstance(part.value, str) and (kind in {TEXT, CODED} or not part.read):
        return None
    return read_number(part.value)


def _amount(measured: Measured, unit: str | None, metric: MetricDefinition | None) -> dict[str, Json]:
    shown: dict[str, Json] = {"value": measured.number}
    if measured.comparator:
        shown["comparator"] = measured.comparator
    words = ABSENT if unit is None else fhir_text(unit)
    if words is not ABSENT:
        shown["unit"] = words
    code = ucum_of(unit, metric)
    return shown if code is None else {**shown, "system": systems.UCUM, "code": code}


def _unit_of(measured: Measured, part: Part, metric: MetricDefinition | None) -> str | None:
    """Return the unit of a number: its own; else the metric's, unless it may be a fraction and no percentage."""
    if part.unit is not None and fhir_text(part.unit) is not ABSENT:
        return part.unit
    if not part.own or metric is None:
        return None
    fraction = ucum_of(metric.unit, metric) == "%" and abs(measured.number) <= 1
    return None if fraction else metric.unit


def _concept(value: Json, metric: MetricDefinition | None, kind: str) -> Json | Absent:
    """Return the concept of a coded value; a word has a code only where it is one of the metric's options."""
    if _is_coded(value):
        coding = {"code": value["code"]}
        system = value.get("system")
        if is_uri(system) and ":" in system:
            coding = {"system": system, **coding}
        if _words(value.get("display")):
            coding["display"] = value["display"]
        return {"coding": [coding], **({"text": value["text"]} if _words(value.get("text")) else {})}
    if kind != CODED or not isinstance(value, str) or fhir_text(value) is ABSENT:
        return ABSENT
    if metric is not None and value in _options(metric) and is_code(value):
        return {"coding": [{"system": option_system(metric), "code": value}], "text": value}
    return {"text": fhir_text(value)}


def _words(value: Json) -> bool:
    return isinstance(value, str) and fhir_text(value) == value


def _options(metric: MetricDefinition) -> tuple[Json, ...]:
    offered = metric.validation_info.get("options") if isinstance(metric.validation_info, dict) else None
    return tuple(offered) if isinstance(offered, list) else ()


def option_system(metric: MetricDefinition) -> str:
    """Return the code system of the values that a metric offers (`validation_info.options`)."""
    return systems.METRIC_OPTION + quote(metric.key, safe="")


def _member_code(name: str) -> dict[str, Json]:
    """Return the code of a component: LOINC of a known member, the code that a member is named by, else a local one."""
    known = MEMBERS.get(name)
    if known is not None:
        return {"coding": [{"system": systems.LOINC, "code": known.code, "display": known.display}]}
    system, bar, code = name.rpartition("|")
    if bar and named_coding({"system": system, "code": code}):
        return {"coding": [{"system": system, "code": code}]}
    words = fhir_text(name)
    if words is ABSENT:
        return _UNKNOWN
    local = {"coding": [{"system": systems.METRIC_MEMBER, "code": name}]} if is_code(name) else {}
    return {**local, "text": words}


# ---- enrichment: usual range, interpretation ----------------------------------------------------------------------


def usual(shown: Mapping[str, Json], metric: MetricDefinition | None) -> dict[str, Json]:
    """Return `referenceRange` and `interpretation` of what `show` gave, from the metric's normal range."""
    return _usual(shown.get("valueQuantity"), normal_range(metric), metric)


def usual_of_members(
    said: Reading, components: Iterable[dict[str, Json]], metric: MetricDefinition | None
) -> list[dict[str, Json]]:
    """Return components with `interpretation` and `referenceRange` where the metric has a range for the member."""
    return [
        {**component, **_usual(component.get("valueQuantity"), normal_range(metric, name), metric)}
        for name, component in zip(said.members, components, strict=True)
    ]


def _usual(amount: Json, limits: Range | None, metric: MetricDefinition | None) -> dict[str, Json]:
    """Return the range in the unit of the amount; nothing where that is not the metric's, in which the range is."""
    if metric is None or limits is None or amount is None or not _in_unit_of(amount, metric):
        return {}
    unit = {key: amount[key] for key in ("unit", "system", "code") if key in amount}
    bounds = {"low": limits.low, "high": limits.high}
    shown: dict[str, Json] = {name: {"value": bound, **unit} for name, bound in bounds.items() if bound is not None}
    if limits.text is not None:
        shown["text"] = fhir_text(limits.text)
    flag = _flag(amount, limits)
    out: dict[str, Json] = {"referenceRange": [shown]}
    if flag is not None:
        out["interpretation"] = [{"coding": [{"system": systems.INTERPRETATION, "code": flag}]}]
    return out


def _in_unit_of(amount: dict[str, Json], metric: MetricDefinition) -> bool:
    if "code" in amount:
        return bool(amount["code"] == ucum_of(metric.unit, metric))
    return amount.get("unit") == (fhir_text(metric.unit) or None if metric.unit is not None else None)


def _flag(amount: dict[str, Json], limits: Range) -> str | None:
    if "comparator" in amount or (limits.low is None and limits.high is None):
        return None
    if limits.low is not None and amount["value"] < limits.low:
        return "L"
    return "H" if limits.high is not None and amount["value"] > limits.high else "N"
