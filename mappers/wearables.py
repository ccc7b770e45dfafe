"""Codes of wearable metrics: which LOINC code is exact for which reading (notes of `wearable_metrics.csv`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mappers import systems
from mappers.codes.code import Code
from mappers.codes.metrics import METRICS
from mappers.codes.units import same_kind, ucum
from mappers.isos import fhir_text, is_code
from mappers.json_values import ABSENT, Json
from mappers.nodes import Node, Whole

STEPS_OF_READING: Final = Code("55423-8", "Number of steps in unspecified time Pedometer")
HEART_RATE: Final = Code("8867-4", "Heart rate")
CONTINUOUS_GLUCOSE: Final = ("dexcom", "libre")
SENSOR_VALUES_A_DAY: Final = 48
SDNN: Final = ("apple",)


def _made_by(row: Any, makers: tuple[str, ...]) -> bool:
    """Whether the device or source of a reading is one of the makers; daily statistics name none."""
    names = (getattr(row, "device_type", None) or "", getattr(row, "source", None) or "")
    return any(maker in name.casefold() for maker in makers for name in names)


def _continuous(row: Any) -> bool:
    """Whether glucose was measured by a sensor: by its maker, or more often in a day than anyone pricks a finger."""
    return _made_by(row, CONTINUOUS_GLUCOSE) or (getattr(row, "count", None) or 0) >= SENSOR_VALUES_A_DAY


def _per_mass(row: Any) -> bool:
    return same_kind(ucum(row.unit), METRICS[row.data_type].ucum)


EXACT: Final[Mapping[str, Callable[[Any], bool]]] = {
    "hrv": lambda row: _made_by(row, SDNN),  # others report RMSSD, for which there is no code
    "glucose": lambda row: _continuous(row) and _per_mass(row),  # interstitial fluid, mass only
    "glucose_variability": lambda row: ucum(row.unit) == "%",  # a coefficient of variation, not a deviation
}
"""Conditions under which a metric's LOINC code says exactly what the row says; without one it always does."""

READING_CODES: Final[Mapping[str, Code | None]] = {
    **{name: metric.code for name, metric in METRICS.items()},
    "steps": STEPS_OF_READING,
    "calories": None,  # the code is for 24 hours
}
DAILY_CODES: Final[Mapping[str, Code | None]] = {name: metric.code for name, metric in METRICS.items()}


def _inverse(codes: Mapping[str, Code | None]) -> dict[str, str]:
    return {code.code: name for name, code in codes.items() if code is not None}


READING_TYPES: Final = _inverse(READING_CODES)
DAILY_TYPES: Final = _inverse(DAILY_CODES)


def category(data_type: str) -> Whole:
    """Return the Observation category of a metric; `activity` for one that no table knows."""
    metric = METRICS.get(data_type)
    code = metric.category if metric is not None else "activity"
    return Whole({"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": code}]}, code)


def concept(row: Any, codes: Mapping[str, Code | None], bare: bool) -> Node:
    """Return the code of a reading or statistic: LOINC where it is exact, and this server's own code.

    Without enrichment (`bare`) one coding is enough.
    """
    loinc = codes.get(row.data_type)
    if loinc is not None and not EXACT.get(row.data_type, _always)(row):
        loinc = None
    codings = [] if loinc is None else [_loinc(loinc)]
    if row.data_type == "resting_heart_rate" and not bare:
        codings.append(_loinc(HEART_RATE))  # the vital-signs profile wants the general code too
    if is_code(row.data_type) and not (bare and codings):
        codings.append({"system": systems.WEARABLE_METRIC, "code": row.data_type})
    value: dict[str, Json] = {"coding": codings} if codings else {}
    words = fhir_text(row.data_type.replace("_", " "))
    if words is not ABSENT and not (bare and codings):
        value["text"] = words
    if not value:
        value["coding"] = [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]
    return Whole(value, [row.data_type, loinc.code if loinc else None])


def loinc_codings(data_type: str) -> list[Json]:
    """Return the LOINC codings that rows of a metric may have; those of vital signs are exact for every row."""
    metric = METRICS.get(data_type)
    codes = [metric.code] if metric is not None and metric.code is not None else []
    if data_type == "resting_heart_rate":
        codes.append(HEART_RATE)
    return list(map(_loinc, codes))


def _always(_: Any) -> bool:
    return True


def _loinc(code: Code) -> dict[str, str]:
    return {"system": systems.LOINC, "code": code.code, "display": code.display}


def data_type(concept: Json, types: Mapping[str, str]) -> str | None:
    """Return the metric that a written CodeableConcept means, or None; this server's own code comes first."""
    codings = [coding for coding in concept.get("coding", []) if isinstance(coding, dict)]
    for coding in codings:
        if coding.get("system") == systems.WEARABLE_METRIC and is_code(coding.get("code")):
            return str(coding["code"])
    for coding in codings:
        if coding.get("system") == systems.LOINC and coding.get("code") in types:
            return types[coding["code"]]
    return None
