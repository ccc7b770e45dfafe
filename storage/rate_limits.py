"""Where rate limits count: in the database, so that all workers count together, or in this process alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from storage.clock import epoch_milliseconds
from storage.rate_limits_postgres import PostgresRateLimits
from storage.rate_limits_sqlite import SqliteRateLimits, limits_path
from storage.rate_windows import Answer, Ask, Window


class RateLimits(Protocol):
    """Counts hits. Calls of `take` do not overlap."""

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """Count hits of keys that are all different, and answer in order; raises StorageError."""
        ...

    async def clean(self) -> None:
        """Delete what counts no more; raises StorageError."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class MemoryRateLimits:
    """The count of one process: what is left when the shared one is away."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """Count hits of keys that are all different."""
        return [
            self._windows.setdefault(ask.key, Window.empty()).take(
                ask, epoch_milliseconds() if ask.now is None else ask.now
            )
            for ask in asks
        ]

    async def clean(self) -> None:
        """Delete what counts no more."""
        now = epoch_milliseconds()
        self._windows = {key: window for key, window in self._windows.items() if window.expires_at >= now}

    async def close(self) -> None:
        """Forget everything."""
        self._windows.clear()


def create_rate_limits(dialect: str, url: str, *, role: str | None) -> RateLimits:
    """Return what counts in a database; it connects at the first hit. `role` is the role to take on PostgreSQL."""
    if dialect == "postgresql":
        return PostgresRateLimits(url, role=role)
    return SqliteRateLimits(limits_path(url))
