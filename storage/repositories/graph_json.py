"""Tables of the internal systems as JSON: `{table: [row, …]}` with the field names of their APIs or of SQL.

Values are taken as untidy as they come: numbers as text, empty text for null where a column is no text. A column that
holds bytes as received takes the bytes of its member as they are written, digit for digit (settled §2.5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import Boolean, Column, Date, Integer, Table

from storage.repositories.errors import NoRow
from storage.repositories.hub_records import digest
from storage.tables import care_platform, health_hub, platform
from storage.tables import patient_graph as tables
from storage.tables.columns import SHARED
from storage.tables.types import ExactDecimal, Json, Received, TextList, Timestamp

LoadedTable: TypeAlias = Table
"""A table that rows are loaded into."""

ALIASES: Final = {"patient_treatments": "subscriptions"}
BOM: Final = b"\xef\xbb\xbf"
DATE_LENGTH: Final = 10
LARGEST_EXPONENT: Final = 18
"""Of ten; no whole number of a table is larger."""
_CAPITAL: Final = re.compile(r"[A-Z]")

LOADED_TABLES: Final[Mapping[str, Table]] = {
    table.name: table
    for table in (
        platform.organizations,
        platform.users,
        platform.user_organizations,
        platform.social_accounts,
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
        *care_platform.TENANT_TABLES,
        *health_hub.TENANT_TABLES,
    )
}
"""Tables that are loaded, referred-to ones first."""

ANSWER: Final = frozenset({"success", "data"})
"""Members of an answer of the internal APIs."""
REMARK: Final = "_"
"""What a name in a document begins with that is no table but says something about the data."""

_read_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_rows: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


SUBJECTS: Final = ("customer_id", "patient_id", "profile_id")
"""Columns that name the person whom a row is about."""
PERSONS: Final = frozenset({"customer_profiles", "patients", "profiles"})
"""Tables whose rows are persons."""


def key_of(table: Table) -> str:
    """Return the column that tells the rows of an organization apart."""
    return str(list(table.primary_key.columns)[-1].name)


def subject_of(table: Table, row: Mapping[str, Any]) -> str | None:
    """Return the id of the person whom a row is about, None when it is about nobody."""
    if table.name in PERSONS:
        return str(row["id"])
    return next((row[name] for name in SUBJECTS if row.get(name) is not None), None)


def name_of(table: Table, row: Mapping[str, Any]) -> str:
    """Return what a row may be called in messages and records: its key, unless that is a secret."""
    key = table.columns[key_of(table)]
    return "?" if key.info.get("secret") else str(row[key.name])


def tables_of(document: Mapping[str, Any]) -> list[tuple[Table, list[Any]]]:
    """Return the tables of a document with their rows, referred-to tables first; remarks are left out.

    Raises NoRow for a table that no system has.
    """
    named = {ALIASES.get(name, name): rows for name, rows in document.items() if not name.startswith(REMARK)}
    unknown = sorted(named.keys() - LOADED_TABLES.keys())
    if unknown:
        raise NoRow(f"no such table: {', '.join(unknown)}; a resource has a resourceType")
    for name, rows in named.items():
        if not isinstance(rows, list):
            raise NoRow(f"{name} is a list of rows")
    return [(table, named[name]) for name, table in LOADED_TABLES.items() if name in named]


def remarks_of(document: Mapping[str, Any]) -> list[str]:
    """Return the names in a document that are no tables and are not loaded."""
    return sorted(name for name in document if name.startswith(REMARK))


def unpacked(document: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what an answer of the internal APIs holds, as an export is one, and its bytes; others as they are."""
    if document.keys() != ANSWER or not isinstance(document["data"], dict):
        return document, data
    return document["data"], bytes(_read_members(data.removeprefix(BOM))["data"])


@dataclass(frozen=True, slots=True)
class Written:
    """A JSON value, and the bytes that it was written in."""

    value: Any
    data: bytes


def keep_received(document: dict[str, Any], data: bytes) -> None:
    """Give the members of a document that are kept as received the bytes in which `data` writes them.

    `document` is what `data` says, and has been found to be tables of rows.
    """
    wanted = {name: columns for name in document if (columns := _received(name)) and document[name]}
    written = _read_members(data.removeprefix(BOM)) if wanted else {}
    for name, columns in wanted.items():
        for row, text in zip(document[name], _read_rows(written[name]), strict=True):
            members = _read_members(text) if isinstance(row, dict) else {}
            for member in [each for each in members if _column_name(each) in columns]:
                row[member] = Written(row[member], bytes(members[member]))


def _received(table_name: str) -> frozenset[str]:
    table = LOADED_TABLES.get(ALIASES.get(table_name, table_name))
    columns = () if table is None else table.columns
    return frozenset(column.name for column in columns if isinstance(column.type, Received))


def key_in(table: Table, item: Any) -> str:
    """Return the key of one JSON row; raises NoRow when it has none."""
    key = key_of(table)
    found = item.get(key, item.get(_field_name(key))) if isinstance(item, dict) else None
    if not isinstance(found, str):
        raise NoRow(f"a row is an object whose {key} is a text")
    return found


def row_of(table: Table, item: Any, organization_id: str) -> dict[str, Any]:
    """Return column values of one JSON row of an organization; raises NoRow naming the field that does not fit.

    A catalogue row of SHARED says null for its organization.
    """
    key_in(table, item)
    own = table.columns.get("organization_id")
    row: dict[str, Any] = {} if own is None else {"organization_id": organization_id}
    for name, value in item.items():
        column = table.columns.get(_column_name(name))
        if column is None:
            raise NoRow(f"{table.name} has no column for {name}")
        if column is own:
            if value != organization_id and (value is not None or organization_id != SHARED):
                raise NoRow(f"{name} is not {organization_id}: load what is of another organization there")
            continue
        try:
            row[column.name] = _column_value(column, value)
        except (ValueError, TypeError, InvalidOperation):
            raise NoRow(f"{table.name}.{column.name}: {name} has to be {_kind(column)}") from None
    return row | derived_columns(table, row)


def derived_columns(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that follow from others."""
    if table is tables.lab_results:
        return {"lab_day": day_of(row.get("lab_date"))}
    if table is health_hub.profile_fhir_resources_raw and "resource_json" in row:
        return {"sha256": digest(row["resource_json"])}
    if table is platform.users and row.get("email") is not None:
        return {"email": row["email"].lower()}
    return {}


def _column_name(field: str) -> str:
    return _CAPITAL.sub(lambda match: f"_{match[0].lower()}", field)


def _field_name(column: str) -> str:
    first, *others = column.split("_")
    return first + "".join(map(str.capitalize, others))


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


def _day(value: Any) -> date:
    """Return the day of a date, or of a date with a time as it is written."""
    text = _text(value)
    return date.fromisoformat(text) if len(text) <= DATE_LENGTH else datetime.fromisoformat(text).date()


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


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


def _as_written(value: Any) -> bytes:
    if not isinstance(value, Written) or not isinstance(value.value, dict):
        raise TypeError
    return value.data


CONVERSIONS: Final[tuple[tuple[type, Callable[[Any], Any], str], ...]] = (
    (Timestamp, _instant, "a date with a time"),
    (Date, _day, "a date"),
    (Boolean, _truth, "true or false"),
    (Integer, _whole, "a whole number"),
    (ExactDecimal, _number, "a number"),
    (TextList, _texts, "a list of texts"),
    (Received, _as_written, "a resource"),
)
"""Type of column, how its values are read, and what to call them."""
