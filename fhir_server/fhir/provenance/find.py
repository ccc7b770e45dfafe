"""Search for Provenance: what is stored, then the Provenance of versions (decision 18).

The Provenance of versions is not indexed: it is found through its target, which `target`, `patient` or `_id` name;
`recorded` and `_lastUpdated` may narrow that down. Pages show what is stored first; a place of their own goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, TypeAlias

from fhir_server.fhir.provenance.read import provenances
from fhir_server.fhir.service import Service
from storage.access import Access, Right
from storage.errors import ResourceNotFound
from storage.history.instance import FIRST_PAGE, HistoryQuery
from storage.provenance import ProvenanceReader, parse_provenance_id
from storage.resources import ResourceKey, Version
from storage.search.cursor import CursorSealer
from storage.search.page import Page
from storage.search.query import (
    Criterion,
    Date,
    Ids,
    InPatient,
    LastUpdated,
    Match,
    Modifier,
    Prefix,
    Reference,
    Search,
    Total,
)

MARK: Final = "provenance"
"""What tells a place among the Provenance of versions from one among what is stored."""
STORED_ONLY: Final = (
    "The Provenance of versions is found by target=Type/id, patient or _id, with recorded and _lastUpdated beside them;"
    " this search finds stored Provenance only."
)
UNSORTED: Final = "The Provenance of versions comes after stored Provenance, newest first for each target."
NOT_FOLLOWED: Final = "Includes are followed from stored Provenance only."
_CHUNK: Final = 100

Target: TypeAlias = tuple[ResourceKey, int | None]
"""A resource, and one version of it or all."""
Place: TypeAlias = tuple[str, int, int]
"""`_order` of a target, and the version that a page begins below."""
BEGINNING: Final[Place] = ("", 0, FIRST_PAGE)
Test: TypeAlias = Callable[[int], bool]
"""Whether an instant, in milliseconds, is meant."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The part of a search that the Provenance of versions can answer: whose, and recorded when."""

    targets: tuple[Target, ...]
    tests: tuple[Test, ...]

    def wants(self, version: Version) -> bool:
        return all(test(version.last_updated) for test in self.tests)


async def find_provenance(search: Search, access: Access, service: Service) -> Page:
    """Return a page: stored Provenance first, that of versions after it.

    Raises InteractionForbidden, CursorInvalid and CursorExpired.
    """
    access.require(search.resource_type, Right.SEARCH)
    asked = await _asked(search, access, service)
    if asked is None:
        page = await service.searcher.search(search, access)
        return replace(page, warnings=(*page.warnings, STORED_ONLY))
    walk = _Walk(asked, access, service)
    if search.count == 0:
        page = await service.searcher.search(search, access)
        return replace(page, total=(page.total or 0) + await walk.count())
    sealer = CursorSealer(service.settings.derive("cursors"))
    now = service.database.ids.milliseconds()
    place = _place(sealer.read(search, access, now)) if search.cursor is not None else None
    if place is None:
        page = await service.searcher.search(search, access)
        if page.next_cursor is not None:
            return await _with_total(page, search, walk)
        place = BEGINNING
    else:
        page = Page([], [], None, None, ())
    found, last = await walk.take(place, search.count - len(page.matches))
    cursor = sealer.make(search, access, [[MARK, *last]], now) if last is not None else None
    page.matches.extend(await provenances(found, access, service))
    page = replace(page, next_cursor=cursor, warnings=(*page.warnings, *_told(search, found)))
    if search.cursor is None and cursor is None and search.total is not Total.NONE:
        return replace(page, total=len(page.matches))
    return await _with_total(page, search, walk)


def _told(search: Search, found: Sequence[Version]) -> list[str]:
    """Return what a page does not do for the Provenance of versions that stands on it."""
    forward = any(not include.reverse for include in search.includes)
    return [text for text, is_so in ((UNSORTED, search.sort), (NOT_FOLLOWED, forward)) if is_so and found]


async def _with_total(page: Page, search: Search, walk: _Walk) -> Page:
    """Return the page with the total of both kinds where it was asked for, else with none."""
    if search.total in {Total.NONE, Total.DEFAULT}:
        return replace(page, total=None)
    stored = await walk.service.searcher.search(replace(search, count=0, cursor=None, includes=()), walk.access)
    return replace(page, total=(stored.total or 0) + await walk.count())


