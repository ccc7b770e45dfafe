"""Records of one person in several organizations, by exact identifiers: candidates for review (settled §1.12).

They are rows of `person_links`, a table outside tenancy. No organization sees them, and no resource shows them: that
takes the person's own consent. Looking for them reads one organization after the other, each in its own context, and
keeps a digest of each mark in memory, some 200 bytes a record.

Marks are those of `person_records`, with two differences between organizations. A medical record number says nothing:
every clinic has a 1001. And a row's own id says nothing by itself, only where another organization's identity mapping
names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.driver import Driver
from storage.engine import Database
from storage.projection.person_records import MEDICAL_RECORD, PERSON_TABLES, Mark, Record, marks_of
from storage.sql import Prepared, member_of, prepare
from storage.tables.enums import LinkStatus
from storage.tables.fhir import resources
from storage.tables.metadata import metadata
from storage.tables.platform import person_links

PAGE: Final = 1000
LARGEST_GROUP: Final = 50
"""Records that share one mark: more of them are no person, but a mistake, and give no candidates."""


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """A record as it is known outside its organization: by the id of its Patient."""

    organization_id: str
    patient_id: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A record with a mark; `itself` when the mark is the record's own id."""

    record: Shown
    itself: bool


Pair = tuple[Shown, Shown]


async def find_person_links(database: Database, organizations: Sequence[str]) -> Counter[str]:
    """Write candidates for all pairs of organizations; returns how many there are by kind of mark.

    What was reviewed stays as it is; candidates that no mark bears out any more are taken back. Raises
    DatabaseUnavailable.
    """
    holders: dict[Mark, list[Holder]] = {}
    for organization in organizations:
        async for mark, holder in _marks(database, organization):
            holders.setdefault(mark, []).append(holder)
    found: dict[Pair, set[str]] = {}
    for mark, some in holders.items():
        for pair in _pairs(some):
            found.setdefault(pair, set()).add(mark.kind)
    async with database.platform() as connection:
        await _take_back(connection, found, organizations)
        await _propose(connection, found)
    return Counter(kind for kinds in found.values() for kind in kinds)


def _pairs(holders: Sequence[Holder]) -> Iterator[Pair]:
    """Yield the pairs of records of different organizations, the lesser one first."""
    if len(holders) > LARGEST_GROUP:
        return
    for one, other in combinations(holders, 2):
        if one.record.organization_id != other.record.organization_id and not (one.itself and other.itself):
            first, second = sorted((one.record, other.record))
            yield first, second


async def _marks(database: Database, organization_id: str) -> AsyncIterator[tuple[Mark, Holder]]:
    """Yield the marks of an organization's records, with the record."""
    for table in PERSON_TABLES:
        after = ""
        while True:
            parameters = {"organization_id": organization_id, "after": after}
            async with database.read(organization_id) as driver:
                keys = [row[0] for row in await driver.fetch(_keys_statement(driver.dialect, table), parameters)]
                if not keys:
                    break
                after = keys[-1]
                records: list[Record] = [(table, key) for key in keys]
                marks = await marks_of(driver, organization_id, records)
                ids = await _patients(driver, organization_id, table, keys)
            for record in records:
                if record[1] in ids:
                    shown = Shown(organization_id, ids[record[1]])
                    for mark in marks[record]:
                        if mark.kind != MEDICAL_RECORD:
                            yield mark, Holder(shown, itself=mark.kind == table)


@lru_cache
def _keys_statement(dialect: str, table: str) -> Prepared:
    columns = metadata.tables[table].c
    own = (columns.organization_id == bindparam("organization_id"), columns.id > bindparam("after"))
    return prepare(select(columns.id).where(*own).order_by(columns.id).limit(PAGE), dialect)


@lru_cache
def _patients_statement(dialect: str) -> Prepared:
    rows = resources.c
    statement = select(rows.home_key, rows.id).where(
        rows.organization_id == bindparam("organization_id"),
        rows.home_table == bindparam("home_table"),
        member_of(rows.home_key, "keys"),
        rows.resource_type == "Patient",
        rows.deleted.is_(False),
    )
    return prepare(statement, dialect)


async def _patients(driver: Driver, organization_id: str, table: str, keys: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of the Patients of some rows."""
    parameters = {"organization_id": organization_id, "home_table": table, "keys": list(keys)}
    return dict(await driver.fetch(_patients_statement(driver.dialect), parameters))


# ---- the table ------------------------------------------------------------------------------------------------------


def _key(pair: Pair) -> dict[str, str]:
    first, second = pair
    return {
        "first_organization_id": first.organization_id,
        "first_patient_id": first.patient_id,
        "second_organization_id": second.organization_id,
        "second_patient_id": second.patient_id,
    }


async def _propose(connection: AsyncConnection, found: Mapping[Pair, Iterable[str]]) -> None:
    upsert = insert_postgresql if connection.dialect.name == "postgresql" else insert_sqlite
    rows = [
        {**_key(pair), "status": LinkStatus.CANDIDATE.value, "evidence": {"same": sorted(kinds)}}
        for pair, kinds in sorted(found.items())
    ]
    for start in range(0, len(rows), PAGE):
        await connection.execute(upsert(person_links).on_conflict_do_nothing(), rows[start : start + PAGE])


async def _take_back(connection: AsyncConnection, found: Mapping[Pair, object], organizations: Sequence[str]) -> None:
    """Delete candidates between these organizations that nobody reviewed and nothing bears out."""
    columns = person_links.c
    between = (columns.first_organization_id.in_(organizations), columns.second_organization_id.in_(organizations))
    statement = select(columns.id, *(columns[name] for name in _NAMES)).where(
        columns.status == LinkStatus.CANDIDATE.value, columns.score.is_(None), *between
    )
    known = {tuple(_key(pair).values()) for pair in found}
    gone = [row[0] for row in await connection.execute(statement) if tuple(row[1:]) not in known]
    for start in range(0, len(gone), PAGE):
        await connection.execute(delete(person_links).where(columns.id.in_(gone[start : start + PAGE])))


_NAMES: Final = ("first_organization_id", "first_patient_id", "second_organization_id", "second_patient_id")
