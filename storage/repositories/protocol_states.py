"""The state machine of protocols (patient_graph_data_model.md `protocol_status`), for REST and FHIR alike.

active ⇄ paused          active, paused → completed | cancelled
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from mappers.rows import Protocol
from storage.repositories.errors import TransitionRefused
from storage.tables.enums import PatientEventType
from storage.tables.enums import ProtocolStatus as Status

NEXT: Final[Mapping[Status, frozenset[Status]]] = {
    Status.ACTIVE: frozenset({Status.PAUSED, Status.COMPLETED, Status.CANCELLED}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.COMPLETED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}

STAMPS: Final[Mapping[Status, str]] = {
    Status.PAUSED: "paused_at",
    Status.COMPLETED: "completed_at",
    Status.CANCELLED: "cancelled_at",
}
"""The column that says when a state was entered; that a protocol is active again, only its event dates."""

EVENTS: Final[Mapping[Status, PatientEventType]] = {
    Status.ACTIVE: PatientEventType.PROTOCOL_STARTED,
    Status.PAUSED: PatientEventType.PROTOCOL_PAUSED,
    Status.COMPLETED: PatientEventType.PROTOCOL_COMPLETED,
    Status.CANCELLED: PatientEventType.PROTOCOL_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Transition:
    """A move that the state machine allows: the row after it, and the type of the event that tells of it."""

    row: Protocol
    event: PatientEventType


def transition(before: Protocol, after: Protocol, now: datetime) -> Transition | None:
    """Return the move between two states of a row, stamped; None when the status stays.

    A stamp that the writer changed along with the status is kept. Raises TransitionRefused for a move that the machine
    does not have.
    """
    old, new = Status(before.status), Status(after.status)
    if old is new:
        return None
    if new not in NEXT[old]:
        raise TransitionRefused("protocols", before.id, old, new, NEXT[old])
    column = STAMPS.get(new)
    if column is None or getattr(after, column) != getattr(before, column):
        return Transition(after, EVENTS[new])
    stamp: dict[str, Any] = {column: now}
    return Transition(replace(after, **stamp), EVENTS[new])
