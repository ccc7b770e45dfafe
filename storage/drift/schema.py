"""Tables and columns as declared, held against those that a database has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from sqlalchemy import Column, Table

from storage.drift.declared import declared_type, declared_values, is_narrower, kind_of, mappers_needing, mappers_of
from storage.drift.findings import Finding, Kind
from storage.drift.live import LiveColumn, LiveTable
from storage.tables.metadata import metadata

AFTERWARDS: Final = "then `fhir-server reconcile --fix`"
DECLARED_BY: Final = "storage/tables and a migration"


def compare_schema(live: Mapping[str, LiveTable], dialect: str) -> list[Finding]:
    """Return in what the tables of a database differ from those of this version."""
    return [
        finding
        for table in sorted(metadata.tables.values(), key=lambda each: each.name)
        for finding in _compare_table(table, live.get(table.name), dialect)
    ]


def _compare_table(table: Table, live: LiveTable | None, dialect: str) -> Iterator[Finding]:
    if live is None:
        yield Finding(
            Kind.TABLE_GONE,
            table.name,
            None,
            "the database has no such table",
            f"put it back from a backup, {AFTERWARDS}",
            mappers_needing(table.name),
        )
        return
    unknown = {name: column for name, column in live.columns.items() if name not in table.c}
    for column in table.columns:
        found = live.columns.get(column.name)
        if found is None:
            yield _gone(table, column, unknown, dialect)
        else:
            yield from _compare_column(table, column, found, dialect)
    yield from _compare_values(table, live)
    for new in unknown.values():
        yield _unknown(table, new)


def _gone(table: Table, column: Column[object], unknown: Mapping[str, LiveColumn], dialect: str) -> Finding:
    own_type = declared_type(column, dialect)
    renamed = _renamed(column.name, own_type, unknown)
    if renamed is None:
        detail = "the column is gone"
        remedy = f"ALTER TABLE {table.name} ADD COLUMN {column.name} {own_type}, {AFTERWARDS}"
    else:
        detail = f"the column is gone; {renamed} is new"
        remedy = f"ALTER TABLE {table.name} RENAME COLUMN {renamed} TO {column.name}, {AFTERWARDS}"
    return Finding(Kind.COLUMN_GONE, table.name, column.name, detail, remedy, mappers_needing(table.name, column.name))


def _renamed(name: str, own_type: str, unknown: Mapping[str, LiveColumn]) -> str | None:
    """Return the unknown column that a declared one most likely is by now."""
    candidates = [each.name for each in unknown.values() if kind_of(each.type) == kind_of(own_type)]
    alike = get_close_matches(name, candidates, n=1, cutoff=0.5)
    if alike:
        return alike[0]
    return candidates[0] if len(candidates) == 1 else None


def _compare_column(table: Table, column: Column[object], live: LiveColumn, dialect: str) -> Iterator[Finding]:
    own_type = declared_type(column, dialect)
    if kind_of(live.type) != kind_of(own_type):
        yield Finding(
            Kind.TYPE_CHANGED,
            table.name,
            column.name,
            f"is {live.type.lower() or 'of no type'} and not {own_type.lower()}",
            _change_type(table, column, own_type, dialect),
            mappers_needing(table.name, column.name),
        )
    elif is_narrower(live.type, own_type):
        yield Finding(
            Kind.TYPE_NARROWED,
            table.name,
            column.name,
            f"is {live.type.lower()}, which holds less than {own_type.lower()}: what does not fit cannot be written",
            _change_type(table, column, own_type, dialect),
            mappers_needing(table.name, column.name),
        )
    if live.not_null and column.nullable and not column.primary_key:
        yield Finding(
            Kind.COLUMN_REQUIRED,
            table.name,
            column.name,
            "is NOT NULL by now: rows without it cannot be written",
            f"ALTER TABLE {table.name} ALTER COLUMN {column.name} DROP NOT NULL, or declare it so in {DECLARED_BY}",
            mappers_needing(table.name, column.name),
        )


def _change_type(table: Table, column: Column[object], own_type: str, dialect: str) -> str:
    if dialect == "sqlite":
        return f"make {table.name} anew with {column.name} {own_type}, {AFTERWARDS}"
    plain = own_type.partition(" COLLATE")[0]
    return (
        f"ALTER TABLE {table.name} ALTER COLUMN {column.name} TYPE {own_type} USING {column.name}::{plain.lower()},"
        f" {AFTERWARDS}"
    )


def _unknown(table: Table, column: LiveColumn) -> Finding:
    if column.required:
        return Finding(
            Kind.COLUMN_UNFILLED,
            table.name,
            column.name,
            "is new, NOT NULL and has no default: no new rows can be written; what FHIR clients send stays native",
            f"ALTER TABLE {table.name} ALTER COLUMN {column.name} SET DEFAULT …, or declare it in {DECLARED_BY}",
            mappers_of(table.name),
        )
    return Finding(
        Kind.COLUMN_NEW,
        table.name,
        column.name,
        "is new: FHIR does not show it",
        f"nothing, or declare it in {DECLARED_BY} and in the mapper that is to show it",
        mappers_of(table.name),
    )


def _compare_values(table: Table, live: LiveTable) -> Iterator[Finding]:
    for name, members in declared_values(table).items():
        allowed = live.allowed.get(name)
        if name not in live.columns or allowed == members:
            continue
        yield Finding(
            Kind.VALUES_CHANGED,
            table.name,
            name,
            _difference(allowed, members),
            "add the values to the enumeration and the mapper's status table, or restore the CHECK constraint;"
            " rows with a value that no mapper knows keep their last version",
            mappers_needing(table.name, name),
        )


def _difference(allowed: frozenset[str] | None, members: frozenset[str]) -> str:
    if allowed is None:
        return "no CHECK constraint lists its values any more"
    parts = [("allows", allowed - members), ("no longer allows", members - allowed)]
    return "; ".join(f"{said} {_listed(names)}" for said, names in parts if names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
