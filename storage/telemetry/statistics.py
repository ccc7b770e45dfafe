"""The statistics of one day's readings of one metric: pure, and the same whatever the order the readings came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any, Final

from storage.telemetry.units import scale

EXACT: Final = Context(prec=400)
LARGEST: Final = Decimal(10) ** 100
MOST_PLACES: Final = 100
"""Other programs leave NaN, infinity and numbers of thousands of digits: nothing is computed with these."""
PLACES: Final = 6
"""Places of a mean, and of what a conversion leaves without an end; more where readings have more."""


@dataclass(frozen=True, slots=True)
class OfUnit:
    """What is known of a day's readings in one unit; `unusable` ones are not in the other numbers (`is_usable`)."""

    unit: str
    count: int
    total: Decimal
    least: Decimal
    most: Decimal
    unusable: int = 0


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """What a row of `patient_wearable_daily_stats` says.

    Readings are `left_out` when nobody can convert their unit, or compute with their value.
    """

    unit: str
    count: int
    avg_value: Decimal
    min_value: Decimal
    max_value: Decimal
    sum_value: Decimal
    left_out: int = 0


def is_usable(value: Decimal) -> bool:
    """Return whether statistics can be made of a number."""
    return value.is_finite() and abs(value) < LARGEST and _exponent(value) >= -MOST_PLACES


def day_statistics(data_type: str, units: Sequence[OfUnit]) -> DayStatistics | None:
    """Return the statistics of a day; None for one without readings that anything can be made of.

    A day of one unit keeps it, known or not. In a day of several, all are converted to the one that most readings have;
    those in units that cannot be converted are left out, and counted.
    """
    unusable = sum(each.unusable for each in units)
    units = [each for each in units if each.count]
    if not units:
        return None
    first = min(units, key=lambda each: (-each.count, each.unit))
    if len(units) == 1:
        return _of([first], [Fraction(1)], first.unit, unusable)
    scales = {each.unit: scale(data_type, each.unit) for each in units}
    known = sorted((each for each in units if scales[each.unit]), key=lambda each: (-each.count, each.unit))
    if not known:
        return _of([first], [Fraction(1)], first.unit, unusable + sum(each.count for each in units) - first.count)
    own = scales[known[0].unit] or Fraction(1)
    factors = [(scales[each.unit] or Fraction(1)) / own for each in known]
    left_out = unusable + sum(each.count for each in units) - sum(each.count for each in known)
    return _of(known, factors, known[0].unit, left_out)


def _of(units: Sequence[OfUnit], factors: Sequence[Fraction], unit: str, left_out: int) -> DayStatistics:
    pairs = list(zip(units, factors, strict=True))
    count = sum(each.count for each in units)
    total = sum((Fraction(each.total) * factor for each, factor in pairs), Fraction())
    places = max(PLACES, *(-_exponent(value) for each in units for value in (each.total, each.least, each.most)))
    return DayStatistics(
        unit,
        count,
        _decimal(total / count, places),
        _decimal(min(Fraction(each.least) * factor for each, factor in pairs), places),
        _decimal(max(Fraction(each.most) * factor for each, factor in pairs), places),
        _decimal(total, places),
        left_out,
    )


def _exponent(value: Decimal) -> int:
    exponent: Any = value.as_tuple().exponent
    return int(exponent)


def _decimal(value: Fraction, places: int) -> Decimal:
    """Return a number with as many places as it needs, at most `places`; never with an exponent."""
    quotient = EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    rounded = quotient.quantize(Decimal((0, (1,), -places)), ROUND_HALF_EVEN, EXACT).normalize(EXACT)
    return rounded.quantize(Decimal(1), context=EXACT) if _exponent(rounded) > 0 else rounded
