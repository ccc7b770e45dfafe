"""Who is told that the statistics of a customer's days changed: every worker that keeps some of them in memory.

On PostgreSQL a notification leaves with the commit; what foreign writers change is told by the notification of the
outbox, which names nobody. On SQLite the file itself says whether anybody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from storage.codec import decode, encode
from storage.sql import Prepared
from storage.transaction import UnitOfWork

CHANNEL: Final = "fhir_daily_stats"
"""The NOTIFY channel; payloads are JSON: the organization, and whose days (several at once; none: everybody's)."""
MOST_NAMED: Final = 50
"""Customers that one notification names; it takes 8,000 bytes at most."""
MOST_TEXT: Final = 7000
NOTIFY: Final = Prepared("SELECT pg_notify(%(channel)s, %(payload)s)", {})


async def announce(unit: UnitOfWork, customers: Iterable[str]) -> None:
    """Tell every worker, when the unit of work is committed, that days of customers changed."""
    named = sorted(set(customers))
    if unit.driver.dialect != "postgresql":
        return
    for start in range(0, len(named), MOST_NAMED):
        payload = encode([unit.organization_id, *named[start : start + MOST_NAMED]]).decode()
        if len(payload.encode()) > MOST_TEXT:  # ids of foreign writers may be long
            payload = encode([unit.organization_id]).decode()
        await unit.driver.execute(NOTIFY, {"channel": CHANNEL, "payload": payload})


def announced(payload: str) -> tuple[str, tuple[str, ...]]:
    """Return the organization and the customers that a notification names; nobody: all of the organization."""
    organization_id, *customers = decode(payload.encode())
    return organization_id, tuple(customers)
