"""Statements compiled once for a driver, and the few expressions that the two engines spell differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, FromClause, SelectBase, bindparam, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import Boolean, String

DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": psycopg_dialect.dialect(),  # type: ignore[no-untyped-call]
    "sqlite": sqlite.dialect(paramstyle="named"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """SQL text of one driver with named parameters; `constants` are the values that belong to the statement itself."""

    sql: str
    constants: Mapping[str, Any]
    is_short: bool = False
    """It finds what it reads by a key: such statements may wait for each other (`storage/shared_wire.py`)."""

    def bind(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the parameters with the statement's own constants added."""
        return {**self.constants, **parameters} if self.constants else parameters


def prepare(statement: ClauseElement, dialect: str, *, is_short: bool = False) -> Prepared:
    """Compile a statement for the driver of `dialect` ("postgresql" or "sqlite")."""
    compiled = statement.compile(dialect=DIALECTS[dialect])
    if not isinstance(compiled, SQLCompiler):
        raise TypeError(f"{type(statement).__name__} is not a query or a data change")
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), constants, is_short)


class MemberOf(ColumnElement[bool]):
    """`column` is one of the values of the list bound to `name`; one statement for any length of list."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], name: str, element_type: str) -> None:
        self.column = column
        self.parameter: BindParameter[Any] = bindparam(name, type_=String())
        self.element_type = element_type

    def self_group(self, against: OperatorType | None = None) -> MemberOf:  # noqa: ARG002 the base class's signature
        """Return the element itself: for SQLite `= 1` would be added to a truth value, and no index be used then."""
        return self


@compiles(MemberOf, "postgresql")
def _member_of_array(element: MemberOf, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    compiler.process(element.parameter, **options)  # registers the parameter
    return f"{column} = ANY(%({element.parameter.key})s::{element.element_type}[])"


@compiles(MemberOf, "sqlite")
def _member_of_json(element: MemberOf, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    parameter = compiler.process(element.parameter, **options)
    return f"{column} IN (SELECT value FROM json_each({parameter}))"  # noqa: S608 compiled parts


def member_of(column: ColumnElement[Any], name: str) -> MemberOf:
    """Test membership of an int8 or text column in a list parameter; drivers take a Python list for it."""
    is_text = isinstance(column.type, String)
    return MemberOf(column, name, "text" if is_text else "int8")


class InQuery(ColumnElement[bool]):
    """`column` is among what a query of its own gives.

    SQLite gets such queries side by side (WITH) instead of one inside the other: its parser stops at a depth of 100
    symbols, some six queries. With `few` PostgreSQL asks the query first and looks up what it gave: a plan for any
    value takes every value for as frequent as the mean, and would rather read the whole table of `column`.
    """

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], query: SelectBase, *, few: bool = False) -> None:
        self.column = column
        self.query = query
        self.few = few

    @property
    def _from_objects(self) -> list[FromClause]:
        return list(self.column._from_objects)  # noqa: SLF001 what a statement has to read from

    def self_group(self, against: OperatorType | None = None) -> InQuery:  # noqa: ARG002 the base class's signature
        """Return the element itself: for SQLite `= 1` would be added to a truth value."""
        return self


@compiles(InQuery, "postgresql")
def _in_nested(element: InQuery, compiler: SQLCompiler, **options: Any) -> str:
    if element.few:
        asked = compiler.process(element.query.scalar_subquery(), **options)
        return f"{compiler.process(element.column, **options)} = ANY(ARRAY{asked})"
    return compiler.process(element.column.in_(element.query), **options)


@compiles(InQuery, "sqlite")
def _in_named(element: InQuery, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column.in_(select(element.query.cte())), **options)


def among(column: ColumnElement[Any], name: str, *, one: bool) -> ColumnElement[bool]:
    """Test like `member_of`, or with `one` for equality with the single value that `one_or_many` gives.

    PostgreSQL plans such a statement once, and one with a list each time: it never knows how long the list will be.
    """
    return column == bindparam(name) if one else member_of(column, name)


def one_or_many(values: Sequence[Any]) -> Any:
    """Return what a statement with `among` takes for these values."""
    return values[0] if len(values) == 1 else values


__all__ = ["DIALECTS", "InQuery", "MemberOf", "Prepared", "among", "member_of", "one_or_many", "prepare"]
