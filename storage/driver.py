"""The database driver itself, without SQLAlchemy's execution on the hot paths: psycopg and aiosqlite alike.

Statements are compiled by SQLAlchemy (`storage/sql.py`); parameters are named; rows are tuples. Lists are passed as
Python lists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final, Protocol

import aiosqlite
import psycopg
from sqlalchemy import Table

from storage.sql import Prepared

Row = tuple[Any, ...]

FEW_ROWS: Final = 8
"""Up to so many rows are sent as single values; each number of rows is a statement of its own."""


class Driver(Protocol):
    """One connection, in the context of one organization."""

    dialect: str

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        ...

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> int:
        """Run a statement and return the number of rows it touched."""
        ...

    async def execute_many(self, statement: Prepared, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once per set of parameters."""
        ...

    async def insert(self, table: Table, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Insert rows, given in the order of the table's columns.

        With `replace`, a row whose primary key exists takes the place of the old one.
        """
        ...

    def batch(self) -> AbstractAsyncContextManager[Any]:
        """Let the statements inside, none of which is a fetch, travel together where the driver can."""
        ...


class PsycopgDriver:
    """A psycopg connection."""

    dialect = "postgresql"

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        cursor = self.connection.cursor(binary=True)
        await cursor.execute(statement.sql, statement.bind(parameters), prepare=True)
        return await cursor.fetchall()

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> int:
        """Run a statement and return the number of rows it touched."""
        cursor = await self.connection.execute(statement.sql, statement.bind(parameters), prepare=True)
        return cursor.rowcount

    async def execute_many(self, statement: Prepared, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once per set of parameters, pipelined."""
        if parameters:
            async with self.connection.cursor() as cursor:
                await cursor.executemany(statement.sql, [statement.bind(each) for each in parameters])

    async def insert(self, table: Table, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Insert rows by one statement: over arrays when they are many (COPY is refused under row-level security)."""
        if not rows:
            return
        if len(rows) <= FEW_ROWS:
            values = [value for row in rows for value in row]
            await self.connection.execute(_insert_rows(table, len(rows), replace), values, prepare=True)
        else:
            kinds = [_array_type(str(column.type)) for column in table.columns]
            columns = [_array(kind, column) for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)]
            await self.connection.execute(_insert_arrays(table, replace), columns, prepare=True)

    def batch(self) -> AbstractAsyncContextManager[Any]:
        """Send the statements inside in one pipeline (postgresql.org libpq-pipeline-mode)."""
        return self.connection.pipeline()


class SqliteDriver:
    """An aiosqlite connection; every call runs in the connection's own thread."""

    dialect = "sqlite"

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        rows = await self.connection.execute_fetchall(statement.sql, _as_sqlite(statement.bind(parameters)))
        return [tuple(row) for row in rows]

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> int:
        """Run a statement and return the number of rows it touched."""
        cursor = await self.connection.execute(statement.sql, _as_sqlite(statement.bind(parameters)))
        touched = cursor.rowcount
        await cursor.close()
        return touched

    async def execute_many(self, statement: Prepared, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once per set of parameters."""
        if parameters:
            rows = [_as_sqlite(statement.bind(each)) for each in parameters]
            cursor = await self.connection.executemany(statement.sql, rows)
            await cursor.close()

    async def insert(self, table: Table, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Insert rows."""
        if rows:
            cursor = await self.connection.executemany(_insert_values(table, replace), rows)
            await cursor.close()

    def batch(self) -> AbstractAsyncContextManager[Any]:
        """Do nothing: there is no network between the statements."""
        return nullcontext()


def _as_sqlite(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace lists by their JSON text, which json_each takes apart."""
    if any(isinstance(value, list) for value in parameters.values()):
        return {name: json.dumps(value) if isinstance(value, list) else value for name, value in parameters.items()}
    return parameters


def _conflict_clause(table: Table, replace: bool) -> str:
    if not replace:
        return ""
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    others = [column.name for column in table.columns if not column.primary_key]
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return f" ON CONFLICT ({keys}) DO UPDATE SET {changes}"


@lru_cache(maxsize=256)
def _insert_rows(table: Table, count: int, replace: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    row = ", ".join(f"%s::{_array_type(str(column.type))}" for column in table.columns)
    rows = ", ".join([f"({row})"] * count)
    return f"INSERT INTO {table.name} ({names}) VALUES {rows}" + _conflict_clause(table, replace)  # noqa: S608 names of our own tables


@lru_cache(maxsize=256)
def _insert_arrays(table: Table, replace: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    arrays = ", ".join(f"%s::{_array_type(str(column.type))}[]" for column in table.columns)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays})" + _conflict_clause(table, replace)  # noqa: S608 names of our own tables


@lru_cache(maxsize=256)
def _insert_values(table: Table, replace: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})" + _conflict_clause(table, replace)  # noqa: S608 names of our own tables


_ARRAY_TYPES = {"BIGINT": "int8", "INTEGER": "int4", "SMALLINT": "int2", "BOOLEAN": "bool", "BLOB": "bytea"}


def _array_type(sql_type: str) -> str:
    return _ARRAY_TYPES.get(sql_type, "text")


def _array(kind: str, column: Sequence[Any]) -> str:
    """Return an array literal; written here because psycopg looks at every element of a list several times."""
    if kind == "text":
        elements = ("NULL" if value is None else _quoted(value) for value in column)
    elif kind == "bytea":
        elements = ("NULL" if value is None else f'"\\\\x{value.hex()}"' for value in column)
    else:
        elements = ("NULL" if value is None else str(value) for value in column)
    return "{" + ",".join(elements) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
