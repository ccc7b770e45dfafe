"""The FHIR store's verbs: read, vread, history, and writes inside a unit of work.

Reads touch nothing but the store: finished bytes, one statement. What lies outside the caller's access is as absent
(settled §4.3); each verb takes the access, and each statement has its predicate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from storage.access import Access, Extent, Reach, Right, Way
from storage.driver import Question
from storage.errors import (
    ResourceExists,
    ResourceGone,
    ResourceNotFound,
    VersionConflict,
    WriteOutsideAccess,
)
from storage.history.instance import (
    HistoryPage,
    HistoryQuery,
    history_page,
    is_at_key,
    key_parameters,
    version_of,
)
from storage.identity import require_same_identity
from storage.integrity import check_references, refuse_referenced
from storage.projection.index_values import IndexValues, index_values
from storage.projection.places import Placed, Places
from storage.provenance import require_stored
from storage.reading import Reader, UnitReader
from storage.resources import ANY_VERSION, ResourceKey, Stored, Version, Write, Written
from storage.search.agreement import with_agreed
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork
from storage.versions import Pending, current_question, load_current, write_versions
from storage.visibility import is_seen, own_patient, visible


@lru_cache
def _read_statement(dialect: str, reach: Reach) -> Prepared:
    rows = fhir.resources
    columns = (rows.c.version, rows.c.last_updated, rows.c.deleted, rows.c.body)
    statement = select(*columns).where(is_at_key(rows), visible(rows, reach))
    return prepare(statement, dialect, is_short=not reach.is_granular)  # those have endless shapes


@lru_cache
def _vread_statement(dialect: str) -> Prepared:
    old = fhir.history
    columns = (old.c.version, old.c.last_updated, old.c.deleted, old.c.body)
    return prepare(
        select(*columns).where(is_at_key(old), old.c.version == bindparam("version")), dialect, is_short=True
    )


class ResourceStore:
    """Reads and writes of resources. `enforce_references` refuses literal references without target (settled §3.5)."""

    def __init__(self, database: Reader, places: Places, *, enforce_references: bool = False) -> None:
        self.database = database
        self.places = places
        self.enforce_references = enforce_references

    def reading(self, reader: Reader) -> ResourceStore:
        """Return the same store, reading elsewhere: inside a unit of work, for instance."""
        return ResourceStore(reader, self.places, enforce_references=self.enforce_references)

    async def read(self, key: ResourceKey, access: Access) -> Version:
        """Return the current version.

        Raises ResourceGone when it was deleted, and ResourceNotFound when it never was or lies outside `access`: the
        caller cannot tell these two apart.
        """
        version = await self._current(key, access)
        if version.deleted:
            raise ResourceGone(key.resource_type, key.id, version.version, version.last_updated)
        return version

    async def _current(self, key: ResourceKey, access: Access) -> Version:
        reach = access.require(key.resource_type, Right.READ)
        statement = _read_statement(self.database.dialect, reach)
        rows = await self.database.fetch(access.organization_id, statement, key_parameters(key, access))
        if rows:
            return version_of(key, rows[0])
        if reach.is_granular:  # a deletion has no contents: whoever saw what was deleted sees it
            newest = (await self.history(key, HistoryQuery(count=1), access)).versions[0]
            if newest.deleted:
                return newest
        raise ResourceNotFound(key.resource_type, key.id)

    async def vread(self, key: ResourceKey, number: int, access: Access) -> Version:
        """Return one version of a resource whose current version is visible, or was when it was deleted.

        Raises ResourceNotFound for an unknown version and ResourceGone when the version is the deletion.
        """
        try:
            version = await self._current(key, access)
        except ResourceNotFound as error:
            raise ResourceNotFound(key.resource_type, key.id, number) from error
        if version.version != number:
            reach = access.require(key.resource_type, Right.READ)
            parameters = key_parameters(key, access) | {"version": number}
            if reach is not Reach.ORGANIZATION:
                found = await self.history(key, HistoryQuery(count=1, before=number + 1), access)
                version = next(iter(found.versions), version)
            else:
                statement = _vread_statement(self.database.dialect)
                rows = await self.database.fetch(access.organization_id, statement, parameters)
                version = version_of(key, rows[0]) if rows else version
        if version.version != number:
            raise ResourceNotFound(key.resource_type, key.id, number)
        if version.deleted:
            raise ResourceGone(key.resource_type, key.id, version.version, version.last_updated)
        return version

    async def history(self, key: ResourceKey, query: HistoryQuery, access: Access) -> HistoryPage:
        """Return versions newest first, deletions included; raises ResourceNotFound for an unknown resource."""
        return await history_page(self.database, key, query, access)

    def ahead(self, organization_id: str, writes: Sequence[Write]) -> list[Question]:
        """Return what `write` will ask first, for a unit of work to begin with; without a network nothing is won."""
        dialect = self.database.dialect
        if dialect == "sqlite":
            return []
        resources = [write.resource for write in writes if write.resource is not None]
        questions = self.places.ahead(organization_id, dialect, self.database.base_url, resources)
        known = [write.key for write in writes if not write.must_not_exist]
        deletes = any(write.resource is None for write in writes)
        return [current_question(organization_id, dialect, known, deletes=deletes), *questions] if known else questions

    async def write(self, unit: UnitOfWork, writes: Sequence[Write], access: Access) -> list[Written]:
        """Carry out writes with distinct keys as one batch; the answers are in their order.

        Raises ResourceNotFound (absent or invisible), VersionConflict, WriteOutsideAccess, ReferenceConflict,
        UnresolvedReference, ReadOnlyHome and MappingRefused; then nothing of the unit of work may be committed.
        """
        access = await with_agreed(UnitReader(unit), access)
        keys = (write.key for write in writes if not write.must_not_exist)
        stored = await load_current(unit, keys, deletes=any(write.resource is None for write in writes))
        pendings: list[Pending] = []
        for write in writes:
            pending = _admit(write, stored.get(write.key), access, unit.base_url)
            if pending is not None:
                pendings.append(pending)
        reaches = {write.key: access.reach(*_asked_right(write)) for write in writes}
        bound = {key for key, reach in reaches.items() if reach.is_bound}
        await check_references(unit, pendings, access, bound, enforce=self.enforce_references)
        partial = {key for key, reach in reaches.items() if reach is not Reach.ORGANIZATION}
        placed = await self.places.place(unit, pendings, partial)
        deletions, along = (
            [pending for pending in some if pending.resource is None] for some in (placed.pendings, placed.consequences)
        )
        await refuse_referenced(unit, deletions, access, along, enforce=self.enforce_references)
        return await self._store(unit, writes, placed)

    async def _store(self, unit: UnitOfWork, writes: Sequence[Write], placed: Placed) -> list[Written]:
        written = await write_versions(unit, [*placed.pendings, *placed.consequences])
        by_key = {pending.key: result for pending, result in zip(placed.pendings, written, strict=False)}
        nothing = Written(None, created=False, changed=False)
        return [by_key.get(write.key, nothing) for write in writes]


def _admit(write: Write, stored: Stored | None, access: Access, base_url: str) -> Pending | None:
    """Check one write against what is stored and what the caller may do; None for a deletion of nothing."""
    reach = access.require(*_asked_right(write))
    if stored is not None and not is_visible(stored, reach, access, base_url):
        stored, hidden = None, True
    else:
        hidden = False
    exists = stored is not None and not stored.deleted
    require_stored(write.key, stored)
    _check_version(write, stored if exists else None)
    if stored is not None and exists:
        require_sole(stored, reach, access, base_url)
    if write.resource is None:
        return Pending(write.key, None, stored) if exists else None
    if write.must_not_exist and exists:
        raise ResourceExists(write.key.resource_type, write.key.id)
    creates = not exists and not write.must_not_exist
    if hidden or (creates and ((write.must_exist and stored is None) or reach is not Reach.ORGANIZATION)):
        raise ResourceNotFound(write.key.resource_type, write.key.id)
    resource = _with_kept_meta(write.resource, stored)
    values = index_values(resource, base_url)
    if reach is not Reach.ORGANIZATION:
        _require_within(values, reach, access, write.key)
        require_same_identity(resource, stored)
    return Pending(write.key, resource, stored, values=values, by_put=not write.must_not_exist)


def _asked_right(write: Write) -> tuple[str, Right]:
    if write.resource is None:
        return write.key.resource_type, Right.DELETE
    return write.key.resource_type, Right.CREATE if write.must_not_exist else Right.UPDATE


def is_visible(stored: Stored, reach: Reach, access: Access, base_url: str) -> bool:
    """Say whether a reach above NONE includes what is stored, as the predicate `visible` says of rows."""
    return reach is Reach.ORGANIZATION or bool(_seen_by(stored, reach, access, base_url))


def _seen_by(stored: Stored, reach: Reach, access: Access, base_url: str) -> list[Way]:
    """Return the ways by which what is stored is seen; of a deletion only the patient is left to go by."""
    if not stored.deleted and (reach.is_granular or not stored.patient):
        values = index_values(stored.resource(), base_url)
        return [way for way in reach.ways if is_seen(way, values, access)]
    own = own_patient(access)
    whole = (way for way in reach.ways if not way.tests)
    return [way for way in whole if way.extent is Extent.ORGANIZATION or (own is not None and own == stored.patient)]


def _check_version(write: Write, stored: Stored | None) -> None:
    """If-Match: of an absent or invisible resource it fails alike (U3, AZ-6)."""
    expected = write.expected_version
    if expected is not None and (stored is None or expected not in (ANY_VERSION, stored.version)):
        raise VersionConflict(write.key.resource_type, write.key.id)


def require_sole(stored: Stored, reach: Reach, access: Access, base_url: str) -> None:
    """Refuse changes by a caller bound to one compartment to what lies in others as well (AZ-8).

    It would be taken from the other patients, too. Raises WriteOutsideAccess.
    """
    own = own_patient(access)
    if reach is Reach.ORGANIZATION or (stored.patient == own and reach is Reach.COMPARTMENT):
        return
    if any(way.extent is not Extent.COMPARTMENT for way in _seen_by(stored, reach, access, base_url)):
        return
    if stored.patient != own and index_values(stored.resource(), base_url).patients != (own,):
        raise WriteOutsideAccess(stored.key.resource_type)


def _require_within(values: IndexValues, reach: Reach, access: Access, key: ResourceKey) -> None:
    """What is written lies within the reach, and within a compartment only what lies in no other (AZ-8, smart.md E7).

    Raises WriteOutsideAccess.
    """
    alone = values.patients == (own_patient(access),)
    ways = (way for way in reach.ways if alone or way.extent is not Extent.COMPARTMENT)
    if not any(is_seen(way, values, access) for way in ways):
        raise WriteOutsideAccess(key.resource_type)


def _with_kept_meta(resource: Mapping[str, Any], stored: Stored | None) -> Mapping[str, Any]:
    """Add the tags, security labels and profiles of the previous version that the new one leaves out (U5)."""
    if stored is None or stored.deleted:
        return resource
    before = stored.resource().get("meta", {})
    meta = dict(resource.get("meta", {}))
    for name in ("tag", "security", "profile"):
        missing = [each for each in before.get(name, ()) if each not in meta.get(name, ())]
        if missing:
            meta[name] = [*meta.get(name, ()), *missing]
    return {**resource, "meta": meta} if meta else resource
