"""What a limit is, and where somebody stands with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FORM: Final = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,5})")
LONGEST_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many requests within any so many seconds; written `100/60`."""

    requests: int
    seconds: int

    def __str__(self) -> str:
        """Return how it is written in settings."""
        return f"{self.requests}/{self.seconds}"

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Return the limit that is written so; raises ValueError for anything else, and for windows above a day."""
        match = _FORM.fullmatch(text.strip())
        if match is None or int(match[2]) > LONGEST_SECONDS:
            raise ValueError("must be requests and seconds such as 100/60, of a day at most")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands after a hit.

    `remaining` requests are free now; at `reset_at`, in seconds since 1970 UTC, the oldest of those that count leaves
    the window. `retry_after` is in whole seconds, at least 1 for who was refused and else 0.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_at: int
    retry_after: int
