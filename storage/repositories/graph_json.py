"""Tables of the patient graph as JSON: `{table: [row, …]}` with the field names of its API (camelCase).

Values are taken as untidy as they come: numbers as text, empty text for null where a column is no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from sqlalchemy import Column, Date, Integer, Table

from storage.repositories.errors import NoRow
from storage.tables import patient_graph as tables
from storage.tables.types import ExactDecimal, Json, TextList, Timestamp

LoadedTable: TypeAlias = Table
"""A table that rows are loaded into."""

ALIASES: Final = {"patient_treatments": "subscriptions"}
LARGEST_EXPONENT: Final = 18
"""Of ten; no whole number of a table is larger."""
_CAPITAL: Final = re.compile(r"[A-Z]")

LOADED_TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        tables.customer_profiles,
        tables.identity_mappings,
        tables.subscriptions,
        tables.protocols,
        tables.lab_results,
        tables.patient_prescriptions,
        tables.patient_events,
        tables.conversation_history,
        tables.patient_wearable_readings,
        tables.patient_wearable_daily_stats,
    )
}
"""Tables that are loaded, referred-to ones first."""


def tables_of(document: Mapping[str, Any]) -> list[tuple[Table, list[Any]]]:
    """Return the tables of a document with their rows, referred-to tables first.

    Raises NoRow for a table that the patient graph does not have.
    """
    named = {ALIASES.get(name, name): rows for name, rows in document.items()}
    unknown = sorted(named.keys() - LOADED_TABLES.keys())
    if unknown:
        raise NoRow(f"no such table of the patient graph: {', '.join(unknown)}")
    for name, rows in named.items():
        if not isinstance(rows, list):
            raise NoRow(f"{name} is a list of rows")
    return [(table, named[name]) for name, table in LOADED_TABLES.items() if name in named]


def row_of(table: Table, item: Any, organization_id: str) -> dict[str, Any]:
    """Return column values of one JSON row; raises NoRow naming the field that does not fit."""
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise NoRow("a row is an object with an id, which is a text")
    row: dict[str, Any] = {"organization_id": organization_id}
    for name, value in item.items():
        column = table.columns.get(_CAPITAL.sub(lambda match: f"_{match[0].lower()}", name))
        if column is None:
            raise NoRow(f"{table.name} has no column for {name}")
        if column is table.c.organization_id and value != organization_id:
            raise NoRow(f"{name} is not {organization_id}: load what is of another organization there")
        try:
            row[column.name] = _column_value(column, value)
        except (ValueError, TypeError, InvalidOperation):
            raise NoRow(f"{table.name}.{column.name}: {name} has to be {_kind(column)}") from None
    if table is tables.lab_results:
        row["lab_day"] = day_of(row.get("lab_date"))
    return row


def day_of(lab_date: str | None) -> date | None:
    """Return the day of a FHIR dateTime; None for a partial date or for text that is no date (settled §2.2)."""
    try:
        return date.fromisoformat(lab_date[:10]) if lab_date else None
    except ValueError:
        return None


def without_repeats(table: Table, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, a report uploaded again standing in for the first one under the first one's id."""
    if table is not tables.lab_results:
        return list(rows)
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        upload = row.get("upload_id")
        key = (row["id"],) if upload is None else (row.get("customer_id"), upload)
        first = kept.get(key, {})
        kept[key] = row | {name: first[name] for name in ("id", "created_at") if name in first}
    return list(kept.values())


def _column_value(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, Json):
        return value
    if value is None:
        return None
    for kind, convert, _ in CONVERSIONS:
        if isinstance(column.type, kind):
            return None if value == "" and column.nullable else convert(value)
    return _text(value)


def _kind(column: Column[Any]) -> str:
    return next((name for kind, _, name in CONVERSIONS if isinstance(column.type, kind)), "a text")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _instant(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(value: Any) -> Decimal:
    number = Decimal(_text(value) if not isinstance(value, int | Decimal) else value)
    if isinstance(value, bool) or not number.is_finite():
        raise ValueError
    return number


def _whole(value: Any) -> int:
    number = _number(value)
    if number.adjusted() > LARGEST_EXPONENT or number != number.to_integral_value():
        raise ValueError
    return int(number)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_text(each) for each in value]


CONVERSIONS: Final[tuple[tuple[type, Callable[[Any], Any], str], ...]] = (
    (Timestamp, _instant, "a date with a time"),
    (Date, lambda value: date.fromisoformat(_text(value)), "a date"),
    (Integer, _whole, "a whole number"),
    (ExactDecimal, _number, "a number"),
    (TextList, _texts, "a list of texts"),
)
"""Type of column, how its values are read, and what to call them."""
