"""Period of a CarePlan ⇄ the dates of protocols and subscriptions (mapping.md CarePlan).

An end before the start is not shown (FHIR R4 invariant per-1) and stays in its column as long as it is not shown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, TypeVar

from mappers import isos
from mappers.errors import Refusal
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Absent, Json
from mappers.nodes import Node

T = TypeVar("T")


def _read(literal: Json | Absent, backwards: Callable[[Json], T]) -> T | None:
    """Return a column's value, None for what is missing or partial: start and end do not depend on each other."""
    try:
        return None if literal is ABSENT else backwards(literal)
    except Refusal:
        return None


def _last_day(start: date | None, end: date | None) -> Node:
    return ABSENT if end is None or (start is not None and end < start) else isos.day_of.forwards(end)


def ended(values: tuple[Any, ...], context: Context) -> Node:
    """Show when a protocol without an end date was completed or cancelled."""
    view = context.view
    end = next((value for value in values if value is not None), None)
    if end is None or view.end_date is not None or (view.start_date is not None and end.date() < view.start_date):
        return ABSENT
    return isos.instant_text(end)


def protocol_period() -> Field:
    """Return the field of `start_date` and `end_date`; the mapper shows `ended` at the same element before it."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
        start, end = values
        return (ABSENT if start is None else isos.day_of.forwards(start)), _last_day(start, end)

    def take(found: tuple[Json, ...], context: Context) -> tuple[date | None, date | None]:
        view, (first, last) = context.view, found
        start = _read(first, isos.column_day_of)
        if view is not None:
            hidden = _last_day(view.start_date, view.end_date) is ABSENT is _last_day(start, view.end_date)
            shown = ended((view.completed_at, view.cancelled_at), context)
            if hidden and last == shown:
                return start, view.end_date
        return start, _read(last, isos.column_day_of)

    note = f"{isos.day_of.note}; an end before the start is not shown"
    columns = ("start_date", "end_date")
    sources = (("start_date",), ("end_date", "start_date"))
    return lens(columns, ("period.start", "period.end"), show, take, note=note, sources=sources)


def _over(started: datetime | None, completed: datetime | None, cancelled: datetime | None) -> Node:
    end = cancelled if completed is None else completed
    return ABSENT if end is None or (started is not None and end < started) else isos.instant_text(end)


def treatment_period() -> Field:
    """Return the field of `started_at`, `completed_at` and `cancelled_at`.

    A written end goes where the written status says; the planned end of a treatment that goes on has no column.
    """

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
        return (ABSENT if values[0] is None else isos.instant_text(values[0])), _over(*values)

    def take(found: tuple[Json, ...], context: Context) -> tuple[datetime | None, ...]:
        view, (first, last) = context.view, found
        started = _read(first, isos.column_instant)
        if view is not None:
            ends = (view.completed_at, view.cancelled_at)
            if last == _over(view.started_at, *ends) == _over(started, *ends):
                return started, *ends
        end = _read(last, isos.column_instant)
        match context.written.get("status"):
            case "completed":
                return started, end, None
            case "revoked":
                return started, None, end
            case _:
                return started, None, None

    note = "the end by status; one before the start is not shown; a planned end stays in the residual"
    columns = ("started_at", "completed_at", "cancelled_at")
    sources = (("started_at",), ("completed_at", "cancelled_at", "started_at"))
    return lens(columns, ("period.start", "period.end"), show, take, note=note, sources=sources)
