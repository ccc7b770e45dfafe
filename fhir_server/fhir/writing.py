"""Creates, updates and deletes in one unit of work, alone or as the entries of a transaction (http.html#trules).

Links between entries and conditional references are resolved first, so that everything goes to the store in one batch.
Only where a conditional reference may mean what another entry writes are there several batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import ConditionalReferenceFailed, EntryFailed, MultipleMatches, RequestError, UnresolvedEntry
from fhir_server.fhir.parse.search import parse_criteria
from fhir_server.fhir.references import NO_LINKS, ConditionalReference, Links, place_of, put_links
from fhir_server.fhir.service import Service
from fhir_server.validation.places import from_json_names
from storage.access import Access
from storage.conditional import serialise
from storage.errors import AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable, StorageError
from storage.resources import ResourceKey, Version, Write, Written
from storage.search.query import Criterion
from storage.transaction import UnitOfWork

Criteria = tuple[Criterion, ...]
TRANSIENT = (AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable)
"""What no entry is to blame for; a unit of work is run again after some of these."""


@dataclass(slots=True)
class PlannedWrite:
    """One intended write. `resource` is validated and has the id of `key`; None is a deletion.

    `key` of a create is the id it gets if it creates; `criteria` are those of `If-None-Exist`. `entry` is its place in
    the bundle that brought it, None for a request of its own.
    """

    key: ResourceKey
    resource: dict[str, Any] | None
    creates: bool = False
    criteria: Criteria | None = None
    expected_version: int | None = None
    full_url: str | None = None
    links: Links = NO_LINKS
    entry: int | None = None

    def as_write(self) -> Write:
        """Return the write for the store."""
        return Write(self.key, self.resource, expected_version=self.expected_version, must_not_exist=self.creates)

    @property
    def is_plain(self) -> bool:
        """Whether it is written as it is, whatever else is stored."""
        return self.criteria is None and not self.links.conditional

    def asked_types(self) -> set[str]:
        """Return the resource types that the conditional references of the resource search in."""
        return {each.text.partition("?")[0] for each in self.links.conditional}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a planned write. `version` is None where a deletion found nothing."""

    status: int
    version: Version | None


@dataclass
class _Run:
    """One run of a set of writes; a conflict with another writer starts a new one."""

    unit: UnitOfWork
    service: Service
    access: Access
    done: dict[int, Done] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    matches: dict[str, str] = field(default_factory=dict)


async def carry_out(unit: UnitOfWork, planned: Sequence[PlannedWrite], service: Service, access: Access) -> list[Done]:
    """Write everything planned, whose keys are distinct; the answers are in its order.

    May be run again with the same plan in another unit of work. Raises MultipleMatches, ConditionalReferenceFailed,
    UnresolvedEntry and what the store raises, in an EntryFailed where an entry is to blame; then nothing may be
    committed.
    """
    run = _Run(unit, service, access)
    left = dict(enumerate(planned))
    if any(each.criteria is not None or each.links.conditional for each in planned):
        await _write(run, _take(left, [place for place, each in left.items() if each.resource is None]))
    await _match_conditional_creates(run, left)
    _aim(run, planned)
    for layer in _layers(left):
        await _resolve(run, layer.values())
        for each in layer.values():
            if each.links is not NO_LINKS:
                with as_entry(each.entry):
                    _refuse_unresolved(each)
                put_links(each.links, run.targets, run.matches)
        await _write(run, layer)
    return [run.done[place] for place in range(len(planned))]


def _take(left: dict[int, PlannedWrite], places: Iterable[int]) -> dict[int, PlannedWrite]:
    return {place: left.pop(place) for place in places}


async def _write(run: _Run, layer: Mapping[int, PlannedWrite]) -> None:
    if not layer:
        return
    try:
        written = await run.service.store.write(run.unit, [each.as_write() for each in layer.values()], run.access)
    except StorageError as error:
        entry = _entry_of(error, layer.values())
        if entry is None:
            raise
        raise EntryFailed(entry, error) from error
    for place, result in zip(layer, written, strict=True):
        run.done[place] = _done(layer[place], result)


