"""The newest Observations of each kind: Observation/$lastn (FHIR R4 observation-operation-lastn.html; fhir_rest §13).

Observations are read newest first through the index. Once a group has its members, its codes are left out of what is
asked for next, so that a patient with 100,000 heart rates and one weight takes two statements and not 100,000 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from capability.search_parameters import SearchParameter, find
from storage.access import Access
from storage.driver import Row
from storage.errors import SearchTooCostly
from storage.reading import Reader
from storage.resources import ResourceKey, Version
from storage.search.compile import VERSION_COLUMNS, after_name, compile_plan
from storage.search.lower import Lowering
from storage.search.plan import plan_page
from storage.search.query import Criterion, Match, Modifier, Search, SortKey, Token
from storage.search.values import date_range
from storage.visibility import access_parameters

BATCH: Final = 200
"""Rows of one statement."""
MOST: Final = 10_000
"""Observations that one answer may hold; also how many may share one time within a group."""
TOO_MANY: Final = f"more than {MOST} Observations would be the latest: name codes, or ask for fewer of each"

_UNKNOWN: Final = -(2**63)
_PLACE: Final = len(VERSION_COLUMNS)

Coding = tuple[str, str]
"""System, empty for none, and code in lower case: as token rows compare them."""


class _Coding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct):
    coding: list[_Coding] = []
    text: str | None = None


class _Facts(msgspec.Struct):
    """What of an Observation decides about its group and its place in it."""

    code: _Concept = msgspec.field(default_factory=_Concept)
    issued: str | None = None


_decoder: Final = msgspec.json.Decoder(_Facts)


@dataclass(frozen=True, slots=True)
class _Member:
    """One Observation: effective time and time of issue in microseconds since 1970 UTC, the lowest for unknown."""

    version: Version
    effective: int
    issued: int

    @property
    def time(self) -> tuple[int, int]:
        """What is compared: the effective time, then that of issue."""
        return self.effective, self.issued


@dataclass(slots=True)
class _Group:
    """Observations of which each shares a coding with another; newest first."""

    codings: set[Coding] = field(default_factory=set)
    members: list[_Member] = field(default_factory=list)
    closed: bool = False

    def is_full(self, most: int, effective: int) -> bool:
        """Say whether the group has its members, and an Observation of this effective time is older than they are."""
        return len(self.members) >= most and effective < self.members[most - 1].effective

    def latest(self, most: int) -> list[_Member]:
        """Return the newest members, and what ties with the last of them."""
        ordered = sorted(self.members, key=lambda each: each.time, reverse=True)
        last = ordered[:most][-1].time
        return [each for each in ordered if each.time >= last]


class Latest:
    """Groups of Observations, filled with rows that come newest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._groups: dict[Coding, _Group] = {}

    @property
    def closed(self) -> list[Coding]:
        """Codings of groups that have their members, sorted: nothing of them is needed any more."""
        return sorted(coding for coding, group in self._groups.items() if group.closed and coding[0] != _TEXT)

    def add(self, version: Version, effective: int) -> None:
        """Take the next Observation: it joins the groups that its codings belong to, and makes them one.

        What shares a coding with a group that is closed belongs to that group alone.
        """
        facts = _decoder.decode(version.body)
        codings = set(_codings(facts.code)) or {(_TEXT, (facts.code.text or "").casefold())}
        known = list({id(group): group for group in map(self._groups.get, codings) if group is not None}.values())
        full = [group for group in known if group.closed or group.is_full(self._most, effective)]
        for group in full:
            group.closed = True
        if full:
            return
        joined = known[0] if known else _Group()
        for other in known[1:]:
            joined.codings |= other.codings
            joined.members += other.members
        joined.members.sort(key=lambda each: each.effective, reverse=True)
        joined.members.append(_Member(version, effective, _instant(facts.issued)))
        joined.codings |= codings
        self._groups.update(dict.fromkeys(joined.codings, joined))

    def versions(self) -> Iterator[Version]:
        """Yield the newest of each group, group by group."""
        groups = {id(group): group for group in self._groups.values()}
        for group in groups.values():
            yield from (each.version for each in group.latest(self._most))

    @property
    def size(self) -> int:
        """How many Observations are kept."""
        return sum(len(group.members) for group in {id(group): group for group in self._groups.values()}.values())


_TEXT: Final = "\0text"
"""In place of a system: the code has no coding, so its text tells what was observed."""


def _codings(concept: _Concept) -> Iterator[Coding]:
    return ((each.system or "", each.code.casefold()) for each in concept.coding if each.code)


def _instant(text: str | None) -> int:
    """Return an instant in microseconds; instants were checked when they were written."""
    return _UNKNOWN if text is None else date_range(text)[0]


@dataclass(frozen=True, slots=True)
class LatestReader:
    """Reads the latest Observations for one caller; `clock` gives milliseconds since 1970 UTC."""

    reader: Reader
    access: Access
    clock: Callable[[], int]

    async def find(self, criteria: Sequence[Criterion], most: int) -> list[Version]:
        """Return the newest `most` Observations of each group among those that meet the criteria, ties included.

        Raises InteractionForbidden, and SearchTooCostly for more than MOST.
        """
        latest = Latest(most)
        place: Sequence[Any] = ()
        rows = await self._rows(criteria, place)
        while rows:
            for row in rows:
                latest.add(_version(row), row[_PLACE])
            if latest.size > MOST:
                raise SearchTooCostly(TOO_MANY)
            if len(rows) <= BATCH or _asks_only_for(criteria, latest.closed):
                break
            place = rows[-1][_PLACE:]
            rows = await self._rows([*criteria, *_others_than(latest.closed)], place)
        return list(latest.versions())

    async def _rows(self, criteria: Sequence[Criterion], place: Sequence[Any]) -> list[Row]:
        """Return the next rows, newest first: more than BATCH where there may be more."""
        lowering = Lowering(self.access, self.clock() * 1000)
        search = Search("Observation", tuple(criteria), (SortKey(_parameter("date"), descending=True),), BATCH)
        plan = plan_page(search, self.access, lowering, after=bool(place))
        parameters = {
            "organization_id": self.access.organization_id,
            **access_parameters(self.access),
            **lowering.binder.values,
            **{after_name(at): value for at, value in enumerate(place)},
        }
        statement = compile_plan(plan, self.reader.dialect)
        return await self.reader.fetch(self.access.organization_id, statement, parameters)


def _asks_only_for(criteria: Iterable[Criterion], codings: Iterable[Coding]) -> bool:
    """Say whether every code that is asked for, each with its system, is among these."""
    known = set(codings)
    for each in criteria:
        if isinstance(each, Match) and each.parameter.code == "code" and each.modifier is Modifier.NONE:
            asked = {(value.system, (value.code or "").casefold()) for value in each.values if isinstance(value, Token)}
            if asked and asked <= known:
                return True
    return False


def _others_than(codings: Iterable[Coding]) -> Iterator[Criterion]:
    values = tuple(Token(system, code) for system, code in codings)
    if values:
        yield Match(_parameter("code"), Modifier.NOT, values)


def _parameter(code: str) -> SearchParameter:
    found = find("Observation", code)
    if found is None:
        raise LookupError(f"Observation has no search parameter {code}")
    return found


def _version(row: Row) -> Version:
    resource_id, version, last_updated, body = row[:4]
    return Version(ResourceKey("Observation", resource_id), version, last_updated, deleted=False, body=bytes(body))
