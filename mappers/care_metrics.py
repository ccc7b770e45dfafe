"""Metric definitions as FHIR knows them: code, category, unit and normal range (settled §1.13, §2.2).

A metric is named by its code system, its code and the kind of its values; one without a code that FHIR knows, by this
server's code system and its key. `value_type` is open text: what means the same is one kind here, so that a pain
score (`scale`) and a number written through FHIR find the same definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mappers import systems
from mappers.care_rows import SHARED, MetricDefinition
from mappers.codes.units import ucum
from mappers.identity import part_resource_id
from mappers.isos import fhir_text, is_code, is_uri
from mappers.json_values import ABSENT, Json
from mappers.labs import is_loinc
from mappers.lookups import METRIC, Need, metric_key
from mappers.nodes import Whole
from mappers.observation_profiles import OXYGEN_SATURATION, PULSE_OXIMETRY
from mappers.quantities import read_number

_PULSE_OXIMETRY: Final = (systems.LOINC, PULSE_OXIMETRY)
NUMBER: Final = "number"
TEXT: Final = "text"
BOOLEAN: Final = "boolean"
CODED: Final = "coded"
COMPOSITE: Final = "composite"
ANY_KIND: Final = ""
"""Kind in the need of an Observation without a value: any definition of the code will do, and none is made."""

_KINDS: Final[Mapping[str, str]] = {"scale": NUMBER, "categorical": CODED}
_NAMES: Final[Mapping[str, str]] = {systems.LOINC: "LOINC", systems.SNOMED: "SNOMED"}
"""Code system → how the care platform names it; others are kept as URIs."""
_SYSTEMS: Final[Mapping[str, str]] = {name: uri for uri, name in _NAMES.items()}

CATEGORIES: Final[Mapping[str, str]] = {
    "VITALS": "vital-signs",
    "LABS": "laboratory",
    "ACTIVITY": "activity",
    "PAIN": "survey",
    "BEHAVIORAL": "survey",
    "RTM": "therapy",
}
"""Category of a metric → Observation category; this server's own code for any other."""
_CATEGORY_CODES: Final = frozenset(
    {
        "social-history",
        "vital-signs",
        "imaging",
        "laboratory",
        "procedure",
        "survey",
        "exam",
        "therapy",
        "activity",
    }
)
_CATEGORY_OF: Final[Mapping[str, str]] = {"vital-signs": "VITALS", "laboratory": "LABS", "activity": "ACTIVITY"}


@dataclass(frozen=True, slots=True)
class Range:
    """The usual values of a metric, in the metric's unit; a limit that is no number is left out."""

    low: Json = None
    high: Json = None
    text: str | None = None


def kind_of(value_type: str) -> str:
    """Return what a `value_type` means; itself where nobody knows it."""
    folded = value_type.strip().casefold()
    return _KINDS.get(folded, folded)


def coding_of(metric: MetricDefinition) -> tuple[str, str] | None:
    """Return system and code by which FHIR knows a metric; None where not even its key may be a code.

    A code without a system, of a system that is no URI, or with a wrong check digit is not shown as one.
    """
    system = _SYSTEMS.get((metric.code_system or "").strip().upper(), metric.code_system)
    code = is_loinc(metric.code) if metric.code and system == systems.LOINC else metric.code
    if code is not None and system is not None and ":" in system and is_uri(system) and is_code(code):
        return system, code
    return (systems.METRIC, metric.key) if is_code(metric.key) else None


def keys_of(metric: MetricDefinition) -> tuple[str, ...]:
    """Return the values of the METRIC needs that a definition answers: with its kind, and with any."""
    coding = coding_of(metric)
    if coding is None:
        return ()
    return metric_key(*coding, kind_of(metric.value_type)), metric_key(*coding, ANY_KIND)


def metrics_by_key(metrics: Iterable[MetricDefinition]) -> dict[str, MetricDefinition]:
    """Return the answers to METRIC needs that definitions give.

    Of several for one key: the organization's own before a shared one, one of the catalogue before one that an
    Observation called for, then the first by id.
    """
    out: dict[str, MetricDefinition] = {}
    for metric in sorted(metrics, key=lambda m: (m.organization_id == SHARED, m.origin is not None, m.id)):
        for key in keys_of(metric):
            out.setdefault(key, metric)
    return out


def written_coding(concept: Json) -> tuple[str, str] | None:
    """Return the coding of a written CodeableConcept that names its metric: LOINC first, this server's own last."""
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    named = [pair for pair in map(named_coding, codings) if pair is not None]
    return min(named, key=lambda pair: _RANKS.get(pair[0], 1), default=None)


_RANKS: Final[Mapping[str, int]] = {systems.LOINC: 0, systems.METRIC: 2}


def named_coding(coding: Json) -> tuple[str, str] | None:
    """Return system and code where a coding has both, and neither would be mistaken for the other in a key."""
    system, code = (coding.get("system"), coding.get("code")) if isinstance(coding, dict) else (None, None)
    if not (is_uri(system) and is_code(code)):
        return None
    pair = str(system), str(code)
    return pair if ":" in pair[0] and "|" not in "".join(pair) else None


def names(concept: Json, metric: MetricDefinition) -> bool:
    """Whether a written CodeableConcept has the code of a metric."""
    coding = coding_of(metric)
    codings = concept.get("coding", []) if isinstance(concept, dict) else []
    return coding is not None and any(named_coding(item) == coding for item in codings)


