"""What a search had before it when it began: rows changed since then are on none of its later pages (fhir_rest Q3).

A row that others change moves in the order, and would come twice. So the first page gives a mark, which the cursor
carries, and later pages tell of each row whether it was there at the mark. PostgreSQL says so exactly; SQLite by the
ids of changes, which ascend with the clock.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, FromClause, Text, bindparam, cast, func, literal_column, select
from sqlalchemy.types import UserDefinedType

from storage.search.own import ORGANIZATION
from storage.tables import fhir
from storage.transaction_ids import OFFSET

SNAPSHOT: Final = "snapshot"
"""Name of the parameter that holds the mark; null where there is none, and then the answer is null."""


class _Named(UserDefinedType[str]):
    """A type of PostgreSQL that SQLAlchemy does not know."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_options: Any) -> str:
        """Return the type's name in SQL."""
        return self.name


def mark(dialect: str) -> ColumnElement[Any]:
    """Return the expression of the mark; null inside a transaction that wrote, whose own rows no mark covers."""
    if dialect == "postgresql":
        return literal_column(
            "(SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN pg_current_snapshot()::text END)", Text
        )
    changes = fhir.changes.alias()
    return select(func.max(changes.c.id)).where(changes.c.organization_id == ORGANIZATION).scalar_subquery()


def was_there(row: FromClause, dialect: str) -> ColumnElement[bool]:
    """Return the expression whether a row of fhir_resources was at the mark as it is now.

    Ids of a cluster that a dump came from lie below those of this one: their transactions ended long ago.
    """
    if dialect == "postgresql":
        own = func.greatest(row.c.xid - literal_column(OFFSET, BigInteger), literal_column("1", BigInteger))
        given = cast(bindparam(SNAPSHOT, type_=Text), _Named("pg_snapshot"))
        return func.pg_visible_in_snapshot(cast(cast(own, Text), _Named("xid8")), given)
    return row.c.change_id <= bindparam(SNAPSHOT, type_=row.c.change_id.type)
