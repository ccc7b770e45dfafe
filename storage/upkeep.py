"""Upkeep of a PostgreSQL database after many rows were written at once."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from storage.engine import translated_errors
from storage.tables.metadata import metadata

SKIPPED: Final = "01000"
"""The warning that a table was left alone because it belongs to another role."""


async def refresh_statistics(url: str) -> bool:
    """Vacuum and analyse all tables, so that plans and index-only scans fit what is there now.

    Returns whether it was done: SQLite needs none of it, and on PostgreSQL only the owner of the tables may. Raises
    DatabaseUnavailable.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return False
    conninfo = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    skipped: list[str | None] = []
    with translated_errors():
        async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
            connection.add_notice_handler(lambda notice: skipped.append(notice.sqlstate))
            tables = sql.SQL(", ").join(sql.Identifier(str(table.name)) for table in metadata.sorted_tables)
            await connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(tables))
    return SKIPPED not in skipped
