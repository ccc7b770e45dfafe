"""What rate limits count, on PostgreSQL: one statement for everything that arrived while the last was under way.

The row of a key is locked while its hits are counted, so all workers together grant no more than the limit. Nothing is
written to disk for it: the table is not logged, and nobody waits for a commit. A restart after a crash begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from psycopg import Error
from sqlalchemy import make_url

from storage.errors import DatabaseUnavailable
from storage.libpq import wire_statement
from storage.rate_windows import Answer, Ask
from storage.wire import Wires

ANSWER_SECONDS: Final = 1.0
"""How long an answer may take: after that the limit of the process is the better one."""
_CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::int8"

# Every `LATERAL` is `Window.take` line by line. The instant is taken under the lock of the row, hence so late.
_TAKE: Final = wire_statement(f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        %(keys)s::text[], %(limits)s::int8[], %(windows)s::int8[], %(steps)s::int8[], %(hits)s::int8[],
        %(costs)s::int8[], %(instants)s::int8[]
    ) AS asked (key, most, span, step, hits, cost, instant)
)
INSERT INTO rate_limit_hits AS held (key, instants, totals, granted, expires_at)
SELECT key, ARRAY[0, (now + step - 1) / step * step], ARRAY[0, granted * cost], granted, now + 2 * span
FROM asked
CROSS JOIN LATERAL (SELECT coalesce(instant, {_CLOCK}) AS now OFFSET 0) AS clock
CROSS JOIN LATERAL (SELECT least(hits, most / cost) AS granted) AS grant_
ORDER BY key
ON CONFLICT (key) DO UPDATE SET (instants, totals, granted, expires_at) = (
    SELECT
        CASE WHEN granted = 0 OR (left_ < last AND i[last] = at) THEN i[left_:] ELSE i[left_:] || at END,
        CASE
            WHEN granted = 0 THEN t[left_:]
            WHEN left_ < last AND i[last] = at THEN t[left_:last - 1] || (t[last] + granted * cost)
            ELSE t[left_:] || (t[last] + granted * cost)
        END,
        granted,
        now + 2 * span
    FROM asked
    CROSS JOIN LATERAL (SELECT coalesce(asked.instant, {_CLOCK}) AS now OFFSET 0) AS clock
    CROSS JOIN LATERAL (SELECT held.instants[cardinality(held.instants)] > now + span AS is_ahead OFFSET 0) AS ahead
    CROSS JOIN LATERAL (
        SELECT CASE WHEN is_ahead THEN ARRAY[0::int8] ELSE held.instants END AS i,
               CASE WHEN is_ahead THEN ARRAY[0::int8] ELSE held.totals END AS t OFFSET 0
    ) AS known
    CROSS JOIN LATERAL (
        SELECT greatest(width_bucket(now - span, i), 1) AS left_, cardinality(i) AS last OFFSET 0
    ) AS place
    CROSS JOIN LATERAL (
        SELECT greatest(least(asked.hits, (most - (t[last] - t[left_])) / cost), 0) AS granted,
               greatest((now + step - 1) / step * step, i[last]) AS at OFFSET 0
    ) AS grant_
    WHERE asked.key = excluded.key
)
RETURNING key, granted, totals[cardinality(totals)] - totals[1], coalesce(instants[2], 0), expires_at
""")  # noqa: S608 our own text
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
        values = {
            "keys": [ask.key for ask in asks],
            "limits": [ask.limit for ask in asks],
            "windows": [ask.window for ask in asks],
            "steps": [ask.step for ask in asks],
            "hits": [ask.hits for ask in asks],
            "costs": [ask.cost for ask in asks],
            "instants": [ask.now for ask in asks],
        }
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                rows = await self._wires.fetch(_TAKE, values)
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
