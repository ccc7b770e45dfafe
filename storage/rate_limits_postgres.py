"""What rate limits count, on PostgreSQL: one statement for everything that arrived while the last was under way.

The row of a key is locked while its hits are counted, so all workers together grant no more than the limit. Nothing is
written to disk for it: the table is not logged, and nobody waits for a commit. A restart after a crash begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from psycopg import Error
from sqlalchemy import make_url

from storage.errors import DatabaseUnavailable
from storage.libpq import WireStatement, wire_statement
from storage.rate_windows import Answer, Ask
from storage.wire import Wires

ANSWER_SECONDS: Final = 2.0
"""How long an answer may take: after that the limit of the process is the better one."""
_CLOCK: Final = "(extract(epoch FROM statement_timestamp()) * 1000)::int8"

_COLUMNS: Final = {
    "key": "text",
    "most": "int4",
    "span": "int4",
    "step": "int4",
    "hits": "int4",
    "cost": "int4",
    "instant": "int8",
}
"""What is asked for, as the statement calls it."""
FEW: Final = 8
"""Up to so many keys are sent as single values, which PostgreSQL takes in at less cost than arrays."""


def _statement(asked: str) -> WireStatement:
    """Return `Window.take` in SQL.

    What is proposed is the window of a key that was never hit; where there is one, what was asked for is read off the
    proposal. An instant is that of the statement; one that waited for the row may be before the last. OFFSET lets
    PostgreSQL evaluate each part once: most of what the statement costs is making expressions ready.
    """
    return wire_statement(f"""
INSERT INTO rate_limit_hits AS held (key, most, span, instants, totals, granted, expires_at)
SELECT key, most, span, ARRAY[0, (now + step - 1) / step * step], ARRAY[0, hits * cost], hits, now + 2 * span
FROM (
    SELECT key, most, span, step, least(hits, most / cost) AS hits, cost, coalesce(instant, {_CLOCK}) AS now
    FROM {asked} AS asked ({", ".join(_COLUMNS)})
) AS asked
ORDER BY key
ON CONFLICT (key) DO UPDATE SET (instants, totals, granted, expires_at) = (
    SELECT
        CASE
            WHEN is_ahead THEN excluded.instants
            WHEN granted = 0 OR (left_ < last AND held.instants[last] = at) THEN held.instants[left_:]
            ELSE held.instants[left_:] || at
        END,
        CASE
            WHEN is_ahead THEN excluded.totals
            WHEN granted = 0 THEN held.totals[left_:]
            WHEN left_ < last AND held.instants[last] = at THEN held.totals[left_:last - 1] || total
            ELSE held.totals[left_:] || total
        END,
        granted,
        excluded.expires_at
    FROM (
        SELECT *, held.totals[last] + granted * cost AS total FROM (
            SELECT
                *,
                CASE WHEN is_ahead THEN excluded.granted ELSE greatest(least(
                    excluded.granted, (excluded.most - held.totals[last] + held.totals[left_]) / cost
                ), 0) END AS granted,
                greatest(excluded.instants[2], held.instants[last]) AS at
            FROM (
                SELECT
                    cardinality(held.instants) AS last,
                    greatest(width_bucket(excluded.expires_at - 3 * excluded.span, held.instants), 1) AS left_,
                    excluded.totals[2] / excluded.granted AS cost,
                    held.instants[cardinality(held.instants)] > excluded.expires_at - excluded.span AS is_ahead
                OFFSET 0
            ) AS place
            OFFSET 0
        ) AS fit
        OFFSET 0
    ) AS sum
)
RETURNING key, granted, totals[cardinality(totals)] - totals[1], coalesce(instants[2], 0), expires_at
""")  # noqa: S608 our own text


def _take_few(count: int) -> WireStatement:
    """Return the statement for so many keys, given value by value; the names of values are their numbers."""
    numbers = iter(range(count * len(_COLUMNS)))
    rows = (", ".join(f"%({next(numbers)})s::{kind}" for kind in _COLUMNS.values()) for _ in range(count))
    return _statement(f"(VALUES {', '.join(f'({row})' for row in rows)})")


_TAKE_FEW: Final = tuple(_take_few(count) for count in range(1, FEW + 1))
_TAKE_MANY: Final = _statement(f"unnest({', '.join(f'%({n})s::{kind}[]' for n, kind in enumerate(_COLUMNS.values()))})")
_CLEAN: Final = wire_statement(
    f"WITH gone AS (DELETE FROM rate_limit_hits WHERE expires_at < {_CLOCK} RETURNING 1) SELECT count(*) FROM gone"  # noqa: S608 our own text
)


class PostgresRateLimits:
    """A connection of its own, as the role that the server takes."""

    def __init__(self, url: str, *, role: str | None) -> None:
        conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        options = "-c synchronous_commit=off -c statement_timeout=5000 -c plan_cache_mode=force_generic_plan"
        if role:
            options += f" -c role={role}"
        self._wires = Wires(conninfo, options, 1, ANSWER_SECONDS)

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """Count hits of keys that are all different; raises DatabaseUnavailable."""
        rows_asked = [(ask.key, ask.limit, ask.window, ask.step, ask.hits, ask.cost, ask.now) for ask in asks]
        values: list[Any]
        if len(asks) <= FEW:
            statement, values = _TAKE_FEW[len(asks) - 1], [value for row in rows_asked for value in row]
        else:
            statement, values = _TAKE_MANY, [*zip(*rows_asked, strict=True)]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                rows = await self._wires.fetch(statement, {str(n): value for n, value in enumerate(values)})
        except (Error, OSError, TimeoutError):
            raise DatabaseUnavailable from None
        found = {key: rest for key, *rest in rows}
        return [_answer(ask, *found[ask.key]) for ask in asks]

    async def clean(self) -> None:
        """Delete what counts no more; raises DatabaseUnavailable."""
        try:
            await self._wires.fetch(_CLEAN, {})
        except (Error, OSError, TimeoutError):
            raise DatabaseUnavailable from None

    async def close(self) -> None:
        """Close the connection."""
        await self._wires.close()


def _answer(ask: Ask, granted: int, used: int, oldest: int, expires_at: int) -> Answer:
    now = expires_at - 2 * ask.window
    return Answer(granted, used, oldest or now, now)
