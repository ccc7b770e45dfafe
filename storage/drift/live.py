"""The schema of a database as it is: tables, columns, and the values that CHECK constraints allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from storage.driver import Driver
from storage.engine import Database
from storage.sql import Prepared

# What is visible through the search path, wherever it lies; PostgreSQL's own schemas hold no table of ours.
_POSTGRES_COLUMNS: Final = Prepared(
    """
    SELECT relname, attname,
           CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) ELSE format_type(atttypid, atttypmod) END,
           attnotnull, atthasdef OR attidentity <> '' OR attgenerated <> ''
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_type ON pg_type.oid = atttypid
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND attnum > 0 AND NOT attisdropped AND pg_table_is_visible(attrelid)
          AND nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_%%'
    ORDER BY relname, attnum""",
    {},
)
_POSTGRES_CHECKS: Final = Prepared(
    """
    SELECT relname, pg_get_constraintdef(pg_constraint.oid), convalidated
    FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE contype = 'c' AND pg_table_is_visible(conrelid)""",
    {},
)
_SQLITE_COLUMNS: Final = Prepared(
    """
    SELECT held.name, own.name, own.type, own."notnull" OR (own.pk > 0 AND held.type = 'table'),
           own.dflt_value IS NOT NULL OR own.hidden IN (2, 3) OR (own.pk = 1 AND upper(own.type) = 'INTEGER')
    FROM sqlite_master AS held JOIN pragma_table_xinfo(held.name) AS own
    WHERE held.type IN ('table', 'view') AND own.hidden <> 1
    ORDER BY held.name, own.cid""",
    {},
)
_SQLITE_CHECKS: Final = Prepared("SELECT name, sql, 1 FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL", {})

_MEMBERS: Final = re.compile(
    r"""\(?\(?"?(?P<column>\w+)"?\)?(?:::\w+)?\s*
        (?:IN\s*\((?P<listed>[^()]*)\) | =\s*ANY\s*\(+\s*ARRAY\[(?P<array>[^\]]*)\])""",
    re.IGNORECASE | re.VERBOSE,
)
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_BETWEEN: Final = re.compile(r"(::[\w ]+|[\s,])*")
"""What may stand between the literals of a list of values; a list with anything else in it is no such list."""


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """One column as the database has it."""

    name: str
    type: str
    required: bool
    """NOT NULL, and nothing fills it by itself."""
    not_null: bool


@dataclass(frozen=True, slots=True)
class LiveTable:
    """One table or view; `allowed` are the values that CHECK constraints let into a column."""

    name: str
    columns: Mapping[str, LiveColumn] = field(default_factory=dict)
    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict)


async def read_live(database: Database) -> dict[str, LiveTable]:
    """Return every table that the server sees, by name; raises DatabaseUnavailable."""
    async with database.read("") as driver:  # catalogs need no context
        return await _read(driver)


async def _read(driver: Driver) -> dict[str, LiveTable]:
    postgres = driver.dialect == "postgresql"
    columns: dict[str, dict[str, LiveColumn]] = {}
    for table, name, own_type, not_null, filled in await driver.fetch(
        _POSTGRES_COLUMNS if postgres else _SQLITE_COLUMNS, {}
    ):
        live = LiveColumn(name, own_type, bool(not_null) and not filled, bool(not_null))
        columns.setdefault(table, {})[name] = live
    allowed: dict[str, dict[str, frozenset[str]]] = {}
    for table, text, is_valid in await driver.fetch(_POSTGRES_CHECKS if postgres else _SQLITE_CHECKS, {}):
        if is_valid:  # one that was added NOT VALID says nothing of rows that were there
            allowed.setdefault(table, {}).update(allowed_values(text))
    return {table: LiveTable(table, own, allowed.get(table, {})) for table, own in columns.items()}


def allowed_values(condition: str) -> dict[str, frozenset[str]]:
    """Return column → values of the lists of values in a CHECK constraint, or in the text of CREATE TABLE."""
    found: dict[str, frozenset[str]] = {}
    for match in _MEMBERS.finditer(condition):
        listed = match["listed"] or match["array"] or ""
        literals = _LITERAL.findall(listed)
        if literals and _BETWEEN.fullmatch(_LITERAL.sub("", listed)):
            found[match["column"]] = frozenset(each.replace("''", "'") for each in literals)
    return found
