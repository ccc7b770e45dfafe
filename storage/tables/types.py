"""Column types and defaults that PostgreSQL and SQLite spell differently.

Every type returns the same Python value on both engines: aware UTC datetimes, exact Decimals, JSON with Decimal for
every number that has a fraction, tuples of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import DateTime, LargeBinary, Numeric, String, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import DDLCompiler, SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

from storage.codec import decode, encode

SYSTEM_ORGANIZATION: Final = "loop-health"
"""Organization of rows of the patient graph that a foreign writer inserts without knowing of tenancy (settled §2.6)."""

HUB_ORGANIZATION: Final = "health-hub"
"""The same for rows of the health hub."""

LONGEST_DECIMAL: Final = 16_383
"""Digits on either side of the point that both engines hold (PostgreSQL's numeric allows no more after it)."""


class Timestamp(TypeDecorator[datetime]):
    """An instant with microseconds: timestamptz, or on SQLite text like `2026-03-20T14:30:00.000000Z`.

    Takes aware datetimes only (ValueError otherwise) and gives them in UTC. Text that another writer left on SQLite is
    read if it is ISO 8601; without a zone it is UTC.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return timestamptz, or text on SQLite."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return the value in UTC, as text on SQLite."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        moment = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return moment
        return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 SQLAlchemy's name
        """Return an aware datetime in UTC."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal with the digits it was given: numeric without precision, or text on SQLite (settled §2.4).

    `1.10` stays `1.10`. An exponent is written out (`1E+2` becomes `100`) and zero has no sign, on both engines alike;
    whoever needs those keeps them elsewhere (the residual). Raises ValueError for NaN, infinity, and more than
    LONGEST_DECIMAL digits.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return numeric, or text on SQLite."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Any:
        """Return the decimal, as plain digits on SQLite."""
        if value is None:
            return None
        plain = plain_decimal(Decimal(value))
        return format(plain, "f") if dialect.name == "sqlite" else plain

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 SQLAlchemy's name
        """Return a Decimal."""
        return None if value is None else Decimal(value)


def plain_decimal(value: Decimal) -> Decimal:
    """Return the decimal as a column gives it back: no positive exponent, no negative zero.

    Raises ValueError for NaN, infinity, and more than LONGEST_DECIMAL digits.
    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("a decimal has to be finite")  # noqa: TRY004 the type is right, the value is not
    if exponent < -LONGEST_DECIMAL or value.adjusted() > LONGEST_DECIMAL:
        raise ValueError(f"a decimal may have {LONGEST_DECIMAL} digits on either side of the point")
    if value.is_zero():
        value = value.copy_abs()
    return Decimal(format(value, "f")) if exponent > 0 else value


def is_same_value(one: Any, other: Any) -> bool:
    """Whether two values of a column are kept as the same: `1.10` and `1.1` are not, `1E2` and `100` are.

    Whole rows (dataclasses) can be compared, too.
    """
    if one is None or isinstance(one, str | date):
        return bool(one == other)
    return bool(one == other) and (
        _canonical(one) == _canonical(other) or _canonical(_plain(one)) == _canonical(_plain(other))
    )


_canonical: Final = msgspec.json.Encoder(decimal_format="number", order="sorted").encode


def _plain(value: Any) -> Any:
    """Return a value with its decimals as a column gives them back."""
    if isinstance(value, Decimal):
        return plain_decimal(value)
    if is_dataclass(value):
        return [_plain(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


class _JsonText(UserDefinedType[str]):
    """Jsonb in DDL, text to the driver."""

    cache_ok = True


@compiles(_JsonText, "postgresql")
def _jsonb_column(element: _JsonText, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "JSONB"


@compiles(_JsonText, "sqlite")
def _json_column(element: _JsonText, compiler: DDLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "TEXT"


class Json(TypeDecorator[Any]):
    """A JSON value whose numbers keep their digits: jsonb, or text on SQLite.

    jsonb orders keys anew and writes exponents out. None is SQL NULL. jsonb travels as text, so that no driver reads a
    number as float.
    """

    impl = _JsonText
    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:
        """Cast the text to jsonb."""
        return _ToJson(bindvalue)

    def column_expression(self, column: Any) -> ColumnElement[Any]:
        """Cast jsonb to text."""
        return _FromJson(column, self)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 SQLAlchemy's name
        """Return JSON text."""
        return None if value is None else encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 SQLAlchemy's name
        """Return the JSON value; raises ValueError when a foreign writer left on SQLite what is not JSON."""
        if value is None:
            return None
        try:
            return decode(value.encode())
        except msgspec.DecodeError:
            raise ValueError("a JSON column holds text that is not JSON") from None


class JsonValue(Json):
    """A JSON value in a column that is NOT NULL: None is JSON's null."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002 SQLAlchemy's name
        """Return JSON text."""
        return encode(value).decode()


class _ToJson(FunctionElement[Any]):
    inherit_cache = True
    type = Text()


class _FromJson(FunctionElement[Any]):
    inherit_cache = True

    def __init__(self, column: Any, own_type: TypeEngine[Any]) -> None:
        super().__init__(column)
        self.type = own_type  # so that the result is decoded


@compiles(_ToJson, "postgresql")
def _to_jsonb(element: _ToJson, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(CAST({compiler.process(element.clauses, **options)} AS TEXT) AS JSONB)"


@compiles(_FromJson, "postgresql")
def _from_jsonb(element: _FromJson, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_ToJson)
@compiles(_FromJson)
def _as_it_is(element: FunctionElement[Any], compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


class Received(TypeDecorator[bytes]):
    """Bytes as they were received. Text that another writer left on SQLite is its UTF-8."""

    impl = LargeBinary
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:  # noqa: ARG002 SQLAlchemy's name
        """Return bytes."""
        return value.encode() if isinstance(value, str) else value


class TextList(TypeDecorator[tuple[str, ...]]):
    """An ordered list of text: text[], or a JSON array as text on SQLite. Given back as a tuple."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return text[], or text on SQLite."""
        return dialect.type_descriptor(ARRAY(Text()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        """Return a list, as JSON text on SQLite."""
        if value is None:
            return None
        return list(value) if dialect.name == "postgresql" else encode(list(value)).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[str, ...] | None:  # noqa: ARG002 SQLAlchemy's name
        """Return a tuple of text."""
        if value is None:
            return None
        return tuple(decode(value.encode()) if isinstance(value, str) else value)


class now(FunctionElement[datetime]):  # noqa: N801 reads like the SQL function
    """The start of the transaction (PostgreSQL) or statement (SQLite, milliseconds), as a column default."""

    inherit_cache = True
    type = Timestamp()


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "now()"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')"


class random_id(FunctionElement[str]):  # noqa: N801 reads like the SQL function
    """A random UUID (version 4) as text, as a column default for writers that bring no id."""

    inherit_cache = True
    type = String()


@compiles(random_id, "postgresql")
def _random_id_postgresql(element: random_id, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "(gen_random_uuid())::text"


@compiles(random_id, "sqlite")
def _random_id_sqlite(element: random_id, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return (
        "(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-'"
        " || substr('89AB', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-'"
        " || hex(randomblob(6))))"
    )


class current_organization(FunctionElement[str]):  # noqa: N801 reads like the SQL function
    """The organization of the transaction's context, else the system's own (settled §2.6)."""

    inherit_cache = False
    type = String()

    def __init__(self, system: str = SYSTEM_ORGANIZATION) -> None:
        super().__init__()
        self.system = system


@compiles(current_organization, "postgresql")
def _organization_postgresql(element: current_organization, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    # After a transaction that set it, an unset parameter reads as '' in the same session.
    return f"COALESCE(NULLIF(current_setting('app.organization_id', true), ''), '{element.system}')"


@compiles(current_organization, "sqlite")
def _organization_sqlite(element: current_organization, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return f"'{element.system}'"


class catalogue_organization(FunctionElement[str]):  # noqa: N801 reads like the SQL function
    """Whose catalogue row is meant where a reference does not say: the context's, or SHARED without contexts."""

    inherit_cache = True
    type = String()


@compiles(catalogue_organization, "postgresql")
def _catalogue_postgresql(element: catalogue_organization, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's name
    return compiler.process(current_organization(), **options)


@compiles(catalogue_organization, "sqlite")
def _catalogue_sqlite(element: catalogue_organization, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "'*'"


class empty_list(FunctionElement[Any]):  # noqa: N801 reads like the SQL function
    """No items, as a column default of a TextList."""

    inherit_cache = True
    type = TextList()


@compiles(empty_list, "postgresql")
def _empty_list_postgresql(element: empty_list, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "'{}'"


@compiles(empty_list, "sqlite")
def _empty_list_sqlite(element: empty_list, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ARG001 SQLAlchemy's names
    return "'[]'"


class later_than(FunctionElement[datetime]):  # noqa: N801 reads like the SQL function
    """The database's clock, or the given instant when that is later."""

    inherit_cache = True
    type = Timestamp()


@compiles(later_than, "postgresql")
def _later_postgresql(element: later_than, compiler: SQLCompiler, **options: Any) -> str:
    return f"GREATEST(now(), {compiler.process(element.clauses, **options)})"


@compiles(later_than, "sqlite")
def _later_sqlite(element: later_than, compiler: SQLCompiler, **options: Any) -> str:
    instant = compiler.process(element.clauses, **options)
    return f"max(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', {instant})"
