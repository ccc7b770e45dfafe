"""Units of one metric's readings: what one is in terms of another, so that a day of several has one statistic."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

from mappers.codes.metrics import METRICS
from mappers.codes.units import ucum
from storage.search.ucum import canonical_quantity

MOLAR: Final[Mapping[tuple[str, str], Fraction]] = {("glucose", "mmol/L"): Fraction(180156, 10_000)}
"""Metric and UCUM unit → how many of the metric's own unit it is, where that takes the substance: 180.156 g/mol."""
WHOLE: Final[Mapping[str, frozenset[str]]] = {
    "steps": frozenset({"steps", "step", "count", "{steps}", "1"}),
    "awakenings": frozenset({"count", "times", "{#}", "1"}),
    "calories": frozenset({"kcal", "cal", "calories", "Cal"}),
    "resting_heart_rate": frozenset({"bpm", "beats/min", "/min"}),
}
"""Metric → words for its one unit that no table of units takes for each other."""


@lru_cache(maxsize=4096)
def scale(data_type: str, unit: str) -> Fraction | None:
    """Return how many of the metric's own unit a unit is; None where that is not known."""
    if unit in WHOLE.get(data_type, ()):
        return Fraction(1)
    code, metric = ucum(unit), METRICS.get(data_type)
    if code is None or metric is None:
        return None
    if (data_type, code) in MOLAR:
        return MOLAR[data_type, code]
    if code == metric.ucum:
        return Fraction(1)
    one, own = canonical_quantity(Decimal(1), code), canonical_quantity(Decimal(1), metric.ucum)
    return Fraction(one[0]) / Fraction(own[0]) if one[1] == own[1] else None
