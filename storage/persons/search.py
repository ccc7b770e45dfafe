"""All records of an organization compared at once: `fhir-server identity find`.

Records are read in pages and kept in memory, some 1 KB each; which are compared is said in `storage/persons/blocks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from storage.engine import Database
from storage.persons.blocks import Compared
from storage.persons.matches import AT_ONCE, Match, Pair, match_of, propose
from storage.persons.person import Person
from storage.persons.queue import unsettled
from storage.persons.reading import keys_after, persons_in
from storage.persons.verdict import Verdict
from storage.projection.person_records import PERSON_TABLES, Record
from storage.tables.enums import MatchOutcome, MatchStatus
from storage.tables.identity import identity_matches
from storage.tables.metadata import metadata
from storage.transaction import Snapshot, UnitOfWork


@dataclass(frozen=True, slots=True)
class Search:
    """What was found among all records of an organization."""

    records: int
    compared: int
    """Pairs that were looked at."""
    passed_over: int
    """Values that too many records have in common."""
    verdicts: dict[Pair, Verdict]


async def search_all(database: Database, organization_id: str) -> Search:
    """Compare all records of an organization; writes nothing. Raises DatabaseUnavailable."""
    persons: dict[Record, Person] = {}
    for table in PERSON_TABLES:
        after = ""
        while True:
            async with database.read(organization_id) as driver:
                keys = await keys_after(driver, organization_id, table, after)
                if not keys:
                    break
                records = [(table, key) for key in keys]
                persons |= await persons_in(driver, organization_id, records, database.stops)
            after = keys[-1]
    found = Compared()
    verdicts = dict(found.pairs(persons))
    return Search(len(persons), found.looked_at, found.passed_over, verdicts)


async def write_search(unit: UnitOfWork, found: Search) -> list[Match]:
    """Bring the queue up to date with a search; returns the open pairs that nothing bears out any more, now gone."""
    verdicts = await unsettled(unit, found.verdicts)
    await propose(unit.connection, unit.organization_id, verdicts)
    columns = identity_matches.c
    open_pairs = select(identity_matches).where(
        columns.organization_id == unit.organization_id, columns.status == MatchStatus.OPEN.value
    )
    gone = [each for each in map(match_of, await unit.connection.execute(open_pairs)) if each.records not in verdicts]
    for start in range(0, len(gone), AT_ONCE):
        ids = [each.id for each in gone[start : start + AT_ONCE]]
        await unit.connection.execute(
            delete(identity_matches).where(columns.organization_id == unit.organization_id, columns.id.in_(ids))
        )
    return gone


async def exact_duplicates(opened: UnitOfWork | Snapshot) -> list[Pair]:
    """Return the open pairs of one table that an exact identifier makes certain: the older record of each first.

    Records of two systems are not among them: there each has its own, and both stay in use.
    """
    columns = identity_matches.c
    certain = select(identity_matches).where(
        columns.organization_id == opened.organization_id,
        columns.status == MatchStatus.OPEN.value,
        columns.outcome == MatchOutcome.CERTAIN.value,
        columns.first_table == columns.second_table,
    )
    found = [match_of(row) for row in await opened.connection.execute(certain.order_by(columns.created_at, columns.id))]
    pairs = [each.records for each in found if isinstance(each.evidence, dict) and each.evidence.get("identifiers")]
    made: dict[Record, datetime] = {}
    for table in PERSON_TABLES:
        rows = metadata.tables[table].c
        keys = sorted({key for pair in pairs for each, key in pair if each == table})
        for start in range(0, len(keys), AT_ONCE):
            own = (rows.organization_id == opened.organization_id, rows.id.in_(keys[start : start + AT_ONCE]))
            for key, at in await opened.connection.execute(select(rows.id, rows.created_at).where(*own)):
                made[table, key] = at
    return [
        (one, other) if (made[one], one) <= (made[other], other) else (other, one)
        for one, other in pairs
        if one in made and other in made
    ]
