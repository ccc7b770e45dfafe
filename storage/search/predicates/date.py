"""Dates (FHIR R4 search.html#date): rows of fhir_index_dates, or the clinical date in the resource's own columns."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_

from capability.search_parameters import SearchParameter
from storage.search.keys import parameter_key
from storage.search.predicates.parameters import parameter_like
from storage.search.predicates.ranges import RANGE_TESTS, range_of
from storage.search.query import Date, Prefix, Value
from storage.search.shape import Binder, ClinicalDateTest, DateIs, UpdatedTest
from storage.search.values import OPEN_HIGH, OPEN_LOW


def date_test(parameter: SearchParameter, value: Value, now: int, binder: Binder) -> DateIs:
    """Return the condition on date rows; `now` is in microseconds since 1970 UTC (`ap` widens with the distance)."""
    date = expect_date(value)
    low, high = asked_range(date, now)
    key = binder.bind(parameter_key(parameter.resource_type, parameter.code))
    return DateIs(key, date.prefix, binder.bind(low), binder.bind(high))


def clinical_date_test(parameter: SearchParameter, value: Value, now: int, binder: Binder) -> ClinicalDateTest:
    """Return the test of the columns `date_low` and `date_high`."""
    date = expect_date(value)
    low, high = asked_range(date, now)
    return ClinicalDateTest(date.prefix, binder.bind(low), binder.bind(high), binder.bind(1 << parameter.bit))


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
    start, end = parameter_like(rows.low, condition.low), parameter_like(rows.high, condition.high)
    return and_(key, RANGE_TESTS[condition.prefix](range_of(rows.low, rows.high), start, end))
