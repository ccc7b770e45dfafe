"""Instants and durations in words, for pages."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Final

MINUTE: Final = 60
LONGEST_IN_SECONDS: Final = 90


def duration(seconds: int) -> str:
    """Return a wait in words, rounded up: `45 seconds`, `2 minutes`."""
    if seconds <= LONGEST_IN_SECONDS:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    return f"{-(-seconds // MINUTE)} minutes"


def day(seconds: int, zone: tzinfo = UTC) -> str:
    """Return the day of an instant (seconds since 1970 UTC) in a zone: `5 March 2026`."""
    moment = datetime.fromtimestamp(seconds, zone)
    return f"{moment.day} {moment:%B %Y}"


def moment(seconds: int, zone: tzinfo = UTC) -> str:
    """Return an instant (seconds since 1970 UTC) in a zone: `5 March 2026, 14:05`."""
    found = datetime.fromtimestamp(seconds, zone)
    return f"{day(seconds, zone)}, {found:%H:%M}"
