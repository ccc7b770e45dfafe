"""Period of an enrollment's resources ⇄ `start_date` and `end_date` (mapping.md CarePlan).

The columns are instants, though most enrollments begin on a day: midnight UTC is shown as that day and a whole day is
taken as it. An end before the start is not shown (FHIR R4 invariant per-1) and stays in its column.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from mappers import isos
from mappers.errors import Refusal
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Absent, Json
from mappers.nodes import Node


def _is_day(moment: datetime) -> bool:
    return moment.astimezone(UTC).time() == time()


def day_of(moment: datetime | None) -> date | None:
    """Return the UTC day of a moment."""
    return None if moment is None else moment.astimezone(UTC).date()


def _literal(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat() if _is_day(moment) else isos.instant_text(moment)


def _moment(literal: Json) -> datetime:
    """Return the moment of a dateTime: midnight UTC of a whole day; raises Refusal for a partial date."""
    if isinstance(literal, str) and len(literal) == len("2025-08-01"):
        return datetime.combine(isos.column_date(literal), time(), UTC)
    return isos.column_instant(literal)


def _end(start: datetime, end: datetime | None) -> Node:
    """Show the end; a day is over at its end, so the day of the start is no earlier end."""
    if end is None or (end < start and not (_is_day(end) and day_of(start) == day_of(end))):
        return ABSENT
    return _literal(end)


def show_period(values: tuple[Any, ...], _: Context) -> Node:
    """Show `start_date` and `end_date` as one Period."""
    start, end = values
    last = _end(start, end)
    return {"start": _literal(start)} if last is ABSENT else {"start": _literal(start), "end": last}


def enrollment_period() -> Field:
    """Return the field of `start_date`, which is NOT NULL, and `end_date`."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
        return _literal(values[0]), _end(*values)

    def take(found: tuple[Json, ...], context: Context) -> tuple[datetime, datetime | None]:
        view, (first, last) = context.view, found
        if first is ABSENT and view is None:
            raise Refusal("is missing", final=True)
        start = view.start_date if first is ABSENT else _moment(first)
        unseen = view is not None and _end(view.start_date, view.end_date) is ABSENT is _end(start, view.end_date)
        return start, view.end_date if unseen and last is ABSENT else _nullable(last)

    note = "midnight UTC as a day; a partial start is not claimed; an end before the start is not shown"
    columns, paths = ("start_date", "end_date"), ("period.start", "period.end")
    sources = (("start_date",), ("start_date", "end_date"))
    return lens(columns, paths, show, take, needed=True, always=True, note=note, sources=sources)


def _nullable(literal: Json | Absent) -> datetime | None:
    try:
        return None if literal is ABSENT else _moment(literal)
    except Refusal:
        return None
