"""Merges: which record stands for which (`identity_merges`). Nothing is moved, so that ending one restores all.

A record is merged into one other at most, and only into one that is not merged itself: so merges lead somewhere. What
was merged into a record that is merged later leads on to that one's survivor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import bindparam, func, insert, or_, select, update

from storage.errors import ResourceNotFound
from storage.persons.errors import AlreadyMerged, MergeRefused, NotOpen
from storage.persons.matches import AT_ONCE, Match, MatchQueue, pair_of, propose
from storage.persons.reading import persons_in
from storage.persons.verdict import judge
from storage.projection.person_records import PERSON_TABLES, Record
from storage.repositories.table import FIRST, Page, Window
from storage.sql import Prepared, member_of, prepare
from storage.tables.enums import MatchStatus
from storage.tables.identity import identity_matches, identity_merges
from storage.tables.metadata import metadata
from storage.tables.types import now
from storage.transaction import Snapshot, UnitOfWork

ENDED: Final = "ended"
_LOCK: Final = Prepared("SELECT pg_advisory_xact_lock(%(key)s::int8)", {})
_FINAL: Final = frozenset({MatchStatus.MERGED.value, MatchStatus.REJECTED.value})


@dataclass(frozen=True, slots=True)
class Merge:
    """One row of `identity_merges`."""

    id: str
    organization_id: str
    surviving_table: str
    surviving_id: str
    merged_table: str
    merged_id: str
    match_id: str | None
    evidence: Any
    merged_at: datetime
    merged_by: str
    reason: str | None
    unmerged_at: datetime | None
    unmerged_by: str | None
    unmerge_reason: str | None

    @property
    def survivor(self) -> Record:
        """The record that stands for both."""
        return self.surviving_table, self.surviving_id

    @property
    def merged(self) -> Record:
        """The record that the other stands for."""
        return self.merged_table, self.merged_id


_COLUMNS: Final = tuple(identity_merges.c[name] for name in Merge.__slots__)


class Merges:
    """The merges of an organization, read in a snapshot or a unit of work."""

    def __init__(self, opened: UnitOfWork | Snapshot) -> None:
        self.connection = opened.connection
        self.organization_id = opened.organization_id

    async def find(self, merge_id: str) -> Merge:
        """Return a merge; raises ResourceNotFound."""
        found = await self._rows(identity_merges.c.id == merge_id)
        if not found:
            raise ResourceNotFound(identity_merges.name, merge_id)
        return found[0]

    async def page(self, *, ended: bool | None = None, window: Window = FIRST) -> Page[Merge]:
        """Return merges, the newest first; with `ended` those that have ended, or that are in force."""
        columns = identity_merges.c
        asked = [] if ended is None else [columns.unmerged_at.is_not(None) if ended else columns.unmerged_at.is_(None)]
        own = (columns.organization_id == self.organization_id, *asked)
        total = await self.connection.scalar(select(func.count()).select_from(identity_merges).where(*own))
        return Page(tuple(await self._rows(*asked, window=window)), total or 0, window)

    async def of(self, records: Iterable[Record], *, survivors: bool = False) -> list[Merge]:
        """Return the merges in force in which some records are merged, or with `survivors` those that stand for one."""
        columns = identity_merges.c
        table, key = (
            (columns.surviving_table, columns.surviving_id) if survivors else (columns.merged_table, columns.merged_id)
        )
        keys: dict[str, list[str]] = {}
        for each, of_record in records:
            keys.setdefault(each, []).append(of_record)
        found: list[Merge] = []
        for each, some in _portions(keys):
            found += await self._rows(columns.unmerged_at.is_(None), table == each, key.in_(some))
        return found

    async def _rows(self, *conditions: Any, window: Window | None = None) -> list[Merge]:
        columns = identity_merges.c
        statement = select(*_COLUMNS).where(columns.organization_id == self.organization_id, *conditions)
        if window is not None:
            statement = statement.order_by(columns.merged_at.desc(), columns.id.desc())
            statement = statement.limit(window.limit).offset(window.offset)
        found = await self.connection.execute(statement)
        return [Merge(**row._mapping) for row in found]  # noqa: SLF001 SQLAlchemy's name for a public attribute


# ---- who stands for whom --------------------------------------------------------------------------------------------


async def survivors_of(opened: UnitOfWork | Snapshot, records: Iterable[Record]) -> dict[Record, Record]:
    """Return the record that stands for each of some records: itself, where it is merged into none.

    A survivor whose row is gone stands for nobody: then it is the last one on the way to it that is there.
    """
    merges = Merges(opened)
    ways = {record: [record] for record in records}
    into: dict[Record, Record] = {}
    ahead = set(ways)
    while ahead:
        found = {merge.merged: merge.survivor for merge in await merges.of(sorted(ahead))}
        into |= found
        ahead = set(found.values()) - into.keys()
    for record, way in ways.items():
        at = record
        while at in into and into[at] not in way:
            at = into[at]
            way.append(at)
    there = await existing(opened, {record for way in ways.values() if len(way) > 1 for record in way})
    return {record: next((each for each in reversed(way) if each in there), record) for record, way in ways.items()}


async def survivor_of(opened: UnitOfWork | Snapshot, table: str, key: str) -> Record:
    """Return the record that stands for one."""
    return (await survivors_of(opened, [(table, key)]))[table, key]


async def person_of(opened: UnitOfWork | Snapshot, table: str, key: str) -> tuple[Record, ...]:
    """Return all records for which the same one stands: that one first, then those merged into it, rows gone included.

    For what gathers a person's whole record: each keeps its own rows.
    """
    merges = Merges(opened)
    top = await survivor_of(opened, table, key)
    person = [top]
    ahead = [top]
    while ahead:
        found = sorted({merge.merged for merge in await merges.of(ahead, survivors=True)} - set(person))
        person += found
        ahead = found
    return tuple(person)


async def existing(opened: UnitOfWork | Snapshot, records: Iterable[Record]) -> set[Record]:
    """Return those of some records whose rows are there."""
    keys: dict[str, list[str]] = {}
    for table, key in records:
        keys.setdefault(table, []).append(key)
    found: set[Record] = set()
    for table, some in _portions(keys):
        columns = metadata.tables[table].c
        own = (columns.organization_id == opened.organization_id, columns.id.in_(some))
        found |= {(table, key) for key in await opened.connection.scalars(select(columns.id).where(*own))}
    return found


def _portions(keys: Mapping[str, Collection[str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield tables with some of their keys, as many as one statement takes."""
    for table, every in sorted(keys.items()):
        ordered = sorted(every)
        for start in range(0, len(ordered), AT_ONCE):
            yield table, ordered[start : start + AT_ONCE]


