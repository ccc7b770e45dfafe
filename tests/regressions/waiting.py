"""Waiting for those who wait: tests of two writers need to know when one has met the other."""

from __future__ import annotations

import asyncio
import time

from tests.postgres import execute


async def until_somebody_waits(url: str, count: int = 1) -> None:
    """Return when so many sessions wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while execute(url, waiting) < [(count,)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
