"""Rows as the JSON of the patient graph API: camelCase, instants in UTC with Z, decimals with their digits."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, cast

HIDDEN: Final = frozenset({"organization_id"})
"""Columns that no answer shows: the organization comes from the token."""


@cache
def member_name(column: str) -> str:
    """Return the name of a column in JSON: `lab_date` is `labDate`."""
    first, *others = column.split("_")
    return first + "".join(map(str.capitalize, others))


@cache
def _members(row_type: Hashable) -> tuple[tuple[str, str], ...]:
    """Return column and member of what a row (a dataclass) shows; child rows are no part of it."""
    columns = (each.name for each in fields(cast("Any", row_type)) if each.name not in HIDDEN)
    return tuple((name, member_name(name)) for name in columns)


def shown(row: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON of a row (a frozen dataclass named like its columns), except the columns `without`."""
    members = _members(cast("Hashable", type(row)))  # mypy takes the type of anything for unhashable
    return {member: json_value(getattr(row, column)) for column, member in members if column not in without}


def json_value(value: Any) -> Any:
    """Return a column's value as JSON has it, which knows neither NaN nor infinity: other programs may leave these."""
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return list(value)
    return value


def instant(moment: datetime) -> str:
    """Return an instant as RFC 3339 in UTC; microseconds only where there are some."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