# ---- deciding -------------------------------------------------------------------------------------------------------


async def merge_records(unit: UnitOfWork, survivor: Record, merged: Record, actor: str, reason: str | None) -> Merge:
    """Let one record stand for another as well; FHIR shows both anew when the unit of work ends.

    Raises ResourceNotFound for a record that is not there, AlreadyMerged for one that is merged already, and
    MergeRefused for one record twice.
    """
    if survivor == merged:
        raise MergeRefused("a record is not merged into itself")
    for table, key in (survivor, merged):
        if table not in PERSON_TABLES or not await existing(unit, [(table, key)]):
            raise ResourceNotFound(table, key)
    await _alone(unit)
    for merge in await Merges(unit).of([survivor, merged]):
        raise AlreadyMerged(merge.merged, await survivor_of(unit, *merge.merged))
    queue = MatchQueue(unit)
    match = await queue.of_pair(survivor, merged) or await _proposed(unit, survivor, merged)
    merge_id = str(uuid4())
    row = {
        "organization_id": unit.organization_id,
        "id": merge_id,
        "surviving_table": survivor[0],
        "surviving_id": survivor[1],
        "merged_table": merged[0],
        "merged_id": merged[1],
        "match_id": match.id,
        "evidence": match.evidence,
        "merged_at": now(),
        "merged_by": actor,
        "reason": reason,
    }
    await unit.connection.execute(insert(identity_merges).values(row))
    await queue.settle(match.id, MatchStatus.MERGED, actor, reason)
    _show_anew(unit, survivor, merged)
    return await Merges(unit).find(merge_id)


