"""What the code says a database has: kinds of columns, values of state columns, and which mapper needs which column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from sqlalchemy import CheckConstraint, Column, Table

from mappers.lens import ResourceMapper, Shows
from mappers.registry import MAPPERS
from storage.drift.live import allowed_values
from storage.projection.needed import ASKED, DERIVED_FROM, Needed
from storage.rows import STAMPS, shape_of
from storage.sql import DIALECTS
from storage.tables.metadata import metadata

KINDS: Final[Mapping[str, str]] = {
    "text": "text",
    "character varying": "text",
    "varchar": "text",
    "character": "text",
    "citext": "text",
    "smallint": "integer",
    "integer": "integer",
    "int": "integer",
    "bigint": "integer",
    "numeric": "decimal",
    "decimal": "decimal",
    "real": "floating",
    "float": "floating",
    "double precision": "floating",
    "boolean": "boolean",
    "date": "day",
    "timestamp with time zone": "instant",
    "timestamp without time zone": "local time",
    "json": "JSON",
    "jsonb": "JSON",
    "bytea": "bytes",
    "blob": "bytes",
    "text[]": "list of text",
    "character varying[]": "list of text",
    "bigint[]": "list of integer",
    "integer[]": "list of integer",
}
"""Type → kind of value: a column may change its type within a kind, and the mappers go on."""

UNLIMITED: Final = frozenset({"text", "varchar", "character varying", "numeric", "timestamp with time zone"})
"""Types that, with a number in parentheses, hold less than was declared."""

WIDTHS: Final[Mapping[str, int]] = {"smallint": 2, "integer": 4, "int": 4, "bigint": 8}

_PARENTHESES: Final = re.compile(r"\s*\([^)]*\)")
_COLLATION: Final = re.compile(r"\s+collate\s+\S+", re.IGNORECASE)


def plain_type(text: str) -> str:
    """Return a type's name in lower case without collation and parameters."""
    return _PARENTHESES.sub("", _COLLATION.sub("", text)).strip().lower()


def kind_of(text: str) -> str:
    """Return the kind of value that a column of a type holds; of a type that is not known, the type itself."""
    return KINDS.get(plain_type(text), plain_type(text))


def is_narrower(live: str, declared: str) -> bool:
    """Whether a type holds less than another one of its kind."""
    if "(" in live and "(" not in declared and plain_type(live) in UNLIMITED:
        return True
    return WIDTHS.get(plain_type(live), 0) < WIDTHS.get(plain_type(declared), 0)


def declared_type(column: Column[object], dialect: str) -> str:
    """Return the type of a column as CREATE TABLE has it."""
    return column.type.compile(dialect=DIALECTS[dialect])


@cache
def declared_values(table: Table) -> Mapping[str, frozenset[str]]:
    """Return the columns of closed state machines and the states that they allow."""
    found: dict[str, frozenset[str]] = {}
    for each in table.constraints:
        if isinstance(each, CheckConstraint):
            found.update(allowed_values(str(each.sqltext)))
    return found


@cache
def needed_by(mapper: ResourceMapper) -> Needed:
    """Return the columns without which a mapper cannot say what its rows show."""
    needed: dict[str, set[str]] = {}

    def need(table: str, columns: Iterable[str]) -> None:
        needed.setdefault(table, set()).update(columns)

    if mapper.table in DERIVED_FROM:
        _add(needed, DERIVED_FROM[mapper.table])
    else:
        need(mapper.table, _own_columns(mapper))
    for child in mapper.children:
        need(child, _all_columns(child))
    for edge in mapper.shows:
        need(edge.of or mapper.table, {edge.column})
        if not edge.by:
            _add(needed, _shown(edge))
    for kind in (*mapper.lookups, *(edge.by for edge in mapper.shows)):
        _add(needed, ASKED.get(kind, {}))
    return {table: frozenset(columns) for table, columns in needed.items() if table in metadata.tables}


def _add(needed: dict[str, set[str]], more: Needed) -> None:
    for table, columns in more.items():
        needed.setdefault(table, set()).update(columns)


def _shown(edge: Shows) -> Needed:
    """Return the columns that are shown of the row that an edge leads to, and of its child rows."""
    known = _all_columns(edge.table)
    own = {"id", *(known & {*edge.uses} if edge.uses else known)}
    children = {name: frozenset(_all_columns(name)) for name in edge.uses if name in metadata.tables}
    return {edge.table: frozenset(own), **children}


def _own_columns(mapper: ResourceMapper) -> set[str]:
    """Return the columns of a mapper's own table that its fields and functions read."""
    known = _all_columns(mapper.table)
    renamed = mapper.split.columns if mapper.split else {}
    shown = {renamed.get(column, column) for item in mapper.fields for column in item.columns}
    keys = {"id", "organization_id"} if "organization_id" in metadata.tables[mapper.table].c else {"id"}
    return {*shown, *mapper.reads, *keys, *([mapper.metric] if mapper.metric else [])} & known


def _all_columns(table: str) -> set[str]:
    shape = shape_of(table)
    return {column.name for column in shape.columns} - set(STAMPS)


def mappers_needing(table: str, column: str | None = None) -> tuple[str, ...]:
    """Return the names of the mappers that need a column of a table, or anything of it."""
    return tuple(
        mapper.name
        for mapper in MAPPERS
        if table in needed_by(mapper) and (column is None or column in needed_by(mapper)[table])
    )


def mappers_of(table: str) -> tuple[str, ...]:
    """Return the names of the mappers that render rows of a table."""
    return tuple(mapper.name for mapper in MAPPERS if mapper.table == table)
