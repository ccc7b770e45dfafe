"""Days as people live them: from midnight to midnight in their time zone, 23 or 25 hours where clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from mappers.observation import DEFAULT_ZONE

ONE_DAY = timedelta(days=1)
FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""Where time zones do not reach beyond: the first and the last day begin and end there in all of them."""


@lru_cache(maxsize=1024)
def zone_named(name: str | None) -> ZoneInfo:
    """Return a time zone; UTC for one that nobody knows, as the resource of the day has it."""
    try:
        return ZoneInfo(name or DEFAULT_ZONE)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(DEFAULT_ZONE)


def day_of(moment: datetime, zone: str | None) -> date:
    """Return the day on which something was measured."""
    try:
        return moment.astimezone(zone_named(zone)).date()
    except OverflowError:  # other programs write any instant
        return moment.date()


def bounds(day: date, zone: str | None) -> tuple[datetime, datetime]:
    """Return when a day begins, and when the next one does, in UTC."""
    place = zone_named(zone)
    start = FIRST if day == date.min else _midnight(day, place)
    return start, LAST if day == date.max else _midnight(day + ONE_DAY, place)


def _midnight(day: date, place: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=place).astimezone(UTC)
