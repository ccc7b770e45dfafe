"""References: what must resolve, and what may not be deleted (settled §3.5)."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import and_, bindparam, false, literal_column, not_, or_, select, true

from capability.elements import RESOURCE_TYPES
from mappers.links import REPLACED_BY, REPLACES, SEE_ALSO
from storage.access import Access, Reach, Right
from storage.driver import Row
from storage.errors import ReferenceConflict, UnresolvedReference
from storage.persons.merges import merged_pairs
from storage.resources import ResourceKey, Stored
from storage.search.includes import TypesWithin, of_types, within_reach
from storage.search.keys import parameter_key, parse_reference
from storage.search.shape import Binder
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import Pending, load_current
from storage.visibility import access_parameters, visible

WITHOUT_WEIGHT: Final = frozenset({"Provenance", "AuditEvent"})
"""Types whose references do not hold a resource back from deletion."""
SHOWN_REFERRERS: Final = 5
FETCHED_REFERRERS: Final = 100


def literal_references(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield (reference, FHIRPath) of every literal reference in a resource, those to contained resources aside."""
    if isinstance(value, Mapping):
        reference = value.get("reference")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield reference, f"{path}.reference"
        for name, child in value.items():
            yield from literal_references(child, f"{path}.{name}")
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from literal_references(child, f"{path}[{position}]")


def key_of(reference: str, base_url: str) -> ResourceKey | None:
    """Return type and id of a reference to a resource of this server, with or without version; None for any other."""
    local = parse_reference(reference, base_url)
    return None if local is None else ResourceKey(local.resource_type, local.id)


@lru_cache
def _existing_statement(dialect: str, reach: Reach) -> Prepared:
    """Find targets, and hold on to them: who would delete one waits, and then finds the reference."""
    rows = fhir.resources
    statement = (
        select(rows.c.self_key)
        .where(
            rows.c.organization_id == bindparam("organization_id"),
            member_of(rows.c.self_key, "keys"),
            rows.c.deleted.is_(False),
            visible(rows, reach),
        )
        .order_by(rows.c.self_key)
        .with_for_update(read=True, key_share=True, of=rows)
    )
    return prepare(statement, dialect)


async def check_references(
    unit: UnitOfWork, pendings: Sequence[Pending], access: Access, bound: Container[ResourceKey], *, enforce: bool
) -> None:
    """Check what must resolve: with `enforce` every literal reference, else those of patient-scoped writes to Patients.

    `bound` are the writes whose caller is bound to one patient: for them what they cannot see is not there, so that
    nobody learns by writing who else is (AZ-6). Neither is for anybody what a filter hides. What the same batch writes
    counts as there. Raises UnresolvedReference.
    """
    expected: dict[Reach, dict[int, tuple[str, str]]] = {}
    for pending in pendings:
        is_bound = pending.key in bound
        if pending.resource is None or not (enforce or is_bound):
            continue
        for reference, path in literal_references(pending.resource, pending.key.resource_type):
            key = key_of(reference, unit.base_url)
            if key is not None and (enforce or key.resource_type == "Patient"):
                seen = _seen(access, key.resource_type)
                reach = seen if is_bound or seen.is_granular else Reach.ORGANIZATION
                expected.setdefault(reach, {})[key.hash] = (reference, path)
    for reach, references in expected.items():
        for pending in pendings:
            references.pop(pending.key.hash, None)
        if references and reach is not Reach.NONE:
            own = {"organization_id": unit.organization_id, **access_parameters(access)}
            parameters = {**own, "keys": list(references)}
            for (found,) in await unit.driver.fetch(_existing_statement(unit.driver.dialect, reach), parameters):
                references.pop(found, None)
        for reference, path in references.values():
            raise UnresolvedReference(reference, path)


def _seen(access: Access, resource_type: str) -> Reach:
    return access.reach(resource_type, Right.READ) | access.reach(resource_type, Right.SEARCH)


@lru_cache
def _referrers_statement(dialect: str, seen: tuple[TypesWithin, ...] | None) -> Prepared:
    """Resources that refer to some others, what goes as well, those of the same row and those without weight aside.

    With `seen` only those count that are within these reaches. The last column tells links of Patients.
    """
    rows, target, references = fhir.resources, fhir.resources.alias(), fhir.index_references
    own = rows.c.organization_id == bindparam("organization_id")
    columns = (rows.c.resource_type, rows.c.id, target.c.resource_type, target.c.id)
    weighs = and_(
        *(rows.c.resource_type != each for each in sorted(WITHOUT_WEIGHT)),
        not_(member_of(rows.c.self_key, "gone")),
        target.c.organization_id == rows.c.organization_id,
        or_(
            rows.c.home_table.is_(None),
            target.c.home_table.is_(None),
            rows.c.home_table != target.c.home_table,
            rows.c.home_key != target.c.home_key,
        ),
        true() if seen is None else or_(false(), *(of_types(kind, rows) for kind in seen)),
    )
    by_reference = (
        select(*columns, references.c.key == parameter_key("Patient", "link"))
        .join(references, (references.c.rid == rows.c.rid) & (references.c.organization_id == rows.c.organization_id))
        .join(target, target.c.self_key == references.c.target)
        .where(own, member_of(references.c.target, "keys"), weighs)
    )
    by_patient = (
        select(*columns, false())
        .join(target, target.c.self_key == rows.c.patient)
        .where(own, member_of(rows.c.patient, "keys"), rows.c.deleted.is_(False), weighs)
    )
    return prepare(by_reference.union(by_patient).limit(literal_column(str(FETCHED_REFERRERS))), dialect)


