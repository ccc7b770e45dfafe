"""Who is told that the statistics of a customer's days changed: every worker that keeps some of them in memory.

On PostgreSQL a notification leaves with the commit; what foreign writers change is told by the notification of the
outbox, which names nobody. On SQLite the file itself says whether anybody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from storage.codec import decode, encode
from storage.sql import Prepared
from storage.transaction import UnitOfWork

DAILY: Final = "patient_wearable_daily_stats"
CHANNEL: Final = "fhir_daily_stats"
"""The NOTIFY channel; payloads are JSON: the organization, and whose days (several at once; none: everybody's)."""
MOST_NAMED: Final = 50
"""Customers that one notification names; it takes 8,000 bytes at most."""
MOST_TEXT: Final = 7000
NOTIFY: Final = Prepared("SELECT pg_notify(%(channel)s, %(payload)s)", {})


async def announce_rows(unit: UnitOfWork, table: str, *rows: Any) -> None:
    """Tell every worker whose days change with rows of a table (None: there is none); nothing for another table."""
    if table == DAILY:
        await announce(unit, [row.customer_id for row in rows if row is not None])


async def announce_all(unit: UnitOfWork, table: str) -> None:
    """Tell every worker that rows of many customers change in a table; nothing for another table."""
    if table == DAILY and unit.driver.dialect == "postgresql":
        await _notify(unit, [])


async def announce(unit: UnitOfWork, customers: Iterable[str]) -> None:
    """Tell every worker, when the unit of work is committed, that days of customers changed."""
    named = sorted(set(customers))
    if unit.driver.dialect != "postgresql":
        return
    for start in range(0, len(named), MOST_NAMED):
        await _notify(unit, named[start : start + MOST_NAMED])


async def _notify(unit: UnitOfWork, customers: Sequence[str]) -> None:
    payload = encode([unit.organization_id, *customers])
    if len(payload) > MOST_TEXT:  # ids of foreign writers may be long
        payload = encode([unit.organization_id])
    await unit.driver.execute(NOTIFY, {"channel": CHANNEL, "payload": payload.decode()})


def announced(payload: str) -> tuple[str, tuple[str, ...]]:
    """Return the organization and the customers that a notification names; nobody: all of the organization."""
    organization_id, *customers = decode(payload.encode())
    return organization_id, tuple(customers)