def metric_need(concept: Json, kind: str, unit: Json, category: Json) -> Need | None:
    """Return the need of the definition of a written Observation, with the columns of one that has to be made.

    `unit` is a Quantity of its value or ABSENT, `category` the written category or ABSENT. The name is what the code
    system calls it: words of the Observation itself might tell of the patient.
    """
    coding = written_coding(concept)
    if coding is None:
        return None
    system, code = coding
    if kind == ANY_KIND:
        return Need(METRIC, metric_key(system, code, kind))
    own = system == systems.METRIC
    facts: dict[str, Json] = {
        "key": code,
        "name": _display(concept, coding) or code,
        "value_type": kind,
        "code_system": None if own else _NAMES.get(system, system),
        "code": None if own else code,
        "category": _category_of(category),
        **_units(unit),
    }
    return Need(METRIC, metric_key(system, code, kind), facts)


def new_metric(organization_id: str, need: Need) -> MetricDefinition | None:
    """Return the definition that a need without an answer calls for, the same for every writer.

    Its id is UUIDv5(organization, system|code|value type), its origin `fhir` (settled §1.13). None for any kind, and
    where a definition would not be known by the code that was written: a LOINC code with a wrong check digit.
    """
    if not need.facts:
        return None
    own_id = part_resource_id("organizations", organization_id, need.value)
    metric = MetricDefinition(id=own_id, organization_id=organization_id, origin="fhir", **need.facts)
    return metric if need.value in keys_of(metric) else None


def _display(concept: Json, coding: tuple[str, str]) -> str | None:
    displays = (item.get("display") for item in concept["coding"] if named_coding(item) == coding)
    return next((text for text in displays if isinstance(text, str) and fhir_text(text) is not ABSENT), None)


def _category_of(category: Json) -> str | None:
    codings = category.get("coding", []) if isinstance(category, dict) else []
    for coding in codings:
        code = coding.get("code")
        if coding.get("system") == systems.OBSERVATION_CATEGORY and is_code(code):
            return _CATEGORY_OF.get(code, str(code))
        if coding.get("system") == systems.METRIC_CATEGORY and is_code(code):
            return str(code)
    return None


def _units(amount: Json) -> dict[str, Json]:
    if not isinstance(amount, dict):
        return {"unit": None, "ucum": None}
    code = amount.get("code") if amount.get("system") == systems.UCUM and is_code(amount.get("code")) else None
    words = amount.get("unit")
    return {"unit": words if isinstance(words, str) else code, "ucum": code}


def concept_of(metric: MetricDefinition | None, *, bare: bool) -> Whole:
    """Return the code of a metric's observations.

    The name is shown beside it: as the code system's only where it came with the code, through FHIR. The guard leaves
    it out, so that renaming a metric does not undo what a client wrote. Unless `bare`, what pulse oximetry measures has
    the general code of oxygen saturation too: US Core wants both.
    """
    coding = None if metric is None else coding_of(metric)
    shown: dict[str, Json] = {}
    words = ABSENT if metric is None else fhir_text(metric.name)
    if coding is not None:
        shown["coding"] = [{"system": coding[0], "code": coding[1]}]
        if metric is not None and metric.origin is not None and words is not ABSENT and words != coding[1]:
            shown["coding"][0]["display"] = words
        if coding == _PULSE_OXIMETRY and not bare:
            shown["coding"].append({"system": systems.LOINC, "code": OXYGEN_SATURATION})
    if words is not ABSENT:
        shown["text"] = words
    if not shown:
        shown["coding"] = [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]
    return Whole(shown, [metric.id, metric.organization_id, coding] if metric is not None else None)


def category_of(metric: MetricDefinition | None) -> Whole | None:
    """Return the Observation category of a metric; this server's own code for one that HL7 has none for."""
    named = metric.category.strip() if metric is not None and metric.category else ""
    if not is_code(named):
        return None
    code = CATEGORIES.get(named.upper()) or (named.casefold() if named.casefold() in _CATEGORY_CODES else None)
    system = systems.METRIC_CATEGORY if code is None else systems.OBSERVATION_CATEGORY
    return Whole({"coding": [{"system": system, "code": code or named}]}, code or named)


def ucum_of(unit: str | None, metric: MetricDefinition | None) -> str | None:
    """Return the UCUM code of a unit: the metric's where it is the metric's unit, else what the table knows."""
    own = metric is not None and unit is not None and unit == metric.unit and metric.ucum
    return own if own and is_code(own) else ucum(unit)


def normal_range(metric: MetricDefinition | None, member: str | None = None) -> Range | None:
    """Return the usual values of a metric, or of one member of a composite: `{min, max, text}` or `[min, max]`."""
    limits = metric.normal_range if metric is not None else None
    if member is not None:
        limits = limits.get(member) if isinstance(limits, dict) else None
    if isinstance(limits, list) and len(limits) == 2:
        limits = {"min": limits[0], "max": limits[1]}
    if not isinstance(limits, dict):
        return None
    words = limits.get("text")
    shown = Range(
        _limit(limits, "min", "low"),
        _limit(limits, "max", "high"),
        words if isinstance(words, str) and fhir_text(words) is not ABSENT else None,
    )
    return None if shown == Range() else shown


def _limit(limits: dict[str, Json], *members: str) -> Json:
    for member in members:
        measured = read_number(limits.get(member))
        if measured is not None and measured.comparator is None:
            return measured.number
    return None
