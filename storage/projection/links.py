"""Patient.link: looked up for what is rendered, and carried to the person's other records when it changes (§1.12).

Records with an exact identifier in common see each other; of two that were merged one replaces the other instead
(decision 29).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import insert, select

from mappers.links import LINK_TYPES, REPLACED_BY, REPLACES, SEE_ALSO
from mappers.lookups import PersonLink
from storage.integrity import key_of
from storage.persons.merges import existing, merged_pairs
from storage.projection.facts import Facts
from storage.projection.person_records import PERSON_TABLES, Record, persons_of
from storage.projection.shown import add_chosen_ids
from storage.resources import ResourceKey
from storage.tables.fhir import outbox, resources
from storage.transaction import UnitOfWork
from storage.versions import Pending

PATIENT: Final = "Patient"
LINKS_CHANGED: Final = "links"
"""`operation` of the outbox entries that are made here."""


async def add_links(unit: UnitOfWork, facts: Facts, records: Iterable[Record]) -> None:
    """Look up the other records of the persons whom some rows are records of; rows of other tables are left out."""
    wanted = sorted({record for record in records if record[0] in PERSON_TABLES})
    if not wanted:
        return
    found = await _links_of(unit, wanted)
    facts.links.update(found)
    shown: dict[str, set[str]] = {}
    for others in found.values():
        for each in others:
            shown.setdefault(each.table, set()).add(each.key)
    for table, keys in shown.items():
        await add_chosen_ids(unit, facts, table, keys)


async def _links_of(unit: UnitOfWork, records: Sequence[Record]) -> dict[Record, tuple[PersonLink, ...]]:
    """Return how some records are linked."""
    persons = await persons_of(unit.driver, unit.organization_id, records, unit.stops)
    pairs = await merged_pairs(unit, records)
    there = await existing(unit, {record for pair in pairs for record in pair})
    merged: dict[Record, dict[Record, str]] = {}
    for one, survivor in pairs:
        if {one, survivor} <= there:
            merged.setdefault(one, {})[survivor] = REPLACED_BY
            merged.setdefault(survivor, {})[one] = REPLACES
    return {
        record: tuple(
            PersonLink(kind, *other)
            for other, kind in (dict.fromkeys(persons[record], SEE_ALSO) | merged.get(record, {})).items()
        )
        for record in records
    }


async def note_links(unit: UnitOfWork, pendings: Iterable[Pending]) -> None:
    """Have the person's other records shown anew, in the background, where versions to be written link differently.

    Who gains a record by one new link gains all those that it leads to, so all that were and are linked are noted; a
    record that shows the same again ends it.
    """
    named: set[ResourceKey] = set()
    for pending in pendings:
        home = pending.home or (pending.stored.home if pending.stored is not None else None)
        if pending.key.resource_type != PATIENT or home is None or home.table not in PERSON_TABLES:
            continue
        before = pending.stored.resource() if pending.stored is not None and not pending.stored.deleted else None
        old, new = _linked(before), _linked(pending.resource)
        if old != new:
            named |= {key for _, reference in old | new if (key := key_of(reference, unit.base_url)) is not None}
    if named:
        rows = resources.c
        found = select(rows.home_table, rows.home_key).where(
            rows.organization_id == unit.organization_id,
            rows.self_key.in_(sorted(key.hash for key in named)),
            rows.home_table.in_(PERSON_TABLES),
        )
        await _note(unit, [(table, key) for table, key in await unit.connection.execute(found)])


async def note_changed(
    unit: UnitOfWork, links: Mapping[Record, Sequence[PersonLink]], changed: Iterable[Record]
) -> None:
    """Have records shown anew, in the background, whose rows were written through FHIR and that link differently now.

    `links` are those before. What the client wrote is stored as it is: what follows from it is a version of its own.
    """
    concerned = sorted({record for record in changed if record[0] in PERSON_TABLES})
    if not concerned:
        return
    now = await _links_of(unit, concerned)
    noted: set[Record] = set()
    for record in concerned:
        before, after = tuple(links.get(record, ())), now[record]
        if before != after:
            noted |= {record, *((each.table, each.key) for each in (*before, *after))}
    await _note(unit, sorted(noted))


def _linked(patient: Mapping[str, Any] | None) -> set[tuple[str, str]]:
    """Return type and reference of the links that a Patient has."""
    links = patient.get("link", ()) if patient else ()
    return {
        (each["type"], str(each.get("other", {}).get("reference"))) for each in links if each.get("type") in LINK_TYPES
    }


async def _note(unit: UnitOfWork, records: Sequence[Record]) -> None:
    if records:
        entries = [
            {"organization_id": unit.organization_id, "table_name": table, "key": key, "operation": LINKS_CHANGED}
            for table, key in records
        ]
        await unit.connection.execute(insert(outbox), entries)
