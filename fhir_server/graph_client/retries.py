"""When a call is sent again, and how long to wait before."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.graph_client.calls import Call

NOT_TAKEN: Final = 429
"""Nothing was done: any call may be sent again."""
PASSING: Final = frozenset({502, 503, 504})
"""Nobody knows what was done: only calls that may be repeated are sent again."""


@dataclass(frozen=True, slots=True)
class Retries:
    """At most `attempts` more requests; waits of up to `first` seconds, doubled each time up to `longest`, at random.

    A server that says how long to wait is obeyed; if that is longer than `longest`, the call fails at once.
    """

    attempts: int = 3
    first: float = 0.2
    longest: float = 20.0
    draw: Callable[[float, float], float] = random.uniform

    def wait(self, call: Call[Any], attempt: int, status: int | None, told: float | None) -> float | None:
        """Return the seconds to wait before another request, None for no other.

        `attempt` counts those that were made from 0, `status` is None where no answer came, `told` is what the answer
        says in Retry-After. A little is added to that, so that not all come back in the same instant.
        """
        may = status == NOT_TAKEN or (call.repeatable and (status is None or status in PASSING))
        if not may or attempt >= self.attempts:
            return None
        if told is not None:
            return told + self.draw(0.0, self.first) if told <= self.longest else None
        return self.draw(0.0, min(self.longest, self.first * 2.0**attempt))


NONE: Final = Retries(attempts=0)
"""Each call is sent once."""
