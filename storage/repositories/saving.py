"""The one way rows of a unit of work are saved, whoever writes: rules of the table, then the row, then what follows.

Repositories and the FHIR store both come through here, so a rule cannot be gone around by choosing another API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import Column, literal, select
from sqlalchemy.exc import IntegrityError

from mappers.rows import Subscription
from storage.errors import ReferenceConflict, UnresolvedReference
from storage.repositories.entities import PatientEvent
from storage.repositories.errors import UnknownValue
from storage.repositories.subscription_states import transition
from storage.repositories.timeline import lab_rule, protocol_rule
from storage.rows import Row, delete_row, save_row
from storage.tables.enums import VALIDATED, PatientEventType
from storage.tables.health_hub import profile_fhir_resources_clean
from storage.tables.metadata import metadata
from storage.telemetry.aggregate import follow
from storage.telemetry.signals import announce_rows
from storage.transaction import UnitOfWork

Rule = Callable[[UnitOfWork, Row | None, Row], tuple[Row, PatientEvent | None]]
"""Takes the row before (None: new) and after; gives the row to save and the event that tells of it."""


GONE_WITH: Final[Mapping[str, tuple[Column[Any], ...]]] = {"profiles": (profile_fhir_resources_clean.c.profile_id,)}
"""Table → columns that name its row in rows that are deleted with it (ON DELETE CASCADE) and show in FHIR."""


async def keep_row(unit: UnitOfWork, table: str, before: Row | None, after: Row) -> Row:
    """Insert (`before` is None) or update a row under the rules of its table, and return it as saved.

    Stamps of the database (`created_at`, `updated_at`) are not in the answer. Raises UnknownValue, TransitionRefused,
    and UnresolvedReference when a row it refers to does not exist. The caller touches the row or projects it itself.
    """
    require_known_values(table, before, after)
    rule = RULES.get(table)
    row, entry = rule(unit, before, after) if rule is not None else (after, None)
    try:
        await save_row(unit.connection, table, row, new=before is None)
        if entry is not None:
            await save_row(unit.connection, "patient_events", entry, new=True)
        await announce_rows(unit, table, before, row)
        await follow(unit, table, before, row)
    except IntegrityError as error:
        if is_foreign_key(error):
            raise UnresolvedReference(f"{table}/{row.id}") from None
        raise
    return row


async def remove_row(unit: UnitOfWork, table: str, row: Row) -> None:
    """Delete a row; raises ReferenceConflict while other rows refer to it.

    Rows that go with it and show in FHIR are touched. Whoever locked the row keeps others from adding some.
    """
    for column in GONE_WITH.get(table, ()):
        own = (column.table.c.organization_id == unit.organization_id, column == row.id)
        for key in (await unit.connection.scalars(select(column.table.c.id).where(*own))).all():
            unit.touch(column.table.name, key)
    try:
        await delete_row(unit.connection, table, row)
        await announce_rows(unit, table, row)
        await follow(unit, table, row)
    except IntegrityError as error:
        if is_foreign_key(error):
            raise ReferenceConflict(table, row.id, ()) from None
        raise


async def gone_with(unit: UnitOfWork, table: str, row: Row) -> str | None:
    """Return a table whose rows would be deleted with a row (ON DELETE CASCADE), None where there are no such rows.

    What was gathered for a profile cannot be seen through FHIR, so a client would not know what it deletes.
    """
    for column in _cascading(table):
        own = (column.table.c.organization_id == unit.organization_id, column == row.id)
        if await unit.connection.scalar(select(literal(1)).select_from(column.table).where(*own).limit(1)) is not None:
            return column.table.name
    return None


@cache
def _cascading(table: str) -> tuple[Column[Any], ...]:
    """Return the columns that name a row of a tenant table in rows that are deleted with it."""
    keys = (key for other in metadata.sorted_tables for key in other.foreign_key_constraints)
    return tuple(
        key.elements[-1].parent for key in keys if key.referred_table.name == table and key.ondelete == "CASCADE"
    )


def require_known_values(table: str, before: Row | None, after: Row) -> None:
    """Raise UnknownValue when a column that takes the members of an enumeration is given another value.

    What a foreign writer left there stays possible.
    """
    for column, members in VALIDATED.get(table, {}).items():
        value = getattr(after, column)
        unchanged = before is not None and getattr(before, column) == value
        if value is not None and not unchanged and value not in set(members):
            raise UnknownValue(table, after.id, column, members)


def is_foreign_key(error: IntegrityError) -> bool:
    """Whether a row refers to one that is not there, or is referred to by one."""
    return getattr(error.orig, "sqlstate", None) == "23503" or "FOREIGN KEY" in str(error.orig)


def _subscription_rule(unit: UnitOfWork, before: Row | None, after: Row) -> tuple[Row, PatientEvent | None]:
    """Keep to the state machine, and tell the timeline of requests and transitions."""
    if before is None:
        is_request = after.status == "pending"
        return after, _treatment_event(unit, after, PatientEventType.TREATMENT_REQUESTED) if is_request else None
    move = transition(before, after, unit.started)
    if move is None:
        return after, None
    return move.row, _treatment_event(unit, move.row, move.event)


def _treatment_event(unit: UnitOfWork, row: Subscription, event: PatientEventType) -> PatientEvent:
    return PatientEvent(
        id=unit.ids.uuid7(),
        organization_id=row.organization_id,
        customer_id=row.customer_id,
        type=event,
        description=row.offering_name or row.product_name,
        data={"treatmentId": row.id, "status": row.status},
        created_by=unit.change.actor,
        occurred_at=unit.started,
    )


RULES: Final[Mapping[str, Rule]] = {
    "lab_results": lab_rule,
    "protocols": protocol_rule,
    "subscriptions": _subscription_rule,
}