async def refuse_referenced(
    unit: UnitOfWork, deletions: Sequence[Pending], access: Access, along: Sequence[Pending] = (), *, enforce: bool
) -> None:
    """Refuse deletions of what other resources refer to, those of the same batch and the same row aside.

    `along` are deletions that follow from these: other resources of the rows that go. A caller bound to one patient is
    refused for what that caller sees alone, or the refusal would tell of the rest (AZ-6); unless references are to
    resolve whatever happens (`enforce`; decision 24).

    Raises ReferenceConflict with some referrers the caller may see.
    """
    types = {each.key.resource_type for each in deletions}
    bound_types = {each for each in types if not enforce and access.reach(each, Right.DELETE).is_bound}
    bound = [each for each in deletions if each.key.resource_type in bound_types]
    others = [each for each in deletions if each.key.resource_type not in bound_types]
    gone = [pending.key.hash for pending in (*deletions, *along)]
    if others:
        found = await _referrers(unit, others, {"gone": gone}, None)
        _refuse(found, lambda resource_type: access.reach(resource_type, Right.READ) is Reach.ORGANIZATION)
    if bound:
        binder = Binder()
        seen = within_reach(RESOURCE_TYPES, access, binder)
        parameters = {"gone": gone, **access_parameters(access), **binder.values}
        _refuse(await _referrers(unit, bound, parameters, seen), lambda _: True)


async def _referrers(
    unit: UnitOfWork,
    deletions: Sequence[Pending],
    parameters: Mapping[str, Any],
    seen: tuple[TypesWithin, ...] | None,
) -> list[Row]:
    """Return type and id of what refers to some resources, and of what it refers to."""
    keys = [pending.key.hash for pending in deletions]
    own = {"organization_id": unit.organization_id, "keys": keys, **parameters}
    rows = await unit.driver.fetch(_referrers_statement(unit.driver.dialect, seen), own)
    ours = await _links_of_ours(unit, [row[:4] for row in rows if row[4]])
    return [row[:4] for row in rows if not (row[4] and row[:4] in ours)]


def _refuse(found: Sequence[Row], names_type: Callable[[str], bool]) -> None:
    if not found:
        return
    *_, target_type, target_id = found[0]
    names = [
        str(ResourceKey(resource_type, resource_id))
        for resource_type, resource_id, *target in found
        if list(target) == [target_type, target_id] and names_type(resource_type)
    ]
    raise ReferenceConflict(target_type, target_id, sorted(names)[:SHOWN_REFERRERS])


async def _links_of_ours(unit: UnitOfWork, referrers: Sequence[Row]) -> Sequence[Row]:
    """Return those referrers that only say that two rows are one person's: they cease to when one of the rows goes."""
    if not referrers:
        return []
    pairs = {row: (ResourceKey(*row[:2]), ResourceKey(*row[2:])) for row in referrers}
    stored = await load_current(unit, {key for pair in pairs.values() for key in pair})
    homes = {key: (each.home.table, each.home.key) for key, each in stored.items() if each.home is not None}
    merged = await merged_pairs(unit, homes.values())
    return [
        row
        for row, (referrer, target) in pairs.items()
        if referrer in homes
        and _types_of_links(unit, stored[referrer], target) <= _ours(homes, referrer, target, merged)
    ]


def _ours(
    homes: Mapping[ResourceKey, tuple[str, str]],
    referrer: ResourceKey,
    target: ResourceKey,
    merged: Sequence[tuple[tuple[str, str], tuple[str, str]]],
) -> set[str]:
    """Return the types of the links that are shown of two rows because they are one person's."""
    pair = (homes[referrer], homes.get(target, ("", "")))
    types = {SEE_ALSO}
    if pair in merged:
        types.add(REPLACED_BY)
    if pair[::-1] in merged:
        types.add(REPLACES)
    return types


def _types_of_links(unit: UnitOfWork, stored: Stored, target: ResourceKey) -> set[str | None]:
    links = (each for each in stored.resource().get("link", ()) if isinstance(each, Mapping))
    to_target = (each for each in links if key_of(each.get("other", {}).get("reference", ""), unit.base_url) == target)
    return {each.get("type") for each in to_target}
