"""What conditions and patches come to, inside the unit of work (FHIR R4 http.html#cond-update, #3.1.0.7.1, #patch).

Equal conditions take turns from the first search to COMMIT, and what was found is locked and searched for again: nobody
creates a second match, and nothing is changed that has ceased to match.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from fhir_server.errors import DuplicateEntry, IdMismatch, MultipleMatches, NoMatch
from fhir_server.fhir.entries import entry_path
from fhir_server.fhir.patch.patches import Bounds, Patch, patched
from fhir_server.fhir.references import find_links
from fhir_server.fhir.request import BIG
from fhir_server.fhir.routing import Interaction
from fhir_server.fhir.writes.planned import Done, PlannedWrite, Run, as_entry
from fhir_server.settings import ConditionalDelete
from storage.access import Access, Right
from storage.conditional import required, serialise
from storage.errors import ConcurrencyConflict, ResourceExists, SearchTooCostly
from storage.resources import ResourceKey, Stored
from storage.search.lower import reach_of
from storage.store import is_visible
from storage.versions import load_current

MAX_DELETED: Final = 1_000
"""Most resources that one conditional delete may find."""

Left = dict[int, PlannedWrite]
"""What is not carried out yet, by its place among the plans."""
_TOO_MANY: Final = f"the criteria find more than {MAX_DELETED} resources; delete them in parts"


async def take_turns(run: Run) -> None:
    """Wait for whoever holds an equal condition."""
    conditions = [(each.key.resource_type, each.criteria) for each in run.writes.values() if each.criteria is not None]
    if conditions:
        await serialise(run.unit, conditions)


async def resolve_deletions(run: Run, left: Left) -> list[tuple[int, PlannedWrite]]:
    """Take the deletions out of `left`; conditional ones come back as deletions of what they find (X4)."""
    deletions = {place: each for place, each in left.items() if each.deletes}
    found = await _found(run, deletions, _most_deleted(run))
    resolved: list[tuple[int, PlannedWrite]] = []
    for place, each in deletions.items():
        del left[place]
        keys = found.get(place, [each.key])
        resolved += [(place, replace(each, key=key, criteria=None)) for key in keys]
        if not keys:
            run.done[place] = Done(204, None)
    return resolved


def _most_deleted(run: Run) -> int:
    several = run.service.settings.conditional_delete is ConditionalDelete.MULTIPLE
    return MAX_DELETED if several else 1


async def resolve_updates(run: Run, left: Left) -> None:
    """Give conditional updates and patches the resource that they find, or an id to create it under (U6, P4)."""
    found = await _found(run, {place: each for place, each in left.items() if not each.deletes}, 1)
    chosen = [
        ResourceKey(each.key.resource_type, each.chosen_id)
        for place, each in left.items()
        if each.chosen_id is not None and not found.get(place, True)
    ]
    taken = await load_current(run.unit, chosen)
    existing = {key for key, stored in taken.items() if not stored.deleted and _sees(run, stored)}
    for place, keys in found.items():
        each = left[place]
        with as_entry(each.entry):
            if not keys and each.patch is None:
                run.access.require(each.key.resource_type, Right.CREATE)  # under whatever id (smart.md E2)
            left[place] = run.writes[place] = _aimed(each, keys, existing)


def _sees(run: Run, stored: Stored) -> bool:
    """Say whether the caller may know that the id is taken; who may not is told that it is not there (AZ-6)."""
    reach = run.access.require(stored.key.resource_type, Right.UPDATE)
    return is_visible(stored, reach, run.access, run.unit.base_url)


def _aimed(each: PlannedWrite, keys: list[ResourceKey], existing: Collection[ResourceKey]) -> PlannedWrite:
    """Return a conditional update or patch with its target."""
    resource_type = each.key.resource_type
    if each.patch is not None:
        if not keys:
            raise NoMatch
        return replace(each, key=keys[0])
    if keys:
        if each.chosen_id not in (None, keys[0].id):
            raise IdMismatch(f"{resource_type}.id")
        made = replace(each, key=keys[0])
    elif each.chosen_id is None:
        made = replace(each, interaction=Interaction.CREATE, must_exist=False)
    else:
        made = replace(each, key=ResourceKey(resource_type, each.chosen_id))
        if made.key in existing:
            raise ResourceExists(resource_type, made.key.id)
    if made.resource is not None:
        made.resource["id"] = made.key.id
    return made


async def _found(run: Run, writes: Mapping[int, PlannedWrite], most: int) -> dict[int, list[ResourceKey]]:
    """Return what the conditions of some writes find, locked, those of creates aside.

    Raises MultipleMatches for more than `most` where one is meant, and SearchTooCostly above that.
    """
    finding = {place: each for place, each in writes.items() if each.finds}
    found = await _search(run, finding, most)
    keys = {key for place in found for key in found[place]}
    if keys and run.unit.driver.dialect == "postgresql":  # on SQLite nobody else writes meanwhile
        plain = {each.key for each in writes.values() if each.criteria is None and not _creates(each)}
        await load_current(run.unit, keys | plain, deletes=any(each.deletes for each in writes.values()))
        if await _search(run, finding, most) != found:
            raise ConcurrencyConflict
    return found


def _creates(each: PlannedWrite) -> bool:
    return each.interaction is Interaction.CREATE


async def _search(run: Run, writes: Mapping[int, PlannedWrite], most: int) -> dict[int, list[ResourceKey]]:
    found: dict[int, list[ResourceKey]] = {}
    for place, each in writes.items():
        with as_entry(each.entry):
            keys = await run.find(each.key.resource_type, each.criteria or (), most + 1)
            if len(keys) > most:
                raise MultipleMatches() if most == 1 else SearchTooCostly(_TOO_MANY)
        found[place] = keys
    return found


async def match_creates(run: Run, left: Left) -> None:
    """Take out of `left` the creates whose condition is met: they answer with the match (C4).

    Whoever may search it may see it, so that is the right that counts (smart.md E2).
    """
    reading = run.service.within(run.unit)
    for place, each in list(left.items()):
        if each.criteria is None or not _creates(each):
            continue
        with as_entry(each.entry):
            keys = await run.find(each.key.resource_type, each.criteria, 2)
            if len(keys) > 1:
                raise MultipleMatches
            if keys:
                run.done[place] = Done(200, await reading.store.read(keys[0], _as_searched(run, keys[0])))
                del left[place]


def _as_searched(run: Run, key: ResourceKey) -> Access:
    """Return the access for one read of what a search of the caller's found."""
    return replace(run.access, rights={key.resource_type: {Right.READ: reach_of(run.access, key.resource_type)}})


