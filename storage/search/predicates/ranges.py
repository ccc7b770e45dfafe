"""Comparison of two half-open ranges, the heart of dates, numbers and quantities (FHIR R4 search.html#prefix).

T = [low, high) is what is stored, S = [start, end) what is asked for. Where a test implies a bound on `low` it says
so, and an index on `low` is read between bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_

from storage.search.query import Prefix

Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Range:
    """What is stored: the column of the lower end, and tests of the upper end, which may lie in another table."""

    low: ColumnElement[Any]
    ends_by: Callable[[ColumnElement[Any]], Condition]
    """`high` is at most this."""
    ends_after: Callable[[ColumnElement[Any]], Condition]
    """`high` is more than this."""


def range_of(low: ColumnElement[Any], high: ColumnElement[Any]) -> Range:
    """Return the range of two columns of one row."""
    return Range(low, lambda end: high <= end, lambda end: high > end)


RANGE_TESTS: Final[Mapping[Prefix, Callable[[Range, ColumnElement[Any], ColumnElement[Any]], Condition]]] = {
    Prefix.EQ: lambda t, start, end: and_(t.low >= start, t.low < end, t.ends_by(end)),
    Prefix.NE: lambda t, start, end: or_(t.low < start, t.ends_after(end)),
    Prefix.GT: lambda t, start, end: or_(t.low >= end, t.ends_after(end)),  # noqa: ARG005 one signature for all
    Prefix.LT: lambda t, start, end: t.low < start,  # noqa: ARG005
    Prefix.GE: lambda t, start, end: or_(t.low >= start, t.ends_after(end)),
    Prefix.LE: lambda t, start, end: and_(t.low < end, or_(t.low < start, t.ends_by(end))),
    Prefix.SA: lambda t, start, end: t.low >= end,  # noqa: ARG005
    Prefix.EB: lambda t, start, end: and_(t.low < start, t.ends_by(start)),  # noqa: ARG005
    Prefix.AP: lambda t, start, end: and_(t.low < end, or_(t.low >= start, t.ends_after(start))),
}
"""`ge` is `gt` or `eq`, `le` is `lt` or `eq`; `ap` is overlap with S widened beforehand."""
