"""Verification of the audit trail (security AD-4): every record, every seal, and what was retired.

One pass over records and seals, side by side in the order of ids. Records that were retired (`audit_retire.py`) are not
missed: the retirement says through which seal none is left, and keeps the hashes of those that later seals cover.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from itertools import chain
from typing import Any, Final

from sqlalchemy import Connection, exc, select

from storage.audit import AuditKey
from storage.audit_retirements import Retirement, retirements
from storage.audit_seals import FETCH, Trail, enter, leaf, seal_hash
from storage.errors import AuditUnavailable
from storage.tables.audit import audit_seals, rbac_logs

_NONE: Final[Mapping[int, str]] = {}


class Fault(StrEnum):
    """What verification can find."""

    ALTERED = "altered"
    """A record does not say what was recorded, or was recorded elsewhere."""
    REMOVED = "removed"
    """A sealed range holds fewer records than were sealed."""
    INSERTED = "inserted"
    """A sealed range holds more records than were sealed, or any at all after it was retired."""
    REPLACED = "replaced"
    """A sealed range holds as many records as were sealed, but other ones or in another order."""
    SEAL_BROKEN = "seal broken"
    """A seal was altered or removed."""
    RETIREMENT_BROKEN = "retirement broken"
    """What tells of retired records was altered, or tells of another trail."""
    HEAD_DIFFERS = "head differs"
    """A seal is not the one that was noted outside the database."""
    CUT_OFF = "cut off"
    """Seals that were noted outside the database are gone from the end."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault; `first_id` and `last_id` tell where, `sequence` in which seal (None: not sealed yet)."""

    fault: Fault
    trail: str
    first_id: int
    last_id: int
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at in one trail, what is wrong with it, and its newest seal, to be kept elsewhere.

    `retired` counts the records that were removed when their time was over.
    """

    trail: str
    records: int
    seals: int
    unsealed: int
    retired: int
    findings: tuple[Finding, ...]
    head: str | None


def verify(trail: Trail, organization_id: str, key: AuditKey, heads: Mapping[int, str] = _NONE) -> Verification:
    """Check every record and seal of an organization's trail; raises AuditUnavailable when the database fails.

    `heads` are hashes of seals, in hexadecimal by sequence, as they were noted outside the database.
    """
    try:
        with trail.engine.begin() as connection:
            enter(connection, organization_id)
            return _Verifier(connection, trail.name, organization_id, key, heads).run()
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the audit trail cannot be read") from None


class _Records:
    """The records of an organization in the order of their ids, taken range after range."""

    def __init__(self, connection: Connection, organization_id: str) -> None:
        mine = select(*rbac_logs.columns).where(rbac_logs.c.organization_id == organization_id)
        self._rows: Iterator[Sequence[Any]] = iter(
            connection.execute(mine.order_by(rbac_logs.c.id), execution_options={"yield_per": FETCH})
        )

    def through(self, last_id: int) -> Iterator[Sequence[Any]]:
        """Give those that were not given yet, up to this id."""
        for row in self._rows:
            if row[0] > last_id:
                self._rows = chain((row,), self._rows)
                return
            yield row

    def rest(self) -> Iterator[Sequence[Any]]:
        """Give those that were not given yet."""
        return self._rows


class _Verifier:
    """Walks seals and records once."""

    def __init__(
        self, connection: Connection, trail: str, organization_id: str, key: AuditKey, heads: Mapping[int, str]
    ) -> None:
        self._connection = connection
        self._trail = trail
        self._organization_id = organization_id
        self._key = key
        self._heads = heads
        self._findings: list[Finding] = []
        self._signed_before = False
        self._seen = 0
        self._records = _Records(connection, organization_id)

    def run(self) -> Verification:
        retired = self._retirements()
        last = retired[-1] if retired else None
        leaves = list(merge(*(each.leaves for each in retired)))
        mine = select(audit_seals).where(audit_seals.c.organization_id == self._organization_id)
        ordered = mine.order_by(audit_seals.c.sequence)
        sequence, after, previous, position = 0, -1, b"", 0
        for found in self._connection.execute(ordered, execution_options={"yield_per": FETCH}):
            self._check_seal(found, sequence + 1, after, previous, last)
            kept = []
            while position < len(leaves) and leaves[position][0] <= found.last_id:
                kept.append(leaves[position])
                position += 1
            if last is not None and found.sequence <= last.through_seal:
                self._check_empty(found)
            else:
                self._check_range(found, kept)
            sequence, after, previous = found.sequence, max(after, found.last_id), bytes(found.hash)
        self._check_end(sequence, after, last)
        unsealed = 0
        for row in self._records.rest():
            self._look_at(row, None)
            unsealed += 1
        head = f"{sequence}:{previous.hex()}" if sequence else None
        gone = sum(each.records for each in retired)
        return Verification(self._trail, self._seen, sequence, unsealed, gone, tuple(self._findings), head)

    def _retirements(self) -> list[Retirement]:
        """Return the retirements that hold; from the first broken one on none is believed."""
        sound: list[Retirement] = []
        for each in retirements(self._connection, self._organization_id):
            if not each.follows(sound[-1] if sound else None, self._organization_id, self._key):
                self._add(Fault.RETIREMENT_BROKEN, 0, 0, each.through_seal)
                break
            sound.append(each)
        return sound

    def _check_seal(self, found: Any, sequence: int, after: int, previous: bytes, last: Retirement | None) -> None:
        whole = hmac.compare_digest(seal_hash(self._key, found), bytes(found.hash))
        linked = found.sequence == sequence and bytes(found.previous) == previous and found.first_id > after
        if not (whole and linked):
            self._add(Fault.SEAL_BROKEN, found.first_id, found.last_id, found.sequence)
        if last is not None and found.sequence == last.through_seal and bytes(found.hash) != last.seal_hash:
            self._add(Fault.RETIREMENT_BROKEN, found.first_id, found.last_id, found.sequence)
        noted = self._heads.get(found.sequence)
        if noted is not None and noted != bytes(found.hash).hex():
            self._add(Fault.HEAD_DIFFERS, found.first_id, found.last_id, found.sequence)

    def _check_empty(self, found: Any) -> None:
        """Look at a range of which no record is left."""
        there = 0
        for row in self._records.through(found.last_id):
            self._look_at(row, found.sequence)
            there += 1
        if there:
            self._add(Fault.INSERTED, found.first_id, found.last_id, found.sequence)

    def _check_range(self, found: Any, kept: Sequence[tuple[int, bytes]]) -> None:
        root, count = hashlib.sha256(), 0
        for _, each in merge(kept, self._leaves_through(found)):
            root.update(each)
            count += 1
        if count != found.count:
            fault = Fault.REMOVED if count < found.count else Fault.INSERTED
            self._add(fault, found.first_id, found.last_id, found.sequence)
        elif root.digest() != bytes(found.root):
            self._add(Fault.REPLACED, found.first_id, found.last_id, found.sequence)

    def _leaves_through(self, found: Any) -> Iterator[tuple[int, bytes]]:
        for row in self._records.through(found.last_id):
            self._look_at(row, found.sequence)
            yield int(row[0]), leaf(row)

    def _check_end(self, sequence: int, after: int, last: Retirement | None) -> None:
        """Tell of seals that must have been there."""
        if last is not None and last.through_seal > sequence:
            self._add(Fault.RETIREMENT_BROKEN, after, after, last.through_seal)
        missing = [each for each in self._heads if each > sequence]
        if missing:
            self._add(Fault.CUT_OFF, after, after, max(missing))

    def _look_at(self, row: Sequence[Any], sequence: int | None) -> None:
        """Check one record; one without HMAC can only have come with an import, before any was signed here."""
        self._seen += 1
        signed = bool(row[-1])
        holds = self._key.holds(row) if signed else not self._signed_before
        if not holds:
            self._add(Fault.ALTERED, row[0], row[0], sequence)
        self._signed_before = self._signed_before or signed

    def _add(self, fault: Fault, first_id: int, last_id: int, sequence: int | None) -> None:
        self._findings.append(Finding(fault, self._trail, first_id, last_id, sequence))
