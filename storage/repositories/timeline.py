"""What the timeline of a customer is told when protocols, laboratory reports and profiles change, whoever changes them.

Of a profile an entry names what changed, and no values.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from mappers.rows import CustomerProfile, LabResult, Protocol
from storage.repositories.entities import PatientEvent
from storage.repositories.protocol_states import transition
from storage.tables.enums import PatientEventType
from storage.tables.types import is_same_value
from storage.transaction import UnitOfWork

UNTOLD: Final = frozenset({"created_at", "updated_at", "identity_mappings"})
"""What of a profile changes without the profile's owner having changed anything in it."""


def protocol_rule(unit: UnitOfWork, before: Protocol | None, after: Protocol) -> tuple[Protocol, PatientEvent | None]:
    """Keep to the state machine, and tell of new protocols and of transitions; raises TransitionRefused."""
    if before is None:
        return after, _protocol_event(unit, after, PatientEventType.PROTOCOL_CREATED)
    move = transition(before, after, unit.started)
    if move is None:
        return after, None
    return move.row, _protocol_event(unit, move.row, move.event)


def lab_rule(unit: UnitOfWork, before: LabResult | None, after: LabResult) -> tuple[LabResult, PatientEvent | None]:
    """Tell of a new report; that it was parsed, whoever parses it tells (API document, 'Lab Upload')."""
    if before is not None:
        return after, None
    told = PatientEventType.LAB_UPLOAD
    return after, entry(unit, after.customer_id, told, "Lab report uploaded", {"labResultId": after.id})


def changed_members(before: CustomerProfile, after: CustomerProfile) -> list[str]:
    """Return what differs between two states of a profile, by the names of the internal APIs."""
    names = (each.name for each in fields(after) if each.name not in UNTOLD)
    return [_member(name) for name in names if not is_same_value(getattr(before, name), getattr(after, name))]


def _member(column: str) -> str:
    """Return what the internal APIs call a column."""
    first, *others = column.split("_")
    return first + "".join(map(str.capitalize, others))


def _protocol_event(unit: UnitOfWork, row: Protocol, told: PatientEventType) -> PatientEvent:
    return entry(unit, row.customer_id, told, row.name, {"protocolId": row.id, "status": row.status})


def entry(
    unit: UnitOfWork, customer_id: str, told: PatientEventType, description: str | None, data: dict[str, Any]
) -> PatientEvent:
    """Return an entry of a customer's timeline that tells of what this unit of work does."""
    return PatientEvent(
        id=unit.ids.uuid7(),
        organization_id=unit.organization_id,
        customer_id=customer_id,
        type=told,
        description=description,
        data=data,
        created_by=unit.change.actor,
        occurred_at=unit.started,
    )
