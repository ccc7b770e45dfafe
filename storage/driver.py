"""The database driver itself, without SQLAlchemy's execution on the hot paths: psycopg and aiosqlite alike.

Statements are compiled by SQLAlchemy (`storage/sql.py`); parameters are named; rows are tuples. Lists are passed as
Python lists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol

import aiosqlite
from sqlalchemy import Table

from storage.libpq import Row, rows_of, wire_statement
from storage.pipeline import PipelinedConnection
from storage.sql import Prepared

FEW_ROWS: Final = 8
"""Up to so many rows are sent as single values; each number of rows is a statement of its own."""


class Driver(Protocol):
    """One connection, in the context of one organization."""

    dialect: str

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        ...

    async def fetch_together(self, questions: Sequence[Question]) -> list[list[Row]]:
        """Return the rows of several statements, which travel together where there is a network."""
        ...

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> None:
        """Run a statement."""
        ...

    async def execute_many(self, statement: Prepared, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once per set of parameters."""
        ...

    async def insert(self, table: Table, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Insert rows, given in the order of the table's columns.

        With `replace`, a row whose primary key exists takes the place of the old one, whose other unique values it has.
        """
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """A fetch that a unit of work will begin with."""

    statement: Prepared
    parameters: Mapping[str, Any]


class PsycopgDriver:
    """A psycopg connection. Statements without an answer travel with the next fetch, or with COMMIT."""

    dialect = "postgresql"

    def __init__(self, connection: PipelinedConnection) -> None:
        self.connection = connection
        self._answers: list[tuple[Question, list[Row]]] = []

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        for number, (question, rows) in enumerate(self._answers):
            if question.statement is statement and question.parameters == parameters:
                del self._answers[number]
                return rows
        return rows_of(await self.connection.ask(*_bound(statement, parameters)))

    async def fetch_together(self, questions: Sequence[Question]) -> list[list[Row]]:
        """Return the rows of several statements, which travel together."""
        for question in questions:
            self.connection.queue(*_bound(question.statement, question.parameters))
        async with self.connection.lock:
            results = await self.connection.send()
        return [rows_of(result) for result in results[-len(questions) :]]

    def answered(self, questions: Sequence[Question], answers: Sequence[list[Row]]) -> None:
        """Answer these fetches, once each, with what was fetched ahead."""
        self._answers = list(zip(questions, answers, strict=True))

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> None:
        """Queue a statement."""
        self.connection.queue(*_bound(statement, parameters))

    async def execute_many(self, statement: Prepared, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Queue a statement once per set of parameters."""
        for each in parameters:
            self.connection.queue(*_bound(statement, each))

    async def insert(self, table: Table, rows: Sequence[Row], *, replace: bool = False) -> None:
        """Queue one statement: over arrays when the rows are many (COPY is refused under row-level security)."""
        if not rows:
            return
        if len(rows) <= FEW_ROWS:
            values = [value for row in rows for value in row]
            self.connection.queue(_insert_rows(table, len(rows), replace), values)
        else:
            self.connection.queue(_insert_arrays(table, replace), [*zip(*rows, strict=True)])


def _bound(statement: Prepared, parameters: Mapping[str, Any]) -> tuple[bytes, list[Any]]:
    wired = wire_statement(statement.sql)
    values = statement.bind(parameters)
    return wired.sql, [values[name] for name in wired.names]


class SqliteDriver:
    """An aiosqlite connection; every call runs in the connection's own thread."""

    dialect = "sqlite"

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement."""
        rows = await self.connection.execute_fetchall(statement.sql, _as_sqlite(statement.bind(parameters)))
        return [tuple(row) for row in rows]

    async def fetch_together(self, questions: Sequence[Question]) -> list[list[Row]]:
        """Return the rows of several statements."""
        return [await self.fetch(each.statement, each.parameters) for each in questions]

    async def execute(self, statement: Prepared, parameters: Mapping[str, Any]) -> None:
        """Run a statement."""
        cursor = await self.connection.execute(statement.sql, _as_sqlite(statement.bind(parameters)))
        await cursor.close()

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


def _as_sqlite(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replace lists by their JSON text, which json_each takes apart."""
    if any(isinstance(value, list) for value in parameters.values()):
        return {name: json.dumps(value) if isinstance(value, list) else value for name, value in parameters.items()}
    return parameters


def _conflict_clause(table: Table, replace: bool) -> str:
    if not replace:
        return ""
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    # What makes a row unique stays as it is; naming it would lock out everyone who only holds on to the row.
    unique = {column.name for index in table.indexes if index.unique for column in index.columns}
    others = [column.name for column in table.columns if not column.primary_key and column.name not in unique]
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return f" ON CONFLICT ({keys}) DO UPDATE SET {changes}" if changes else " ON CONFLICT DO NOTHING"


@lru_cache(maxsize=256)
def _insert_rows(table: Table, count: int, replace: bool) -> bytes:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    kinds = [_array_type(str(column.type)) for column in table.columns]
    numbers = iter(range(1, count * len(kinds) + 1))
    rows = ", ".join("(" + ", ".join(f"${next(numbers)}::{kind}" for kind in kinds) + ")" for _ in range(count))
    return f"INSERT INTO {table.name} ({names}) VALUES {rows}{_conflict_clause(table, replace)}".encode()  # noqa: S608 names of our own tables


@lru_cache(maxsize=256)
def _insert_arrays(table: Table, replace: bool) -> bytes:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    arrays = ", ".join(f"${n}::{_array_type(str(column.type))}[]" for n, column in enumerate(table.columns, 1))
    conflict = _conflict_clause(table, replace)
    return f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({arrays}){conflict}".encode()  # noqa: S608 names of our own tables


@lru_cache(maxsize=256)
def _insert_values(table: Table, replace: bool) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    marks = ", ".join("?" for _ in table.columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks})" + _conflict_clause(table, replace)  # noqa: S608 names of our own tables


_ARRAY_TYPES = {"BIGINT": "int8", "INTEGER": "int4", "SMALLINT": "int2", "BOOLEAN": "bool", "BLOB": "bytea"}


def _array_type(sql_type: str) -> str:
    return _ARRAY_TYPES.get(sql_type, "text")


__all__ = ["FEW_ROWS", "Driver", "PsycopgDriver", "Question", "Row", "SqliteDriver"]
