"""Who is known to be refused for a while: hits only add up, so nobody needs to be asked again until then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from fhir_server.limits.limit import Limit, Standing

MOST: Final = 10_000
"""Refusals remembered; beyond that the store is asked again."""


class Refusals:
    """Full windows, by key, and when each has room again. One per worker."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self.monotonic = monotonic
        self._now = now
        self._until: dict[str, float] = {}

    def of(self, key: str, limit: Limit) -> Standing | None:
        """Return the refusal of a key whose window is full; None when that is not known."""
        until = self._until.get(key)
        if until is None:
            return None
        wait = until - self.monotonic()
        if wait <= 0:
            del self._until[key]
            return None
        return Standing(False, limit.requests, 0, math.ceil(self._now() + wait), math.ceil(wait))

    def note(self, key: str, until: float) -> None:
        """Remember that a window is full until an instant of the monotonic clock."""
        if len(self._until) >= MOST:
            self.forget()
        if len(self._until) < MOST:
            self._until[key] = until

    def forget(self) -> None:
        """Forget those that are over."""
        now = self.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
