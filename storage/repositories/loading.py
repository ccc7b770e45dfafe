"""Rows that come from elsewhere as they are: no state machine, for what happened elsewhere has happened.

What the table refuses (a constraint, an enumeration) is told row by row; the others are saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

import psycopg
from sqlalchemy import ColumnElement, Table, bindparam, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from mappers.telemetry import SettingRefused, read_setting
from storage.projection.declared import MAPPED_TABLES
from storage.repositories.errors import UnknownValue
from storage.repositories.graph_json import key_of
from storage.tables.columns import SHARED, UNSAID_IS_SHARED
from storage.tables.enums import VALIDATED, HomeSystem
from storage.tables.platform import organizations
from storage.tables.types import is_same_value
from storage.telemetry.signals import announce_all
from storage.transaction import UnitOfWork

Row = dict[str, Any]
NEW: Final[Mapping[str, Mapping[str, Any]]] = {"organizations": {"home_system": HomeSystem.CARE.value}}
"""Table → what its new rows are unless they say otherwise: only the care platform's documents bring organizations."""
KEPT: Final = frozenset({"users"})
"""Tables whose rows stay as they are here: nobody's password, e-mail or rights follow from a file, once they exist."""
REFUSALS: Final = (IntegrityError, DataError)


class RowsRefused(Exception):
    """The table refused one of many rows; saved singly, all others may pass."""


@dataclass(slots=True)
class Saved:
    """Keys of the rows that were new or differed, and why others were refused (key → reason)."""

    changed: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


async def save_rows(unit: UnitOfWork, table: Table, rows: Sequence[Row], *, singly: bool = False) -> Saved:
    """Insert rows that are new and update those that differ; mapped ones are touched.

    Each row has a key, distinct among them, and the organization of the unit of work, unless the table is outside
    tenancy; columns that it does not name stay as they are, or get their default. Rows of KEPT tables are inserted
    only. A reference to the catalogue that does not say whose row it means, means the organization's own, or else a
    shared one. Raises RowsRefused when the table refuses one, unless `singly`.
    """
    saved = Saved()
    key = key_of(table)
    rows = await _with_catalogue(unit, table, rows)
    known = await _known(unit, table, [row[key] for row in rows])
    new: list[Row] = []
    changed: list[Row] = []
    for row in rows:
        before = known.get(row[key])
        reason = _unknown_value(table, before, row)
        if reason is not None:
            saved.refused[row[key]] = reason
        elif before is None:
            new.append({**NEW.get(table.name, {}), **row})
        elif table.name in KEPT:
            continue
        elif any(not is_same_value(_comparable(before[name]), _comparable(value)) for name, value in row.items()):
            changed.append(row)
    for writes, is_new in ((new, True), (changed, False)):
        for batch in [[row] for row in writes] if singly else _alike(writes):
            await _save(unit, table, batch, saved, is_new=is_new, singly=singly)
    await announce_all(unit, table.name)
    if table.name in MAPPED_TABLES:
        for each in saved.changed:
            unit.touch(table.name, each, new=each not in known)
    return saved


async def _known(unit: UnitOfWork, table: Table, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    key = table.c[key_of(table)]
    statement = select(table).where(*_own(unit, table), key.in_(ids))
    return {row[key.name]: dict(row) for row in (await unit.connection.execute(statement)).mappings()}


def _own(unit: UnitOfWork, table: Table) -> tuple[ColumnElement[bool], ...]:
    own = table.columns.get("organization_id")
    return () if own is None else (own == unit.organization_id,)


async def _with_catalogue(unit: UnitOfWork, table: Table, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the rows with whose catalogue row each reference means."""
    for constraint in table.foreign_key_constraints:
        whose, key = constraint.column_keys[0], constraint.column_keys[-1]
        if UNSAID_IS_SHARED not in table.c[whose].info:
            continue
        unsaid = {row[key] for row in rows if row.get(key) is not None and whose not in row}
        target = constraint.referred_table
        statement = select(target.c.id).where(*_own(unit, target), target.c.id.in_(sorted(unsaid)))
        own = set(await unit.connection.scalars(statement)) if unsaid else set()
        rows = [_saying(row, whose, unit.organization_id if row.get(key) in own else SHARED) for row in rows]
    return rows


def _saying(row: Row, whose: str, unsaid: str) -> Row:
    """Return the row with what it does not say; null is a shared row in the documents."""
    return row | {whose: (SHARED if whose in row else unsaid) if row.get(whose) is None else row[whose]}


def _unknown_value(table: Table, before: Mapping[str, Any] | None, row: Row) -> str | None:
    """Return why a row may not be kept: a column that takes members of an enumeration has a new, other value."""
    for column, members in VALIDATED.get(table.name, {}).items():
        value = row.get(column)
        allowed = [member.value for member in members]
        if value is not None and value not in allowed and (before is None or before[column] != value):
            return str(UnknownValue(table.name, row[key_of(table)], column, allowed))
    if table is organizations and "settings" in row:
        try:
            read_setting(row["settings"])
        except SettingRefused as error:
            return f"organizations.settings: {error}"
    return None


def _comparable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _alike(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows in groups that name the same columns: one statement each."""
    by_columns = sorted(rows, key=sorted)
    return [list(group) for _, group in groupby(by_columns, key=sorted)]


async def _save(unit: UnitOfWork, table: Table, batch: list[Row], saved: Saved, *, is_new: bool, singly: bool) -> None:
    try:
        async with unit.connection.begin_nested():
            if is_new:
                await unit.connection.execute(insert(table), batch)
            else:
                await unit.connection.execute(_update(table, batch[0]), [_renamed(table, row) for row in batch])
    except (*REFUSALS, OperationalError) as error:
        if isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) != TOO_LONG:
            raise
        if not singly:
            raise RowsRefused from None
        saved.refused[batch[0][key_of(table)]] = f"{table.name}: {_reason(error)}"
    else:
        saved.changed.extend(row[key_of(table)] for row in batch)


def _update(table: Table, row: Row) -> Any:
    columns = {name: bindparam(name, type_=table.c[name].type) for name in row if name not in table.primary_key.columns}
    key = [column == bindparam(f"at_{column.name}") for column in table.primary_key.columns]
    return update(table).where(*key).values(columns)


def _renamed(table: Table, row: Row) -> Row:
    return {f"at_{name}" if name in table.primary_key.columns else name: value for name, value in row.items()}


TOO_LONG: Final = "54000"
SQLSTATES: Final[Mapping[str, str]] = {
    "23502": "a column that needs a value has none",
    "23503": "a row that it refers to is not there",
    "23505": "another row has a value that must be unique",
    "23514": "a value is outside what the column takes",
    TOO_LONG: "a text is longer than an index takes",
}
SQLITE_WORDS: Final[Mapping[str, str]] = {
    "NOT NULL": SQLSTATES["23502"],
    "FOREIGN KEY": SQLSTATES["23503"],
    "UNIQUE": SQLSTATES["23505"],
    "CHECK": SQLSTATES["23514"],
}


def _reason(error: IntegrityError | DataError | OperationalError) -> str:
    """Return why the table refused a row, with the column or constraint concerned and no value."""
    origin = error.orig
    if isinstance(origin, psycopg.Error):
        told = SQLSTATES.get(origin.sqlstate or "", "a value does not fit its column")
        where = origin.diag.column_name or origin.diag.constraint_name
    else:
        text = str(origin)
        told = next((words for word, words in SQLITE_WORDS.items() if text.startswith(word)), "a value does not fit")
        where = text.partition(": ")[2]
    return f"{told} ({where})" if where else told
