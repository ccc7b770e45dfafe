"""The whole record of one person in the patient graph, table by table, as rows that are loaded elsewhere.

What other rows refer to is read after them, so that every reference leads to a row that is read, whoever writes in the
meantime. Measurements and conversations are read in pieces, each in a transaction of its own: however many there are,
memory and the database hold a piece of them, and no longer than it takes to read it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Table, func, literal, select, tuple_

from storage.engine import Database
from storage.tables import patient_graph as tables
from storage.transaction import Snapshot

Row: TypeAlias = Mapping[str, Any]

CORE: Final = (
    tables.customer_profiles,
    tables.identity_mappings,
    tables.subscriptions,
    tables.protocols,
    tables.lab_results,
    tables.patient_prescriptions,
    tables.patient_events,
)
"""Tables that refer to one another, referred-to ones first."""
_KEYS: Final[Mapping[Table, tuple[str, ...]]] = {
    tables.conversation_history: ("created_at", "id"),
    tables.patient_wearable_readings: ("data_type", "recorded_at", "id"),
    tables.patient_wearable_daily_stats: ("date", "data_type", "id"),
    tables.wearable_data: ("recorded_at", "id"),
}
"""Tables that may hold many rows of one person → the columns that these are read by, as an index has them."""
STREAMED: Final[Mapping[str, Table]] = {str(table.name): table for table in _KEYS}
"""Name → table of these."""
PIECE: Final = 1000
OWNER: Final = {tables.customer_profiles.name: "id"}
"""Table → the column that says whose a row is, where that is not `customer_id`."""


async def core_of(snapshot: Snapshot, customers: Sequence[str]) -> Mapping[str, Sequence[Row]]:
    """Return the rows of CORE tables that are about these customers, by table, in order of their ids."""
    found: dict[str, Sequence[Row]] = {}
    for table in reversed(CORE):
        statement = select(table).where(*_of(table, snapshot.organization_id, customers)).order_by(table.c.id)
        found[table.name] = [dict(row) for row in (await snapshot.connection.execute(statement)).mappings()]
    return {str(table.name): found[table.name] for table in CORE}


async def streamed_count(snapshot: Snapshot, customers: Sequence[str]) -> int:
    """Return how many rows of STREAMED tables are about these customers."""
    total = 0
    for table in _KEYS:
        statement = select(func.count()).select_from(table).where(*_of(table, snapshot.organization_id, customers))
        total += await snapshot.connection.scalar(statement) or 0
    return total


async def pieces_of(
    database: Database, organization_id: str, name: str, customers: Sequence[str]
) -> AsyncIterator[Sequence[Row]]:
    """Yield the rows of the STREAMED table `name` that are about these customers, PIECE at a time."""
    table = STREAMED[name]
    by = [table.c[column] for column in _KEYS[table]]
    for customer in customers:
        own = _of(table, organization_id, [customer])
        beyond: tuple[ColumnElement[bool], ...] = ()
        while True:
            statement = select(table).where(*own, *beyond).order_by(*by).limit(PIECE)
            async with database.glance(organization_id) as snapshot:
                rows = [dict(row) for row in (await snapshot.connection.execute(statement)).mappings()]
            if rows:
                yield rows
            if len(rows) < PIECE:
                break
            last = (literal(rows[-1][column.name], column.type) for column in by)
            beyond = (tuple_(*by) > tuple_(*last),)


def _of(table: Table, organization_id: str, customers: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    owner = table.c[OWNER.get(table.name, "customer_id")]
    return (table.c.organization_id == organization_id, owner.in_(list(customers)))
