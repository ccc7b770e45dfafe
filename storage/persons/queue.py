"""The review queue follows the records: compared when they change, in the same unit of work, and all at once.

What this takes of a write is a few look-ups by index; a record like no other costs no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, delete, literal_column, or_

from storage.persons.blocks import Compared
from storage.persons.candidates import candidates_of
from storage.persons.matches import Pair, propose
from storage.persons.merges import survivors_of
from storage.persons.reading import persons_in
from storage.persons.verdict import Verdict
from storage.projection.person_records import PERSON_TABLES, Record
from storage.sql import Prepared, member_of, prepare
from storage.tables.enums import MatchStatus
from storage.tables.identity import identity_matches
from storage.transaction import UnitOfWork


async def note_matches(unit: UnitOfWork, changed: Iterable[Record]) -> None:
    """Compare changed records with those that may be of the same person, and bring the queue up to date."""
    records = sorted({record for record in changed if record[0] in PERSON_TABLES})
    if not records:
        return
    driver, own, stops = unit.driver, unit.organization_id, unit.stops
    persons = await persons_in(driver, own, records, stops)
    found = await candidates_of(driver, own, persons.values(), stops) if persons else set()
    others = await persons_in(driver, own, sorted(found - persons.keys()), stops)
    verdicts = await unsettled(unit, dict(Compared().pairs({**persons, **others}, persons.keys())))
    await _take_back(unit, records, verdicts)
    await propose(unit.connection, own, verdicts)


async def unsettled(unit: UnitOfWork, verdicts: Mapping[Pair, Verdict]) -> dict[Pair, Verdict]:
    """Return the pairs of records for which not the same one stands already."""
    if not verdicts:
        return {}
    survivors = await survivors_of(unit, {record for pair in verdicts for record in pair})
    return {pair: said for pair, said in verdicts.items() if survivors[pair[0]] != survivors[pair[1]]}


async def _take_back(unit: UnitOfWork, records: Sequence[Record], borne_out: Iterable[Pair]) -> None:
    """Delete open pairs with one of the records that nothing bears out any more."""
    keys = {table: [key for each, key in records if each == table] for table in PERSON_TABLES}
    kept = [_named(pair) for pair in borne_out]
    parameters = {"organization_id": unit.organization_id, "kept": kept, **keys}
    await unit.driver.execute(_gone(unit.driver.dialect), parameters)


def _named(pair: Pair) -> str:
    return "|".join(part for record in pair for part in record)


@lru_cache
def _gone(dialect: str) -> Prepared:
    columns = identity_matches.c
    names = (columns.first_table, columns.first_id, columns.second_table, columns.second_id)
    name: ColumnElement[Any] = names[0]
    for each in names[1:]:
        name = name + literal_column("'|'") + each
    of_records = [
        and_(which == literal_column(f"'{table}'"), member_of(key, table))
        for which, key in (names[:2], names[2:])
        for table in PERSON_TABLES
    ]
    statement = delete(identity_matches).where(
        columns.organization_id == bindparam("organization_id"),
        columns.status == literal_column(f"'{MatchStatus.OPEN.value}'"),
        or_(*of_records),
        ~member_of(name, "kept"),
    )
    return prepare(statement, dialect)
