"""Whether contents meet a test: what `own.py` asks of rows in SQL, asked of what the index would hold of a body.

For versions that are superseded, whose index rows are gone, and for those that are yet to be written (smart.md E3, E7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from storage.projection.index_values import IndexValues
from storage.search.agreement import AGREED
from storage.search.query import Prefix
from storage.search.shape import (
    Agreed,
    AllOf,
    AnyOf,
    ClinicalDateTest,
    Constant,
    DateBound,
    DateIs,
    IndexTest,
    Name,
    PatientIs,
    PresentTest,
    ReferenceIs,
    RowCondition,
    SubjectTest,
    Test,
    TokenIs,
)
from storage.search.values import OPEN_LOW

Bound = Mapping[str, Any]
"""The values of parameters by their names."""


def meets(test: Test, values: IndexValues, bound: Bound) -> bool:  # noqa: PLR0911 one case per kind of test
    """Say whether a resource with these contents meets a test.

    Raises TypeError for a test that no filter of a granular scope makes.
    """
    match test:
        case IndexTest(alternatives):
            return any(_has_row(each, values, bound) for each in alternatives)
        case PatientIs(patients, many):
            return values.patient != 0 and _is_one_of(values.patient, patients, many, bound)
        case SubjectTest(column, rows):
            return meets(column, values, bound) or meets(rows, values, bound)
        case ClinicalDateTest():
            return _clinical_date_meets(test, values, bound)
        case PresentTest(mask, missing):
            return bool(values.present & bound[mask]) is not missing
        case Constant(value):
            return value
        case Agreed():
            return bool(values.patients) and all(patient in bound[AGREED] for patient in values.patients)
        case AnyOf(tests):
            return any(meets(each, values, bound) for each in tests)
        case AllOf(tests):
            return all(meets(each, values, bound) for each in tests)
        case _:
            raise TypeError(f"{type(test).__name__} is no test of contents")


def _has_row(condition: RowCondition, values: IndexValues, bound: Bound) -> bool:
    match condition:
        case TokenIs(keys, many, system):
            return any(
                _is_one_of(row.key, keys, many, bound) and (system is None or row.system == bound[system])
                for row in values.tokens
            )
        case ReferenceIs(key, targets, many):
            return any(
                row.key == bound[key] and _is_one_of(row.target, targets, many, bound) for row in values.references
            )
        case DateIs(key, bounds):
            return any(
                row.key == bound[key] and all(_keeps(each, row.low, row.high, bound) for each in bounds)
                for row in values.dates
            )
        case _:
            raise TypeError(f"{type(condition).__name__} is no test of contents")


def _is_one_of(value: int, name: Name, many: bool, bound: Bound) -> bool:
    return value in bound[name] if many else value == bound[name]


_OPEN_MATCHES: Final = frozenset({Prefix.NE, Prefix.GT, Prefix.LT, Prefix.GE, Prefix.LE, Prefix.AP})


def _clinical_date_meets(test: ClinicalDateTest, values: IndexValues, bound: Bound) -> bool:
    if not _keeps(test.bound, values.date_low, values.date_high, bound):
        return False
    if test.bound.prefix not in _OPEN_MATCHES or test.bound.floor is not None:
        return True
    return values.date_low > OPEN_LOW or bool(values.present & bound[test.bit])


_RANGES: Final[Mapping[Prefix, Callable[[int, int, int, int], bool]]] = {
    Prefix.EQ: lambda low, high, start, end: start <= low < end and high <= end,
    Prefix.NE: lambda low, high, start, end: low < start or high > end,
    Prefix.GT: lambda low, high, _, end: low >= end or high > end,
    Prefix.LT: lambda low, _high, start, _end: low < start,
    Prefix.GE: lambda low, high, start, end: low >= start or high > end,
    Prefix.LE: lambda low, high, start, end: low < end and (low < start or high <= end),
    Prefix.SA: lambda low, _high, _start, end: low >= end,
    Prefix.EB: lambda low, high, start, _: low < start and high <= start,
    Prefix.AP: lambda low, high, start, end: low < end and (low >= start or high > start),
}
"""As `predicates/ranges.py` says of columns: [low, high) is what is stored, [start, end) what is asked for."""


def _keeps(test: DateBound, low: int, high: int, bound: Bound) -> bool:
    if test.floor is not None and low < bound[test.floor]:
        return False
    return _RANGES[test.prefix](low, high, bound[test.low], bound[test.high])
