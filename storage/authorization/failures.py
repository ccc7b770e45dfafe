"""Failed attempts, counted per account, address or client in one table that all workers share (security AU-3, RL-1).

Some failures are free; then each is followed by a wait that doubles, up to a quarter of an hour: nobody can lock
anybody out for good. A count that nothing was added to for an hour is forgotten. Each change is one statement, so that
attempts that come together are all counted.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, case, delete, func, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.authorization import sign_in_failures

FREE_FAILURES: Final = 5
FIRST_WAIT_SECONDS: Final = 2
LONGEST_WAIT_SECONDS: Final = 900
FORGOTTEN_SECONDS: Final = 3600


def waits(free: int = FREE_FAILURES) -> dict[int, int]:
    """Return the wait in seconds after the nth failure, for those n whose wait is neither none nor the longest."""
    found: dict[int, int] = {}
    wait = FIRST_WAIT_SECONDS
    while wait < LONGEST_WAIT_SECONDS:
        found[free + 1 + len(found)] = wait
        wait *= 2
    return found


async def failed(connection: AsyncConnection, kind: str, value: str, now: int, *, free: int = FREE_FAILURES) -> int:
    """Count a failure and return how many seconds nobody may try again; 0: at once.

    `kind` is account, address or client, `value` an HMAC of which one, `now` in seconds since 1970 UTC. The count is
    lost with the transaction, so it is made in one of its own, not in that of what failed.
    """
    statement = _counting(connection, kind, value, now, free=free).returning(sign_in_failures.c.blocked_until)
    return int((await connection.execute(statement)).scalar_one()) - now


async def attempted(connection: AsyncConnection, kind: str, value: str, now: int, *, free: int = FREE_FAILURES) -> int:
    """Count an attempt as a failure before it is looked at, and return 0; `cleared` takes it back when it was right.

    While nobody may try again nothing is counted, and the seconds to wait are returned. It is one statement: of
    attempts that come together no more are looked at than of those that come one after the other.
    """
    table = sign_in_failures
    statement = _counting(connection, kind, value, now, free=free, where=table.c.blocked_until <= now)
    if (await connection.execute(statement.returning(table.c.failures))).first() is not None:
        return 0
    return max(1, await blocked_for(connection, kind, value, now))


def _counting(
    connection: AsyncConnection,
    kind: str,
    value: str,
    now: int,
    *,
    free: int,
    where: ColumnElement[bool] | None = None,
) -> Any:
    """Return the statement that adds a failure, only `where` that holds of those there are."""
    table = sign_in_failures
    made: Any = insert_sqlite(table) if connection.dialect.name == "sqlite" else insert_postgresql(table)
    first = {"failures": 1, "failed_at": now, "blocked_until": now + _wait_after_first(free)}
    count = case((table.c.failed_at < now - FORGOTTEN_SECONDS, 1), else_=table.c.failures + 1)
    wait = case(
        (count <= free, 0), (count > max(waits(free)), LONGEST_WAIT_SECONDS), else_=case(waits(free), value=count)
    )
    changed = {"failures": count, "failed_at": now, "blocked_until": now + wait}
    filled = made.values(kind=kind, value=value, **first)
    return filled.on_conflict_do_update(index_elements=["kind", "value"], set_=changed, where=where)


async def blocked_for(connection: AsyncConnection, kind: str, value: str, now: int) -> int:
    """Return how many seconds nobody may try again; 0: an attempt may be made."""
    own = (sign_in_failures.c.kind == kind, sign_in_failures.c.value == value)
    until = await connection.scalar(select(func.max(sign_in_failures.c.blocked_until)).where(*own))
    return max(0, (until or 0) - now)


async def cleared(connection: AsyncConnection, kind: str, value: str) -> None:
    """Forget the failures: an attempt was right."""
    own = (sign_in_failures.c.kind == kind, sign_in_failures.c.value == value)
    await connection.execute(delete(sign_in_failures).where(*own))


def _wait_after_first(free: int) -> int:
    return FIRST_WAIT_SECONDS if free < 1 else 0
