"""All records of an organization compared at once: `fhir-server identity find`.

Records are read in pages and kept in memory, some 1 KB each; which are compared is said in `storage/persons/blocks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select

from storage.engine import Database
from storage.persons.blocks import Compared
from storage.persons.matches import AT_ONCE, Match, Pair, match_of, propose
from storage.persons.person import Person
from storage.persons.queue import unsettled
from storage.persons.reading import keys_after, persons_in
from storage.persons.verdict import Verdict
from storage.projection.person_records import PERSON_TABLES, Record
from storage.tables.enums import MatchStatus
from storage.tables.identity import identity_matches
from storage.transaction import UnitOfWork


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