async def _proposed(unit: UnitOfWork, survivor: Record, merged: Record) -> Match:
    """Return the pair of two records that nobody proposed, with what is to be said of them."""
    persons = await persons_in(unit.driver, unit.organization_id, [survivor, merged], unit.stops)
    said = judge(persons[survivor], persons[merged])
    await propose(unit.connection, unit.organization_id, {pair_of(survivor, merged): said})
    found = await MatchQueue(unit).of_pair(survivor, merged)
    if found is None:
        raise ResourceNotFound(identity_matches.name, survivor[1])
    return found


async def merge_match(unit: UnitOfWork, match_id: str, survivor_id: str, actor: str, reason: str | None) -> Merge:
    """Merge the records of a pair; `survivor_id` is the id of the one that stands for both, or `table/id`.

    Raises what `merge_records` does, NotOpen for a pair that was decided, and MergeRefused for another survivor.
    """
    match = await MatchQueue(unit).find(match_id, lock=True)
    if match.status in _FINAL:
        raise NotOpen("pair", match.status)
    named = [record for record in match.records if survivor_id in {record[1], "/".join(record)}]
    if len(named) != 1:
        raise MergeRefused("the survivor has to be one of the pair: say table/id where both have one id")
    (survivor,) = named
    (merged,) = set(match.records) - {survivor}
    return await merge_records(unit, survivor, merged, actor, reason)


async def reject_match(unit: UnitOfWork, match_id: str, actor: str, reason: str | None) -> Match:
    """Note that the records of a pair are two persons'; raises ResourceNotFound, and NotOpen when it was decided."""
    queue = MatchQueue(unit)
    match = await queue.find(match_id, lock=True)
    if match.status in _FINAL:
        raise NotOpen("pair", match.status)
    await queue.settle(match_id, MatchStatus.REJECTED, actor, reason)
    return await queue.find(match_id)


async def unmerge(unit: UnitOfWork, merge_id: str, actor: str, reason: str | None) -> Merge:
    """End a merge: both records are again what they were. Raises ResourceNotFound, and NotOpen when it has ended."""
    await _alone(unit)
    merges = Merges(unit)
    merge = await merges.find(merge_id)
    if merge.unmerged_at is not None:
        raise NotOpen("merge", ENDED)
    columns = identity_merges.c
    await unit.connection.execute(
        update(identity_merges)
        .where(columns.organization_id == unit.organization_id, columns.id == merge_id)
        .values(unmerged_at=now(), unmerged_by=actor, unmerge_reason=reason)
    )
    queue = MatchQueue(unit)
    match = await queue.of_pair(merge.survivor, merge.merged)
    if match is not None:
        await queue.settle(match.id, MatchStatus.UNMERGED, actor, reason)
    _show_anew(unit, merge.survivor, merge.merged)
    return await merges.find(merge_id)


def _show_anew(unit: UnitOfWork, *records: Record) -> None:
    for table, key in records:
        unit.touch(table, key)


async def _alone(unit: UnitOfWork) -> None:
    """Wait until nobody else merges records of the organization: two merges at once could lead to each other."""
    if unit.driver.dialect == "postgresql":
        name = f"{unit.organization_id}\x00{identity_merges.name}".encode()
        key = int.from_bytes(blake2b(name, digest_size=8).digest(), "big", signed=True)
        await unit.driver.fetch(_LOCK, {"key": key})


# ---- what FHIR shows ------------------------------------------------------------------------------------------------


@lru_cache
def _partners(dialect: str) -> Prepared:
    columns = identity_merges.c
    statement = select(columns.merged_table, columns.merged_id, columns.surviving_table, columns.surviving_id).where(
        columns.organization_id == bindparam("organization_id"),
        columns.unmerged_at.is_(None),
        or_(member_of(columns.merged_id, "keys"), member_of(columns.surviving_id, "keys")),
    )
    return prepare(statement, dialect)


async def merged_pairs(unit: UnitOfWork, records: Iterable[Record]) -> list[tuple[Record, Record]]:
    """Return the merges in force of some records, rows gone included: what is merged, and what stands for it."""
    wanted = frozenset(records)
    parameters = {"organization_id": unit.organization_id, "keys": sorted({key for _, key in wanted})}
    rows = await unit.driver.fetch(_partners(unit.driver.dialect), parameters)
    pairs = sorted({((row[0], row[1]), (row[2], row[3])) for row in rows})
    return [pair for pair in pairs if not wanted.isdisjoint(pair)]
