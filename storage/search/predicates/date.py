"""Dates (FHIR R4 search.html#date): rows of fhir_index_dates, or the clinical date in the resource's own columns."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, and_

from capability.search_parameters import SearchParameter
from storage.projection.coverage import element_paths
from storage.search.keys import parameter_key
from storage.search.predicates.parameters import parameter_like
from storage.search.predicates.ranges import RANGE_TESTS, Range, range_of
from storage.search.query import Date, Prefix, Value
from storage.search.shape import Binder, ClinicalDateTest, DateBound, DateIs, UpdatedTest
from storage.search.values import OPEN_HIGH, OPEN_LOW

_LONGEST: Final = 367 * 86_400_000_000
"""Microseconds that no date, dateTime or instant exceeds: the least precise is a year."""
_REACHING_BACK: Final = frozenset({Prefix.GT, Prefix.GE, Prefix.AP})
"""Comparisons that something begun before the range can meet by its end."""


def date_test(parameter: SearchParameter, values: Iterable[Value], now: int, binder: Binder) -> DateIs:
    """Return the condition on date rows that one row keeps within all the values.

    `now` is in microseconds since 1970 UTC (`ap` widens with the distance).
    """
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    return DateIs(key, tuple(_bound(parameter, value, now, binder) for value in values))


def clinical_date_test(parameter: SearchParameter, value: Value, now: int, binder: Binder) -> ClinicalDateTest:
    """Return the test of the columns `date_low` and `date_high`."""
    return ClinicalDateTest(_bound(parameter, value, now, binder), binder.bind(1 << parameter.bit))


@cache
def occurs_once(parameter: SearchParameter) -> bool:
    """Say whether a resource has at most one row of a date parameter: then two comparisons are about the same row."""
    paths = element_paths(parameter.resource_type, parameter.expression)
    return len(paths) == 1 and not paths[0].repeats


@cache
def _is_short(parameter: SearchParameter) -> bool:
    """Say whether no value of a date parameter is a Period or Timing, which may last for any time."""
    paths = element_paths(parameter.resource_type, parameter.expression)
    return all(path.datatype in {"date", "dateTime", "instant"} for path in paths)


def _bound(parameter: SearchParameter, value: Value, now: int, binder: Binder) -> DateBound:
    date = expect_date(value)
    low, high = asked_range(date, now)
    floor = None
    if date.prefix in _REACHING_BACK and _is_short(parameter):
        floor = binder.bind(max(low - _LONGEST, OPEN_LOW + 1))
    return DateBound(date.prefix, binder.bind(low), binder.bind(high), floor)


def updated_test(date: Date, now: int, binder: Binder) -> UpdatedTest:
    """Return the test of the time of the current version."""
    low, high = asked_range(date, now)
    return UpdatedTest(date.prefix, binder.bind(low), binder.bind(high))


def asked_range(date: Date, now: int) -> tuple[int, int]:
    """Return the range asked for, for `ap` widened by a tenth of the time to now, at least by its own width."""
    if date.prefix is not Prefix.AP:
        return date.low, date.high
    distance = date.low - now if date.low > now else max(now - date.high, 0)
    widening = max(distance // 10, date.high - date.low)
    return max(date.low - widening, OPEN_LOW + 1), min(date.high + widening, OPEN_HIGH - 1)


def expect_date(value: Value) -> Date:
    """Return the value as a date; raises TypeError for another kind."""
    if not isinstance(value, Date):
        raise TypeError(f"{type(value).__name__} is no value of a date parameter")
    return value


def date_condition(condition: DateIs, rows: Any) -> ColumnElement[bool]:
    """Return the condition on columns of fhir_index_dates."""
    key = rows.key == parameter_like(rows.key, condition.key)
    stored = range_of(rows.low, rows.high)
    return and_(key, *(bound_condition(bound, stored) for bound in condition.bounds))


def bound_condition(bound: DateBound, stored: Range) -> ColumnElement[bool]:
    """Return the condition that a stored range keeps within a bound."""
    start, end = parameter_like(stored.low, bound.low), parameter_like(stored.low, bound.high)
    found = RANGE_TESTS[bound.prefix](stored, start, end)
    return found if bound.floor is None else and_(stored.low >= parameter_like(stored.low, bound.floor), found)
