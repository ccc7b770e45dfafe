"""Sliding windows of hits: at no moment do more than the limit lie within one window (settled §5, security RL-1).

A window is what was granted lately, as running totals: `instants` and the total of hits up to each. The first entry is
the last one that has left the window, so what lies in it is the last total less the first. Limits of up to `STEPS` hits
are exact to the millisecond. Of higher ones the instants are rounded up to a `STEPS`th of the window, so that what is
kept stays small; that can refuse a hit a step too early, and never grants one too many.

The same is said in SQL by `storage/rate_limits_postgres.py`; a law of the tests holds both against a plain count.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

STEPS: Final = 240


@dataclass(frozen=True, slots=True)
class Ask:
    """So many hits of one key, each of which costs `cost`, which is not above the limit.

    `limit` is what a window of `window` milliseconds holds at most; `now` the instant in milliseconds since 1970 UTC,
    that of the store's own clock when it is None.
    """

    key: str
    limit: int
    window: int
    hits: int = 1
    cost: int = 1
    now: int | None = None

    @property
    def step(self) -> int:
        """What instants are rounded up to, in milliseconds."""
        return 1 if self.limit <= STEPS else -(-self.window // STEPS)


@dataclass(frozen=True, slots=True)
class Answer:
    """`granted` hits; `used` is what lies in the window after that, whose oldest hit was at `oldest` (`now`: none)."""

    granted: int
    used: int
    oldest: int
    now: int


@dataclass(slots=True)
class Window:
    """What a store keeps of a key; the first entry is one that has left."""

    instants: list[int]
    totals: list[int]
    expires_at: int = 0

    @classmethod
    def empty(cls) -> Window:
        """Return the window of a key that was never hit."""
        return cls([0], [0])

    def take(self, ask: Ask, now: int) -> Answer:
        """Grant what fits, of what is asked for at `now`."""
        if self.instants[-1] > now + ask.window:  # the clock was set back
            self.instants, self.totals = [0], [0]
        left = max(bisect_right(self.instants, now - ask.window) - 1, 0)
        del self.instants[:left], self.totals[:left]
        free = ask.limit - (self.totals[-1] - self.totals[0])
        granted = max(min(ask.hits, free // ask.cost), 0)
        if granted:
            self._add(max(-(-now // ask.step) * ask.step, self.instants[-1]), granted * ask.cost)
        self.expires_at = now + 2 * ask.window
        oldest = self.instants[1] if len(self.instants) > 1 else now
        return Answer(granted, self.totals[-1] - self.totals[0], oldest, now)

    def _add(self, at: int, hits: int) -> None:
        if len(self.instants) > 1 and self.instants[-1] == at:
            self.totals[-1] += hits
        else:
            self.instants.append(at)
            self.totals.append(self.totals[-1] + hits)
