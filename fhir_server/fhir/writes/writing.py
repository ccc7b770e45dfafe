"""Creates, updates, patches and deletes in one unit of work, alone or as entries of a transaction (http.html#trules).

Conditions and patches are resolved first: then it is known what is written. Links between entries and conditional
references are next, so that everything goes to the store in one batch. Only where a conditional reference may mean what
another entry writes are there several batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import ConditionalReferenceFailed, EntryFailed, UnresolvedEntry
from fhir_server.fhir.parse.search import parse_criteria
from fhir_server.fhir.references import NO_LINKS, ConditionalReference, place_of, put_links
from fhir_server.fhir.service import Service
from fhir_server.fhir.writes.planned import Done, PlannedWrite, Run, as_entry
from fhir_server.fhir.writes.resolution import (
    Left,
    apply_patches,
    match_creates,
    require_distinct,
    resolve_deletions,
    resolve_updates,
    take_turns,
)
from fhir_server.validation.places import from_json_names
from storage.access import Access
from storage.errors import StorageError
from storage.resources import ResourceKey, Written
from storage.transaction import UnitOfWork


async def carry_out(unit: UnitOfWork, planned: Sequence[PlannedWrite], service: Service, access: Access) -> list[Done]:
    """Write everything planned, whose keys are distinct; the answers are in its order.

    May be run again with the same plan in another unit of work. Raises MultipleMatches, ConditionalReferenceFailed,
    UnresolvedEntry and what the store raises, in an EntryFailed where an entry is to blame; then nothing may be
    committed.
    """
    run = Run(unit, service, access, dict(enumerate(planned)))
    left = dict(run.writes)
    if not all(each.is_plain for each in planned):
        await _resolve_targets(run, left)
    _aim(run)
    for layer in _layers(left):
        await _resolve(run, layer.values())
        for each in layer.values():
            if each.links is not NO_LINKS:
                with as_entry(each.entry):
                    _refuse_unresolved(each)
                put_links(each.links, run.targets, run.matches)
        await _write(run, list(layer.items()))
    return [run.done[place] for place in range(len(planned))]


async def _resolve_targets(run: Run, left: Left) -> None:
    """Find out which resources are written, and with what; deletions are carried out, so that no search finds them."""
    await take_turns(run)
    deletions = await resolve_deletions(run, left)
    require_distinct(deletions, {})
    await _write(run, deletions)
    await match_creates(run, left)
    await resolve_updates(run, left)
    require_distinct(deletions, left)
    await apply_patches(
        run, left, {each.full_url for each in run.writes.values() if each.full_url and not each.deletes}
    )


def _take(left: dict[int, PlannedWrite], places: Iterable[int]) -> dict[int, PlannedWrite]:
    return {place: left.pop(place) for place in places}


async def _write(run: Run, batch: Sequence[tuple[int, PlannedWrite]]) -> None:
    if not batch:
        return
    try:
        written = await run.service.store.write(run.unit, [each.as_write() for _, each in batch], run.access)
    except StorageError as error:
        entry = _entry_of(error, (each for _, each in batch))
        if entry is None:
            raise
        raise EntryFailed(entry, error) from error
    for (place, each), result in zip(batch, written, strict=True):
        before = run.done.get(place)
        if before is None:
            run.done[place] = _done(each, result)
        elif result.version is not None:
            run.done[place] = replace(before, others=(*before.others, result.version))


def _done(planned: PlannedWrite, written: Written) -> Done:
    if planned.deletes:
        return Done(204, written.version)
    return Done(201 if written.created else 200, written.version)


def _entry_of(error: StorageError, layer: Iterable[PlannedWrite]) -> int | None:
    """Return the entry whose resource an error of the store names."""
    named = (getattr(error, "resource_type", None), getattr(error, "resource_id", None))
    return next((each.entry for each in layer if (each.key.resource_type, each.key.id) == named), None)


def _aim(run: Run) -> None:
    """Note what each fullUrl of the transaction stands for now."""
    for place, each in run.writes.items():
        if each.full_url is not None and not each.deletes:
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


async def _resolve(run: Run, layer: Iterable[PlannedWrite]) -> None:
    """Find the targets of conditional references: exactly one visible resource each (B6)."""
    for each in layer:
        for reference in each.links.conditional:
            if reference.text not in run.matches:
                with as_entry(each.entry):
                    run.matches[reference.text] = str(await _target(run, each, reference))


async def _target(run: Run, planned: PlannedWrite, reference: ConditionalReference) -> ResourceKey:
    resource_type, _, query = reference.text.partition("?")
    criteria = parse_criteria(resource_type, query, base_url=run.service.base_url, zone=run.service.zone)
    found = await run.find(resource_type, criteria, 2)
    if len(found) != 1:
        raise ConditionalReferenceFailed(_place(planned, reference.container))
    return found[0]


def _refuse_unresolved(planned: PlannedWrite) -> None:
    for container in planned.links.unresolved:
        raise UnresolvedEntry(_place(planned, container))


def _place(planned: PlannedWrite, container: dict[str, Any]) -> str:
    resource = planned.resource or {}
    return from_json_names(f"{place_of(container, resource, planned.key.resource_type)}.reference", resource)
