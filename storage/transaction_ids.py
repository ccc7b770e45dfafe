"""Transaction ids that never go back, on PostgreSQL.

Versions store the id of their transaction, and ids of audit records are made of it: both are compared with the oldest
running transaction, so that nothing appears behind what was read (settled §3.4, §4.7). A cluster counts from the start,
though, and a dump may be restored into one that is behind the ids in it. So an offset is added to the cluster's ids; it
is raised when the database is opened there.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from sqlalchemy import bindparam, func, literal_column, select

from storage.sql import prepare
from storage.tables.audit import rbac_logs
from storage.tables.fhir import history, resources

TRANSACTION_BITS: Final = 20
"""Bits of an audit record's id below those of its transaction: one may hold a million records of an organization."""

OFFSET: Final = "(SELECT value FROM transaction_offset)"
"""What was added to the cluster's ids."""
CURRENT: Final = f"(pg_current_xact_id()::text::int8 + {OFFSET})"
"""The id of the running transaction."""
CURRENT_IF_ASSIGNED: Final = f"(pg_current_xact_id_if_assigned()::text::int8 + {OFFSET})"
"""The id of the running transaction, null in one that only reads."""
OLDEST_RUNNING: Final = f"(pg_snapshot_xmin(pg_current_snapshot())::text::int8 + {OFFSET})"
"""No transaction below it is still running."""
NEXT: Final = f"(pg_snapshot_xmax(pg_current_snapshot())::text::int8 + {OFFSET})"
"""All transactions that are running are below it."""
_NEXT: Final = f"SELECT {NEXT}"

_ORGANIZATIONS: Final = "SELECT id FROM organizations ORDER BY id"
_CONTEXT: Final = "SELECT set_config('app.organization_id', %(organization_id)s, true)"
_LOCK: Final = "SELECT value FROM transaction_offset FOR UPDATE"
_RAISE: Final = "UPDATE transaction_offset SET value = %(value)s"


def _newest(column: Any) -> str:
    own = column.table.c.organization_id == bindparam("organization_id")
    return prepare(select(func.coalesce(func.max(column), literal_column("0"))).where(own), "postgresql").sql


def _newest_created(count: int) -> str:
    """Return the statement for the newest among those that were created last, which an index finds."""
    own = resources.c.organization_id == bindparam("organization_id")
    last = select(resources.c.xid).where(own).order_by(resources.c.rid.desc()).limit(literal_column(str(count)))
    newest = func.max(last.subquery().c.xid)
    return prepare(select(func.coalesce(newest, literal_column("0"))), "postgresql").sql


_NEWEST_RECORD: Final = _newest(rbac_logs.c.id)
_NEWEST_CREATED: Final = _newest_created(100)
_NEWEST_VERSIONS: Final = (_newest(resources.c.xid), _newest(history.c.xid))


async def raise_offset(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Raise the offset where transaction ids are behind those stored; returns whether they were.

    Audit records tell: their newest id is quickly found, and whoever writes or reads through the API leaves one. So do
    the resources that were created last, where rows came from other writers only.
    """
    async with connection.transaction():
        records = await _newest_of_all(connection, (_NEWEST_RECORD,)) >> TRANSACTION_BITS
        known = max(records, await _newest_of_all(connection, (_NEWEST_CREATED,)))
        if known < await _number(connection, _NEXT):
            return False
        await connection.execute(_LOCK)
        if known < await _number(connection, _NEXT):  # another worker was faster
            return False
        newest = max(known, await _newest_of_all(connection, _NEWEST_VERSIONS))
        await connection.execute(_RAISE, {"value": newest + 1})
        return True


async def _newest_of_all(connection: psycopg.AsyncConnection[Any], statements: tuple[str, ...]) -> int:
    newest = 0
    cursor = await connection.execute(_ORGANIZATIONS)
    for (organization_id,) in await cursor.fetchall():
        own = {"organization_id": organization_id}
        await connection.execute(_CONTEXT, own)
        for statement in statements:
            newest = max(newest, await _number(connection, statement, own))
    return newest


async def _number(
    connection: psycopg.AsyncConnection[Any], statement: str, parameters: dict[str, Any] | None = None
) -> int:
    row = await (await connection.execute(statement, parameters)).fetchone()
    return int(row[0]) if row is not None else 0
