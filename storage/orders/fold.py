"""The prescription that the events of an order add up to. Pure: in whatever order they arrived, and however often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from storage.orders.event import MEMBERS, OrderEvent
from storage.repositories.prescription_states import NEXT, STAMPS, may_follow
from storage.tables.enums import PrescriptionStatus as Status

COLUMNS: Final = (*(column for column, _ in MEMBERS.values()), *STAMPS.values())
"""Columns of a prescription that events fill, beside `status`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event in its place; `allowed` is None for one that counts, else what the state machine would have let in."""

    event: OrderEvent
    before: Status
    allowed: tuple[Status, ...] | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the state machine has no such move, so that nothing of the event counts."""
        return self.allowed is not None


@dataclass(frozen=True, slots=True)
class Order:
    """Where an order stands: `columns` of its prescription, `status` among them, and every event in its place."""

    columns: Mapping[str, Any]
    steps: tuple[Step, ...]

    @property
    def status(self) -> Status:
        """The state that it is in."""
        return Status(self.columns["status"])

    def step(self, event_id: str) -> Step:
        """Return the step of an event; raises LookupError."""
        for step in self.steps:
            if step.event.id == event_id:
                return step
        raise LookupError(event_id)


def fold(events: Iterable[OrderEvent]) -> Order | None:
    """Return what events of one order add up to, each counted once, in order of their own time; None: there is none.

    What a later event says of the order stands; what it leaves out stays. A state is stamped when it is entered.
    """
    status: Status | None = None
    columns: dict[str, Any] = dict.fromkeys(COLUMNS)
    steps: list[Step] = []
    for event in sorted({event.id: event for event in events}.values(), key=lambda event: event.place):
        before, after = status or Status.PENDING, event.state
        if after is not None and status is not None and not may_follow(status, after):
            steps.append(Step(event, status, tuple(sorted(NEXT[status]))))
            continue
        columns |= event.values
        if after is not None and after is not status:
            columns |= _stamped(after, event.occurred_at)
            status = after
        steps.append(Step(event, before))
    return Order({**columns, "status": status or Status.PENDING}, tuple(steps)) if steps else None


def _stamped(status: Status, moment: datetime) -> dict[str, datetime]:
    return {STAMPS[status]: moment} if status in STAMPS else {}
