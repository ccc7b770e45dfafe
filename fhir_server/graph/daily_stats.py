"""Pages of daily statistics, kept for five minutes (API document, 'Caching Strategy').

A page is forgotten when statistics of its customer change, on whichever worker and by whoever writes (storage/telemetry
/watch.py); while changes would not be heard of, nothing is kept and nothing kept is given. Whether a caller may have a
page is decided before anybody looks here, and that they had it is on record as for any other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Final

from fhir_server.background import running
from storage.engine import Database
from storage.repositories.table import Window
from storage.telemetry.watch import Watch, watch_of

KEPT_SECONDS: Final = 300.0
MOST_BYTES: Final = 32 * 1024 * 1024
OVERHEAD: Final = 1_000
"""What a kept page takes beside its bytes, about."""

Whose = tuple[str, str]
"""Organization and customer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a page of one customer's statistics was asked for with."""

    data_type: str | None
    since: date | None
    until: date | None
    window: Window


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A finished page: its bytes, and what the audit is told of it."""

    body: bytes
    ids: tuple[str, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """Somebody reads statistics of a customer; void when these change meanwhile."""

    whose: Whose
    number: int


class DailyStatsCache:
    """The pages of one worker. Not for several threads."""

    def __init__(self, now: Callable[[], float], most_bytes: int = MOST_BYTES) -> None:
        self._now = now
        self._most_bytes = most_bytes
        self._pages: OrderedDict[Whose, dict[Question, tuple[float, KeptPage]]] = OrderedDict()
        self._bytes = 0
        self._tickets: dict[Whose, set[int]] = {}
        self._number = 0
        self.watch: Watch | None = None
        """Who hears of changes; nothing is kept without one."""

    def find(self, whose: Whose, question: Question) -> KeptPage | None:
        """Return a page that is as good as a new one; None when it has to be read."""
        if self.watch is None or not self.watch.is_listening:
            return None
        pages = self._pages.get(whose)
        found = pages.get(question) if pages is not None else None
        if pages is None or found is None:
            return None
        until, page = found
        if until <= self._now():
            del pages[question]
            self._bytes -= _size(page)
            return None
        self._pages.move_to_end(whose)
        return page

    def open(self, whose: Whose) -> Ticket:
        """Begin to read a page; close the ticket afterwards."""
        self._number += 1
        self._tickets.setdefault(whose, set()).add(self._number)
        return Ticket(whose, self._number)

    def close(self, ticket: Ticket) -> None:
        """End the reading of a page, kept or not."""
        numbers = self._tickets.get(ticket.whose, set())
        numbers.discard(ticket.number)
        if not numbers:
            self._tickets.pop(ticket.whose, None)

    def keep(self, ticket: Ticket, question: Question, page: KeptPage) -> None:
        """Keep a page that was read since the ticket was opened, unless something changed meanwhile."""
        if self.watch is None or not self.watch.is_listening:
            return
        if ticket.number not in self._tickets.get(ticket.whose, ()):
            return
        pages = self._pages.setdefault(ticket.whose, {})
        before = pages.get(question)
        self._bytes += _size(page) - (_size(before[1]) if before is not None else 0)
        pages[question] = (self._now() + KEPT_SECONDS, page)
        self._pages.move_to_end(ticket.whose)
        while self._bytes > self._most_bytes and self._pages:
            self._drop(next(iter(self._pages)))

    def forget(self, organization_id: str | None, customers: tuple[str, ...] = ()) -> None:
        """Forget the pages of customers; nobody: those of the organization; no organization: all."""
        if organization_id is not None and customers:
            for customer in customers:
                self._drop((organization_id, customer))
                self._tickets.pop((organization_id, customer), None)
            return
        for whose in [each for each in self._pages if organization_id in (None, each[0])]:
            self._drop(whose)
        for whose in [each for each in self._tickets if organization_id in (None, each[0])]:
            del self._tickets[whose]

    def _drop(self, whose: Whose) -> None:
        for _, page in self._pages.pop(whose, {}).values():
            self._bytes -= _size(page)


def _size(page: KeptPage) -> int:
    return len(page.body) + sum(map(len, page.ids)) + OVERHEAD


@asynccontextmanager
async def running_daily_stats(database: Database, now: Callable[[], float]) -> AsyncIterator[DailyStatsCache]:
    """Keep pages, and hear of changes, until the context ends; `now` is the time in seconds since 1970 UTC."""
    cache = DailyStatsCache(now)
    cache.watch = watch_of(database, cache.forget)
    async with running(cache.watch.run(), "daily-stats"):
        yield cache
