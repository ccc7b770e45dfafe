"""Which records are worth comparing: those that have something in common.

That is an exact identifier, a birth date (or one with day and month exchanged), a telephone, an e-mail address, or the
beginning of both names; a pair that is possible without any of these is rare, and not found. What more than
LARGEST_BLOCK records have in common says nothing of any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Final

from storage.persons.matches import Pair, pair_of
from storage.persons.person import Person
from storage.persons.verdict import Verdict, judge
from storage.projection.person_records import Record
from storage.tables.enums import MatchOutcome

LARGEST_BLOCK: Final = 200
"""Records that are compared with each other because of one value."""
BEGINNING: Final = 4
"""Letters of a family name that its spellings have in common."""


@dataclass(slots=True)
class Compared:
    """Comparisons, and how many there were."""

    looked_at: int = 0
    passed_over: int = 0
    """Values that too many records have in common."""

    def pairs(
        self, persons: Mapping[Record, Person], concerned: Collection[Record] | None = None
    ) -> Iterator[tuple[Pair, Verdict]]:
        """Yield the pairs that are possible or certain; with `concerned` only those with one of these records."""
        blocks: dict[Hashable, list[Person]] = {}
        for person in persons.values():
            for value in in_common(person):
                blocks.setdefault(value, []).append(person)
        seen: set[Pair] = set()
        for some in blocks.values():
            if len(some) > LARGEST_BLOCK:
                self.passed_over += 1
                continue
            for one, other in combinations(some, 2):
                pair = pair_of(one.record, other.record)
                if pair in seen or (concerned is not None and not (pair[0] in concerned or pair[1] in concerned)):
                    continue
                seen.add(pair)
                said = judge(one, other)
                if said.outcome is not MatchOutcome.NOT:
                    yield pair, said
        self.looked_at += len(seen)


def in_common(person: Person) -> Iterator[Hashable]:
    """Yield what a record may have in common with another one of the same person."""
    yield from person.marks
    yield from (("telephone", each) for each in person.phones)
    yield from (("mailbox", each) for each in person.emails)
    if person.birth is not None:
        yield "birth", _either_way(person.birth)
    if person.family and person.given:
        yield "name", person.family[:BEGINNING], person.given[0]


def _either_way(birth: date) -> tuple[int, ...]:
    """Return what a birth date and the same with day and month exchanged have in common."""
    return (birth.year, *sorted((birth.month, birth.day)))
