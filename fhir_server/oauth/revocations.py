"""Revoked access tokens, kept in memory and looked up in the database every second (security OA-8, settled §4.5).

A revocation names one token (`jti`), the tokens of a grant, or everyone's tokens of a user, a client or an organization
that were issued up to an instant. It is kept until the last token that it can concern has expired.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import structlog

from fhir_server.access import Caller
from storage.errors import StorageError
from storage.grants import Revocation, RevocationKind

STALE_SECONDS: Final = 5.0
"""A request that meets older knowledge waits for a new look-up."""

log = structlog.get_logger("fhir_server.revocations")


Lookup = Callable[[], Awaitable[Iterable[Revocation]]]


class Revocations:
    """What is revoked, as of at most a second ago."""

    def __init__(
        self, lookup: Lookup, *, interval: float = 1.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._lookup = lookup
        self._interval = interval
        self._monotonic = monotonic
        self._revoked: dict[tuple[RevocationKind, str], int] = {}
        self._looked_up_at: float | None = None
        self._running: asyncio.Task[None] | None = None
        self._begun = self._done = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look revocations up every `interval` seconds from now on."""
        self._task = asyncio.create_task(self._poll(), name="revocations")

    async def stop(self) -> None:
        """End the polling."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._running is not None:
            self._running.cancel()

    async def _poll(self) -> None:
        while True:
            try:
                await self.refresh()
            except StorageError:
                log.warning("revocations_unknown")  # requests fail as soon as the knowledge is stale
            await asyncio.sleep(self._interval)

    async def refresh(self) -> None:
        """Look up what is revoked now; raises DatabaseUnavailable.

        There is one look-up at a time: when the database is away all who wait fail with it, instead of one by one.
        """
        before = self._begun
        while self._done <= before:
            if self._running is None or self._running.done():  # done, and `_ended` not called yet
                self._begun += 1
                self._running = asyncio.create_task(self._look_up(self._begun), name="revoked")
                self._running.add_done_callback(self._ended)
            await asyncio.shield(self._running)

    async def _look_up(self, number: int) -> None:
        started = self._monotonic()
        revoked: dict[tuple[RevocationKind, str], int] = {}
        for each in await self._lookup():
            key = (each.kind, each.value)
            revoked[key] = max(each.revoked_at, revoked.get(key, 0))
        self._revoked = revoked
        self._looked_up_at = started
        self._done = number

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._running is task:
            self._running = None
        if not task.cancelled():
            task.exception()  # told to those who wait; perhaps nobody does any more

    @property
    def stale(self) -> bool:
        """Whether the knowledge is too old to decide with."""
        return self._looked_up_at is None or self._monotonic() - self._looked_up_at > STALE_SECONDS

    def is_revoked(self, caller: Caller) -> bool:
        """Return whether the caller's token is revoked, by itself or with its user, client or organization."""
        revoked = self._revoked
        if not revoked:
            return False
        issued = caller.issued_at
        return (
            (RevocationKind.TOKEN, caller.token_id) in revoked
            or (RevocationKind.GRANT, caller.grant_id) in revoked
            or revoked.get((RevocationKind.USER, caller.subject), -1) >= issued
            or revoked.get((RevocationKind.CLIENT, caller.client_id), -1) >= issued
            or revoked.get((RevocationKind.ORGANIZATION, caller.organization_id), -1) >= issued
        )
