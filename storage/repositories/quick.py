"""Rows read by statements that are compiled once, on the driver itself: what the lists of APIs are made of.

A statement per table and set of filters, not per request; SQLAlchemy's execution costs more than the read (design
Decision 9). Child rows are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Boolean, Column, Date, Integer, Select, TypeDecorator, bindparam, func, select, true
from sqlalchemy.sql import operators

from storage.reading import Reader
from storage.rows import Row, shape_of
from storage.sql import DIALECTS, Prepared, prepare
from storage.stops import Stops

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operators.eq,
    ">=": operators.ge,
    ">": operators.gt,
    "<=": operators.le,
    "<": operators.lt,
}


class Condition(NamedTuple):
    """A column compared with a value, by one of COMPARISONS."""

    column: str
    comparison: str
    value: Any


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One organization's rows, for repositories that only read. Each question is asked by itself."""

    organization_id: str
    reader: Reader
    stops: Stops


@dataclass(frozen=True, slots=True)
class _Question:
    """A compiled statement, and how the columns of its rows are read."""

    statement: Prepared
    readers: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    absent: Mapping[str, None]


async def find_row(glimpse: Glimpse, table_name: str, row_id: str) -> Row | None:
    """Return the row with this id, without its child rows; None when the organization has none."""
    question = _by_id(glimpse.reader.dialect, table_name, glimpse.stops.unusable.get(table_name, frozenset()))
    own = {"organization_id": glimpse.organization_id, "id": row_id}
    found = await glimpse.reader.fetch(glimpse.organization_id, question.statement, own)
    return _row(question, shape_of(table_name).row_type, found[0]) if found else None


async def find_page(
    glimpse: Glimpse, table_name: str, conditions: Sequence[Condition], *, newest: str, limit: int, offset: int
) -> tuple[list[Row], int]:
    """Return rows that meet all conditions, the highest `newest` first, and how many do in all."""
    dialect = glimpse.reader.dialect
    shape = tuple((each.column, each.comparison) for each in conditions)
    unusable = glimpse.stops.unusable.get(table_name, frozenset())
    question = _page(dialect, table_name, shape, newest, unusable)
    columns = shape_of(table_name).table.c
    values = {f"v{n}": _bound(columns[each.column], each.value, dialect) for n, each in enumerate(conditions)}
    own = {"organization_id": glimpse.organization_id, "limit": limit, "offset": offset}
    found = await glimpse.reader.fetch(glimpse.organization_id, question.statement, values | own)
    row_type = shape_of(table_name).row_type
    rows = [_row(question, row_type, each) for each in found if each[1] is not None]
    return rows, int(found[0][0])


def _row(question: _Question, row_type: Callable[..., Row], found: Sequence[Any]) -> Row:
    values = found[len(found) - len(question.readers) :]
    given = {
        name: value if read is None or value is None else read(value)
        for (name, read), value in zip(question.readers, values, strict=True)
    }
    return row_type(**given, **question.absent)


@lru_cache(maxsize=256)
def _by_id(dialect: str, table_name: str, unusable: frozenset[str]) -> _Question:
    columns = _columns(table_name, unusable)
    table = columns[0].table
    own = (table.c.organization_id == bindparam("organization_id"), table.c.id == bindparam("id"))
    return _asked(select(*columns).where(*own), columns, dialect, table_name, unusable, is_short=True)


@lru_cache(maxsize=1024)
def _page(
    dialect: str, table_name: str, shape: tuple[tuple[str, str], ...], newest: str, unusable: frozenset[str]
) -> _Question:
    """Return the statement of a list: the total, and beside it the rows of the page, or nothing."""
    columns = _columns(table_name, unusable)
    table = columns[0].table
    compared = (COMPARISONS[how](table.c[name], bindparam(f"v{n}")) for n, (name, how) in enumerate(shape))
    own = (table.c.organization_id == bindparam("organization_id"), *compared)
    total = select(func.count().label("total")).select_from(table).where(*own).subquery("counted")
    page = (
        select(table.c.id.label("key"), table.c[newest].label("newest"), *columns)
        .where(*own)
        .order_by(table.c[newest].desc(), table.c.id.desc())
        .limit(bindparam("limit", type_=Integer()))
        .offset(bindparam("offset", type_=Integer()))
        .subquery("page")
    )
    statement = (
        select(total.c.total, page.c.key, *(page.c[column.name] for column in columns))
        .select_from(total.outerjoin(page, true()))
        .order_by(page.c.newest.desc(), page.c.key.desc())
    )
    return _asked(statement, columns, dialect, table_name, unusable)


def _asked(
    statement: Select[Any],
    columns: Sequence[Column[Any]],
    dialect: str,
    table_name: str,
    unusable: frozenset[str],
    *,
    is_short: bool = False,
) -> _Question:
    shape = shape_of(table_name)
    readers = tuple((column.name, _reader(column, dialect)) for column in columns)
    absent = {column.name: None for column in shape.columns if column.name in unusable}
    return _Question(prepare(statement, dialect, is_short=is_short), readers, absent)


def _columns(table_name: str, unusable: frozenset[str]) -> list[Column[Any]]:
    return [column for column in shape_of(table_name).columns if column.name not in unusable]


def _reader(column: Column[Any], dialect: str) -> Callable[[Any], Any] | None:
    """Return what turns a value of the driver into that of the row; None where they are the same."""
    kind = column.type
    if isinstance(kind, TypeDecorator):
        return lambda value: kind.process_result_value(value, DIALECTS[dialect])
    if dialect == "sqlite" and isinstance(kind, Date):
        return date.fromisoformat
    return bool if isinstance(kind, Boolean) else None


def _bound(column: Column[Any], value: Any, dialect: str) -> Any:
    """Return a value as the driver takes it."""
    kind = column.type
    if isinstance(kind, TypeDecorator):
        return kind.process_bind_param(value, DIALECTS[dialect])
    if dialect == "sqlite" and isinstance(kind, Date):
        return value.isoformat()
    return value
