"""Pairs of records that may be the same person: the review queue (`identity_matches`).

A pair is written once, the lesser record first. What somebody has decided stays as it is; open pairs follow what the
records say now, and go when nothing bears them out any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.errors import ResourceNotFound
from storage.persons.verdict import Verdict
from storage.projection.person_records import Record
from storage.repositories.table import FIRST, Page, Window
from storage.tables.enums import MatchStatus
from storage.tables.identity import identity_matches
from storage.tables.types import now
from storage.transaction import Snapshot, UnitOfWork

AT_ONCE: Final = 500
"""Pairs that one statement writes."""

Pair = tuple[Record, Record]
"""Two records, the lesser one first."""


@dataclass(frozen=True, slots=True)
class Match:
    """One row of `identity_matches`."""

    id: str
    organization_id: str
    first_table: str
    first_id: str
    second_table: str
    second_id: str
    outcome: str
    score: Decimal
    evidence: Any
    status: str
    reviewed_at: datetime | None
    reviewed_by: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def records(self) -> Pair:
        """The two records."""
        return (self.first_table, self.first_id), (self.second_table, self.second_id)


_COLUMNS: Final = tuple(identity_matches.c[name] for name in Match.__slots__)


def match_of(row: Any) -> Match:
    """Return a row of the table as a pair."""
    return Match(**row._mapping)  # noqa: SLF001 SQLAlchemy's name for a public attribute


def pair_of(one: Record, other: Record) -> Pair:
    """Return two records in the order in which a pair is written."""
    return (one, other) if one < other else (other, one)


async def propose(connection: AsyncConnection, organization_id: str, verdicts: Mapping[Pair, Verdict]) -> None:
    """Write pairs that are new or say something else than before; reviewed ones stay as they are."""
    upsert = insert_postgresql if connection.dialect.name == "postgresql" else insert_sqlite
    rows = [_row(organization_id, pair, said) for pair, said in sorted(verdicts.items(), key=lambda each: each[0])]
    for start in range(0, len(rows), AT_ONCE):
        statement = upsert(identity_matches).values(rows[start : start + AT_ONCE])
        told, columns = statement.excluded, identity_matches.c
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=["organization_id", "first_table", "first_id", "second_table", "second_id"],
                set_={
                    "outcome": told.outcome,
                    "score": told.score,
                    "evidence": told.evidence,
                    "updated_at": now(),
                },
                where=and_(
                    columns.status == MatchStatus.OPEN.value,
                    or_(columns.outcome != told.outcome, columns.score != told.score),
                ),
            )
        )


def _row(organization_id: str, pair: Pair, said: Verdict) -> dict[str, Any]:
    (first_table, first_id), (second_table, second_id) = pair
    return {
        "organization_id": organization_id,
        "first_table": first_table,
        "first_id": first_id,
        "second_table": second_table,
        "second_id": second_id,
        "outcome": said.outcome.value,
        "score": said.score,
        "evidence": said.evidence(),
    }


# ---- the queue ------------------------------------------------------------------------------------------------------


class MatchQueue:
    """The pairs of an organization, read in a snapshot or a unit of work."""

    def __init__(self, opened: UnitOfWork | Snapshot) -> None:
        self.connection = opened.connection
        self.organization_id = opened.organization_id

    async def find(self, match_id: str, *, lock: bool = False) -> Match:
        """Return a pair; raises ResourceNotFound."""
        statement = select(*_COLUMNS).where(
            identity_matches.c.organization_id == self.organization_id, identity_matches.c.id == match_id
        )
        row = (await self.connection.execute(statement.with_for_update() if lock else statement)).first()
        if row is None:
            raise ResourceNotFound(identity_matches.name, match_id)
        return match_of(row)

    async def of_pair(self, one: Record, other: Record) -> Match | None:
        """Return the pair of two records, None where nobody proposed it."""
        columns, (first, second) = identity_matches.c, pair_of(one, other)
        found = await self._rows(
            columns.first_table == first[0],
            columns.first_id == first[1],
            columns.second_table == second[0],
            columns.second_id == second[1],
        )
        return found[0] if found else None

    async def page(
        self, *, status: str | None = None, outcome: str | None = None, window: Window = FIRST
    ) -> Page[Match]:
        """Return pairs, the oldest first."""
        columns = identity_matches.c
        asked = [column == value for column, value in ((columns.status, status), (columns.outcome, outcome)) if value]
        own = (columns.organization_id == self.organization_id, *asked)
        total = await self.connection.scalar(select(func.count()).select_from(identity_matches).where(*own))
        rows = await self._rows(*asked, window=window)
        return Page(tuple(rows), total or 0, window)

    async def settle(self, match_id: str, status: MatchStatus, actor: str, reason: str | None) -> None:
        """Write what somebody decided of a pair."""
        columns = identity_matches.c
        await self.connection.execute(
            update(identity_matches)
            .where(columns.organization_id == self.organization_id, columns.id == match_id)
            .values(status=status.value, reviewed_at=now(), reviewed_by=actor, reason=reason, updated_at=now())
        )

    async def _rows(self, *conditions: Any, window: Window | None = None) -> list[Match]:
        columns = identity_matches.c
        statement = select(*_COLUMNS).where(columns.organization_id == self.organization_id, *conditions)
        if window is not None:
            statement = statement.order_by(columns.created_at, columns.id).limit(window.limit).offset(window.offset)
        found = await self.connection.execute(statement)
        return [match_of(row) for row in found]