def _done(planned: PlannedWrite, written: Written) -> Done:
    if planned.resource is None:
        return Done(204, written.version)
    return Done(201 if written.created else 200, written.version)


@contextmanager
def as_entry(entry: int | None) -> Iterator[None]:
    """Name the entry of a bundle in whatever is raised, what is transient aside; without a bundle do nothing."""
    try:
        yield
    except TRANSIENT:
        raise
    except (RequestError, StorageError) as error:
        if entry is None:
            raise
        raise EntryFailed(entry, error) from error


def _entry_of(error: StorageError, layer: Iterable[PlannedWrite]) -> int | None:
    """Return the entry whose resource an error of the store names."""
    named = (getattr(error, "resource_type", None), getattr(error, "resource_id", None))
    return next((each.entry for each in layer if (each.key.resource_type, each.key.id) == named), None)


async def _match_conditional_creates(run: _Run, left: dict[int, PlannedWrite]) -> None:
    """Take out of `left` the creates whose condition is met: they answer with the match (C4).

    Equal conditional creates wait for each other, so that the second one finds what the first one made.
    """
    conditional = {place: (each, each.criteria) for place, each in left.items() if each.criteria is not None}
    if not conditional:
        return
    await serialise(run.unit, [(each.key.resource_type, criteria) for each, criteria in conditional.values()])
    reading = run.service.within(run.unit)
    for place, (each, criteria) in conditional.items():
        with as_entry(each.entry):
            match = await _one_match(run, each.key.resource_type, criteria)
            if match is not None:
                run.done[place] = Done(200, await reading.store.read(match, run.access))
                del left[place]


async def _one_match(run: _Run, resource_type: str, criteria: Criteria) -> ResourceKey | None:
    found = await run.service.searcher.find(run.unit.driver, resource_type, criteria, run.access, 2)
    if len(found) > 1:
        raise MultipleMatches
    return found[0] if found else None


def _aim(run: _Run, planned: Sequence[PlannedWrite]) -> None:
    """Note what each fullUrl of the transaction stands for now."""
    for place, each in enumerate(planned):
        if each.full_url is not None and each.resource is not None:
            done = run.done.get(place)
            run.targets[each.full_url] = str(done.version.key if done and done.version else each.key)


def _layers(left: dict[int, PlannedWrite]) -> Iterator[dict[int, PlannedWrite]]:
    """Yield writes in an order in which conditional references find what the same transaction writes (B4).

    A write waits while something of a type it asks for is unwritten. Writes that wait for each other go together and
    find only what is stored by then.
    """
    while left:
        unwritten = {each.key.resource_type for each in left.values()}
        ready = [place for place, each in left.items() if unwritten.isdisjoint(each.asked_types())]
        yield _take(left, ready or list(left))


async def _resolve(run: _Run, layer: Iterable[PlannedWrite]) -> None:
    """Find the targets of conditional references: exactly one visible resource each (B6)."""
    for each in layer:
        for reference in each.links.conditional:
            if reference.text not in run.matches:
                with as_entry(each.entry):
                    run.matches[reference.text] = str(await _target(run, each, reference))


async def _target(run: _Run, planned: PlannedWrite, reference: ConditionalReference) -> ResourceKey:
    resource_type, _, query = reference.text.partition("?")
    criteria = parse_criteria(resource_type, query, base_url=run.service.base_url)
    found = await run.service.searcher.find(run.unit.driver, resource_type, criteria, run.access, 2)
    if len(found) != 1:
        raise ConditionalReferenceFailed(_place(planned, reference.container))
    return found[0]


def _refuse_unresolved(planned: PlannedWrite) -> None:
    for container in planned.links.unresolved:
        raise UnresolvedEntry(_place(planned, container))


def _place(planned: PlannedWrite, container: dict[str, Any]) -> str:
    resource = planned.resource or {}
    return from_json_names(f"{place_of(container, resource, planned.key.resource_type)}.reference", resource)
