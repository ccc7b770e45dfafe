"""Tables of the patient graph as JSON: `{table: [row, …]}` with the field names of its API (camelCase).

Values are taken as untidy as they come: numbers as text, empty text for null where a column is no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy import Column, Date, Integer, Table

from fhir_server.loading.bundles import NotLoadable
from storage.tables import patient_graph as tables
from storage.tables.types import ExactDecimal, Json, TextList, Timestamp

ALIASES: Final = {"patient_treatments": "subscriptions"}
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

    Raises NotLoadable for a table that the patient graph does not have.
    """
    named = {ALIASES.get(name, name): rows for name, rows in document.items()}
    unknown = sorted(named.keys() - LOADED_TABLES.keys())
    if unknown:
        raise NotLoadable(f"no such table of the patient graph: {', '.join(unknown)}")
    return [(table, list(named[name])) for name, table in LOADED_TABLES.items() if name in named]


def row_of(table: Table, item: Mapping[str, Any], organization_id: str) -> dict[str, Any]:
    """Return column values of one JSON row; raises NotLoadable naming the field that does not fit."""
    row: dict[str, Any] = {"organization_id": organization_id}
    for name, value in item.items():
        column = table.columns.get(_CAPITAL.sub(lambda match: f"_{match[0].lower()}", name))
        if column is None:
            raise NotLoadable(f"{table.name} has no column for {name}")
        try:
            row[column.name] = _column_value(column, value)
        except (ValueError, TypeError, InvalidOperation):
            raise NotLoadable(f"{table.name}.{column.name}: the value of {name} is no {column.type!r}") from None
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
        first = kept.get(key)
        kept[key] = row if first is None else {**row, "id": first["id"], "created_at": first.get("created_at")}
    return list(kept.values())


def _column_value(column: Column[Any], value: Any) -> Any:
    if isinstance(column.type, Json):
        return value
    if value is None:
        return None
    for kind, convert in CONVERSIONS:
        if isinstance(column.type, kind):
            return None if value == "" and column.nullable else convert(value)
    return value if isinstance(value, str) else _wrong(value)


def _wrong(value: Any) -> Any:
    raise TypeError(type(value).__name__)


def _instant(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


CONVERSIONS: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (Timestamp, _instant),
    (Date, date.fromisoformat),
    (Integer, int),
    (ExactDecimal, lambda value: Decimal(str(value))),
    (TextList, list),
)
