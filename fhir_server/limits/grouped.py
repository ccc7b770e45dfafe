"""A limiter over what counts in the database: everything that comes while a statement is under way goes in the next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

from fhir_server.limits.limit import Limit, Standing
from fhir_server.limits.refusals import Refusals
from storage.rate_limits import RateLimits
from storage.rate_windows import Answer, Ask

MOST_KEYS: Final = 64
"""Keys in one statement."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hit:
    """A hit that somebody waits for."""

    limit: Limit
    cost: int
    standing: asyncio.Future[Standing]


class GroupedLimiter:
    """Hits of many keys, and many of one key, are one statement; who is known to be refused costs none."""

    def __init__(self, counts: RateLimits, refusals: Refusals | None = None) -> None:
        self._counts = counts
        self._refusals = refusals or Refusals()
        self._waiting: dict[str, deque[_Hit]] = {}
        self._draining: asyncio.Task[None] | None = None

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Standing:
        """Count a hit, unless it is refused, and say where its key stands; raises StorageError."""
        name = f"{key}/{limit}"
        refused = self._refusals.of(name, limit)
        if refused is not None:
            return refused
        standing: asyncio.Future[Standing] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(_Hit(limit, cost, standing))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="limits")
        return await standing

    async def clean(self) -> None:
        """Forget what counts no more; raises StorageError."""
        self._refusals.forget()
        await self._counts.clean()

    async def close(self) -> None:
        """Answer those who wait, then close the store."""
        if self._draining is not None:
            await self._draining
        await self._counts.close()

    async def _drain(self) -> None:
        """Count what waits, group after group, until nothing does."""
        try:
            while self._waiting:
                await self._count({name: self._next(name) for name in list(islice(self._waiting, MOST_KEYS))})
        finally:
            self._draining = None

    def _next(self, name: str) -> list[_Hit]:
        """Return the hits of a key that can be counted together: those that cost the same."""
        waiting = self._waiting[name]
        cost = waiting[0].cost
        group = list(takewhile(lambda hit: hit.cost == cost, waiting))
        if len(group) == len(waiting):
            del self._waiting[name]
        else:
            self._waiting[name] = deque(islice(waiting, len(group), None))
        return group

    async def _count(self, groups: dict[str, list[_Hit]]) -> None:
        asks = [
            Ask(name, hits[0].limit.requests, hits[0].limit.seconds * 1000, len(hits), hits[0].cost)
            for name, hits in groups.items()
        ]
        sent = self._refusals.monotonic()  # before the store's own instant: nobody is refused here for too long
        try:
            answers = await self._counts.take(asks)
        except Exception as error:  # noqa: BLE001 whatever it is, no request may wait for ever
            for hit in (hit for hits in groups.values() for hit in hits):
                if not hit.standing.done():
                    hit.standing.set_exception(error)
            return
        for ask, answer, hits in zip(asks, answers, groups.values(), strict=True):
            if answer.used >= ask.limit:
                self._refusals.note(ask.key, sent + (answer.oldest + ask.window - answer.now) / 1000)
            _tell(ask, answer, hits)


def _tell(ask: Ask, answer: Answer, hits: Sequence[_Hit]) -> None:
    """Tell each hit where it stands: those that came first are granted first."""
    reset = answer.oldest + ask.window
    for place, hit in enumerate(hits):
        if hit.standing.done():  # its request was cancelled
            continue
        allowed = place < answer.granted
        used = answer.used - (answer.granted - 1 - place) * ask.cost if allowed else answer.used
        wait = 0 if allowed else max(-(-(reset - answer.now) // 1000), 1)
        hit.standing.set_result(Standing(allowed, ask.limit, ask.limit - used, -(-reset // 1000), wait))