def _place(values: Sequence[object]) -> Place | None:
    """Return the place among the Provenance of versions; None for one among what is stored."""
    match values:
        case [[mark, str(name), int(number), int(before)]] if mark == MARK:
            return name, number, before
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Walk:
    """The versions that are asked for, target by target, newest first."""

    asked: _Asked
    access: Access
    service: Service

    async def take(self, place: Place, room: int) -> tuple[list[Version], Place | None]:
        """Return at most `room` versions from a place on, and the place to go on at; None when that was all."""
        found: list[Version] = []
        last = place
        async for here, version in self._versions(place):
            if len(found) == room:
                return found, last
            found.append(version)
            last = here
        return found, None

    async def count(self) -> int:
        """Return how many there are."""
        total = 0
        async for _ in self._versions(BEGINNING):
            total += 1
        return total

    async def _versions(self, place: Place) -> AsyncIterator[tuple[Place, Version]]:
        *start, before = place
        for target in self.asked.targets:
            order = _order(target)
            if order < tuple(start):
                continue
            async for version in self._of(*target, before if order == tuple(start) else FIRST_PAGE):
                if self.asked.wants(version):
                    yield (*order, version.version), version

    async def _of(self, key: ResourceKey, number: int | None, before: int) -> AsyncIterator[Version]:
        """Yield the versions of one resource that the caller may see, below one of them; only `number` if it is one."""
        following: int | None = before if number is None else min(before, number + 1)
        while following is not None:
            query = HistoryQuery(count=_CHUNK if number is None else 1, before=following)
            try:
                page = await self.service.store.history(key, query, self.access)
            except ResourceNotFound:
                return
            for version in page.versions:
                if number in {None, version.version}:
                    yield version
            following = page.next_before if number is None else None


# --- what is asked for ------------------------------------------------------------------------------------------------


async def _asked(search: Search, access: Access, service: Service) -> _Asked | None:
    """Return what the Provenance of versions can answer; None where it cannot be found by these criteria."""
    targets: list[dict[Target, None]] = []
    tests: list[Test] = []
    for criterion in search.criteria:
        test = _time_test(criterion)
        if test is not None:
            tests.append(test)
            continue
        named = await _targets(criterion, access, service)
        if named is None:
            return None
        targets.append(named)
    if not targets:
        return None
    wanted = _once(reduce(_both, targets))
    readable = await ProvenanceReader(service.store.database, access).readable(key for key, _ in wanted)
    return _Asked(tuple(sorted((each for each in wanted if each[0] in readable), key=_order)), tuple(tests))


def _order(target: Target) -> tuple[str, int]:
    key, number = target
    return str(key), number or 0


def _both(one: Iterable[Target], other: Iterable[Target]) -> dict[Target, None]:
    """Return what two criteria name: of a version and its whole resource the version."""
    numbers: dict[ResourceKey, set[int | None]] = {}
    for key, number in other:
        numbers.setdefault(key, set()).add(number)
    found: dict[Target, None] = {}
    for key, number in one:
        for theirs in numbers.get(key, ()):
            if number is None or theirs is None or number == theirs:
                found[key, theirs if number is None else number] = None
    return found


def _once(targets: Collection[Target]) -> list[Target]:
    """Leave out single versions of resources that are asked for as a whole."""
    whole = {key for key, number in targets if number is None}
    return [(key, number) for key, number in targets if number is None or key not in whole]


async def _targets(criterion: Criterion, access: Access, service: Service) -> dict[Target, None] | None:
    match criterion:
        case Ids(_, ids):
            return await _named_by_ids(ids, access, service)
        case Match(parameter, Modifier.NONE, values) if parameter.code in {"target", "patient"}:
            named: dict[Target, None] = {}
            for value in values:
                if not isinstance(value, Reference):
                    continue  # what is no resource of this server has no versions here
                resource_type = "Patient" if parameter.code == "patient" else value.resource_type
                if resource_type is None:
                    return None
                version = value.version
                if version is None or version.isdecimal():
                    named[ResourceKey(resource_type, value.id), None if version is None else int(version)] = None
            return named
        case InPatient(patient):
            return {(ResourceKey("Patient", patient), None): None}
        case _:
            return None


async def _named_by_ids(ids: Sequence[str], access: Access, service: Service) -> dict[Target, None]:
    reader = ProvenanceReader(service.store.database, access)
    named: dict[Target, None] = {}
    for each in ids:
        parsed = parse_provenance_id(each)
        key = await reader.key_of(parsed[0]) if parsed is not None else None
        if parsed is not None and key is not None:
            named[key, parsed[1]] = None
    return named


def _time_test(criterion: Criterion) -> Test | None:
    """Return the test of `recorded` or `_lastUpdated`, which are one; None for other criteria."""
    match criterion:
        case LastUpdated(values):
            dates: Sequence[object] = values
        case Match(parameter, Modifier.NONE, values) if parameter.code == "recorded":
            dates = values
        case _:
            return None
    known = [date for date in dates if isinstance(date, Date) and date.prefix in _TESTS]
    if len(known) != len(dates):
        return None
    return lambda instant: any(
        _TESTS[date.prefix](instant * 1000, instant * 1000 + 1000, date.low, date.high) for date in known
    )


_TESTS: Final[Mapping[Prefix, Callable[[int, int, int, int], bool]]] = {
    Prefix.EQ: lambda low, high, start, end: low >= start and high <= end,
    Prefix.NE: lambda low, high, start, end: low < start or high > end,
    Prefix.GT: lambda _low, high, _start, end: high > end,
    Prefix.LT: lambda low, _high, start, _end: low < start,
    Prefix.GE: lambda low, high, start, end: low >= start or high > end,
    Prefix.LE: lambda low, high, start, end: low < start or high <= end,
    Prefix.SA: lambda low, _high, _start, end: low >= end,
    Prefix.EB: lambda _low, high, start, _end: high <= start,
}
"""How an instant [low, high) compares with what is asked for, [start, end) (search.html#prefix); `ap` is left out."""
