"""The state machine of subscriptions and treatments (internal_tables.md), for REST, webhook and FHIR alike.

pending → approved → active ⇄ paused
pending → rejected | cancelled          approved, active, paused → cancelled          active → completed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from mappers.rows import Subscription
from storage.repositories.errors import TransitionRefused
from storage.tables.enums import PatientEventType
from storage.tables.enums import SubscriptionStatus as Status

NEXT: Final[Mapping[Status, frozenset[Status]]] = {
    Status.PENDING: frozenset({Status.APPROVED, Status.REJECTED, Status.CANCELLED}),
    Status.APPROVED: frozenset({Status.ACTIVE, Status.CANCELLED}),
    Status.ACTIVE: frozenset({Status.PAUSED, Status.CANCELLED, Status.COMPLETED}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.CANCELLED}),
    Status.REJECTED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.COMPLETED: frozenset(),
}

STAMPS: Final[Mapping[Status, str]] = {
    Status.APPROVED: "approved_at",
    Status.ACTIVE: "started_at",
    Status.PAUSED: "paused_at",
    Status.CANCELLED: "cancelled_at",
    Status.COMPLETED: "completed_at",
}
"""The column that says when a state was entered; the documents have none for rejected, which only its event dates."""

EVENTS: Final[Mapping[Status, PatientEventType]] = {
    Status.APPROVED: PatientEventType.TREATMENT_APPROVED,
    Status.REJECTED: PatientEventType.TREATMENT_REJECTED,
    Status.ACTIVE: PatientEventType.TREATMENT_STARTED,
    Status.PAUSED: PatientEventType.TREATMENT_PAUSED,
    Status.CANCELLED: PatientEventType.TREATMENT_CANCELLED,
    Status.COMPLETED: PatientEventType.TREATMENT_COMPLETED,
}


@dataclass(frozen=True, slots=True)
class Transition:
    """A move that the state machine allows: the row after it, and the type of the event that tells of it."""

    row: Subscription
    event: PatientEventType


def transition(before: Subscription, after: Subscription, now: datetime) -> Transition | None:
    """Return the move between two states of a row, stamped; None when the status stays.

    A stamp that the writer changed along with the status is kept. Resuming after a pause leaves the start as it was.
    Raises TransitionRefused for a move that the machine does not have.
    """
    old, new = Status(before.status), Status(after.status)
    if old is new:
        return None
    if new not in NEXT[old]:
        raise TransitionRefused("subscriptions", before.id, old, new, NEXT[old])
    return Transition(_stamped(before, after, old, new, now), EVENTS[new])


def _stamped(before: Subscription, after: Subscription, old: Status, new: Status, now: datetime) -> Subscription:
    column = STAMPS.get(new)
    resumed = (old, new) == (Status.PAUSED, Status.ACTIVE)
    if column is None or resumed or getattr(after, column) != getattr(before, column):
        return after
    stamp: dict[str, Any] = {column: now}
    return replace(after, **stamp)


def is_approved(row: Subscription) -> bool:
    """Return whether a clinician has ever approved a treatment, whatever became of it since."""
    status = Status(row.status)
    if status is Status.CANCELLED:
        return row.approved_at is not None
    return status not in {Status.PENDING, Status.REJECTED}