async def apply_patches(run: Run, left: Left, full_urls: Collection[str]) -> None:
    """Give patches the resource that they make of the stored one, which is locked (P1, P2).

    Raises ResourceNotFound and ResourceGone (P3), VersionConflict, and what is wrong with patch or result.
    """
    patches = [(place, each, each.patch) for place, each in left.items() if each.patch is not None]
    if not patches:
        return
    stored = await load_current(run.unit, (each.key for _, each, _ in patches))
    settings = run.service.settings
    bounds = Bounds(settings.max_body_bytes, run.service.limits, settings.checks_claims)
    for place, each, patch in patches:
        with as_entry(each.entry):
            before = required(each.key, stored.get(each.key), run.access, run.unit.base_url, each.expected_version)
            resource = await _patched(patch, before.body, bounds)
        links = find_links(resource, full_urls, each.full_url) if each.entry is not None else each.links
        left[place] = run.writes[place] = replace(each, resource=resource, links=links)


async def _patched(patch: Patch, stored: bytes, bounds: Bounds) -> dict[str, Any]:
    if len(stored) * patch.size > BIG:
        return await asyncio.to_thread(patched, patch, stored, bounds)
    return patched(patch, stored, bounds)


def require_distinct(deletions: Iterable[tuple[int, PlannedWrite]], left: Left) -> None:
    """Refuse a transaction that writes one resource twice, however its entries name it; raises DuplicateEntry (B7)."""
    first: dict[ResourceKey, int | None] = {}
    for each in (*(each for _, each in deletions), *left.values()):
        if first.setdefault(each.key, each.entry) != each.entry:
            other = entry_path(first[each.key] or 0)
            message = f"It writes the resource that {other} writes: a transaction writes each resource once."
            raise DuplicateEntry(message, f"{entry_path(each.entry or 0)}.request.url")
