"""References: what must resolve, and what may not be deleted (settled §3.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, select

from storage.access import Access, Reach, Right
from storage.errors import ReferenceConflict, UnresolvedReference
from storage.resources import ResourceKey
from storage.search.keys import parse_reference
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import Pending

WITHOUT_WEIGHT: Final = frozenset({"Provenance", "AuditEvent"})
"""Types whose references do not hold a resource back from deletion."""
SHOWN_REFERRERS: Final = 5


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
def _existing_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    statement = select(rows.c.self_key).where(
        rows.c.organization_id == bindparam("organization_id"),
        member_of(rows.c.self_key, "keys"),
        rows.c.deleted.is_(False),
    )
    return prepare(statement, dialect)


async def check_references(unit: UnitOfWork, pendings: Sequence[Pending], access: Access, *, enforce: bool) -> None:
    """Check what must resolve: with `enforce` every literal reference, else those of patient-scoped writes.

    What the same batch writes counts as there. Raises UnresolvedReference.
    """
    expected: dict[int, tuple[str, str]] = {}
    for pending in pendings:
        if pending.resource is None:
            continue
        bound = access.reach(pending.key.resource_type, Right.UPDATE) is not Reach.ORGANIZATION
        if enforce or bound:
            for reference, path in literal_references(pending.resource, pending.key.resource_type):
                key = key_of(reference, unit.base_url)
                if key is not None and (enforce or key.resource_type == "Patient"):
                    expected[key.hash] = (reference, path)
    for pending in pendings:
        expected.pop(pending.key.hash, None)
    if expected:
        parameters = {"organization_id": unit.organization_id, "keys": list(expected)}
        rows = await unit.driver.fetch(_existing_statement(unit.driver.dialect), parameters)
        for (found,) in rows:
            expected.pop(found, None)
    for reference, path in expected.values():
        raise UnresolvedReference(reference, path)


@lru_cache
def _referrers_statement(dialect: str) -> Prepared:
    rows, references = fhir.resources, fhir.index_references
    columns = (rows.c.resource_type, rows.c.id, rows.c.patient, rows.c.home_table, rows.c.home_key)
    by_reference = (
        select(*columns, references.c.target)
        .join(references, (references.c.rid == rows.c.rid) & (references.c.organization_id == rows.c.organization_id))
        .where(
            references.c.organization_id == bindparam("organization_id"),
            member_of(references.c.target, "keys"),
        )
    )
    by_patient = select(*columns, rows.c.patient.label("target")).where(
        rows.c.organization_id == bindparam("organization_id"),
        member_of(rows.c.patient, "keys"),
        rows.c.self_key != rows.c.patient,
        rows.c.deleted.is_(False),
    )
    return prepare(by_reference.union(by_patient).limit(bindparam("limit")), dialect)


async def refuse_referenced(unit: UnitOfWork, deletions: Sequence[Pending], access: Access) -> None:
    """Refuse deletions of what other resources refer to, those of the same batch and the same row aside.

    Raises ReferenceConflict with some referrers the caller may see.
    """
    if not deletions:
        return
    gone = {pending.key: pending for pending in deletions}
    keys = {pending.key.hash: pending for pending in deletions}
    parameters = {"organization_id": unit.organization_id, "keys": list(keys), "limit": len(keys) * 10 + 100}
    found = await unit.driver.fetch(_referrers_statement(unit.driver.dialect), parameters)
    referrers: dict[ResourceKey, list[str]] = {}
    for resource_type, resource_id, _patient, table, row_key, target in found:
        referrer, deletion = ResourceKey(resource_type, resource_id), keys[target]
        home = deletion.stored.home if deletion.stored else None
        same_row = home is not None and (home.table, home.key) == (table, row_key)
        if referrer in gone or resource_type in WITHOUT_WEIGHT or same_row:
            continue
        seen = access.reach(resource_type, Right.READ) is Reach.ORGANIZATION
        referrers.setdefault(deletion.key, []).extend([str(referrer)] if seen else [])
    for key, names in referrers.items():
        raise ReferenceConflict(key.resource_type, key.id, sorted(names)[:SHOWN_REFERRERS])
