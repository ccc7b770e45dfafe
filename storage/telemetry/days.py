"""Days as people live them: from midnight to midnight in their time zone, 23 or 25 hours where clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from mappers.observation import DEFAULT_ZONE

ONE_DAY = timedelta(days=1)


@lru_cache(maxsize=1024)
def zone_named(name: str | None) -> ZoneInfo:
    """Return a time zone; UTC for one that nobody knows, as the resource of the day has it."""
    try:
        return ZoneInfo(name or DEFAULT_ZONE)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(DEFAULT_ZONE)


def day_of(moment: datetime, zone: str | None) -> date:
    """Return the day on which something was measured."""
    return moment.astimezone(zone_named(zone)).date()


def bounds(day: date, zone: str | None) -> tuple[datetime, datetime]:
    """Return when a day begins, and when the next one does, in UTC."""
    place = zone_named(zone)
    start, end = (datetime(each.year, each.month, each.day, tzinfo=place) for each in (day, day + ONE_DAY))
    return start.astimezone(UTC), end.astimezone(UTC)
