"""Who wrote which version: what Provenance tells, read from `fhir_changes` (settled §1.15). Nothing of it is stored.

The versions are ones that the caller was shown, or found by the store's own verbs: access was decided there. Whom a
Provenance names is decided here: a reference is given where the caller can read its target, and not otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, false, func, literal_column, or_, select, union_all

from storage.access import Access, Reach, Right
from storage.audit_search import record_position
from storage.driver import Row
from storage.errors import ReadOnlyHome
from storage.reading import Reader
from storage.resources import Creation, ResourceKey, Stored, Version
from storage.search.includes import TypesWithin, of_types
from storage.search.keys import parse_reference
from storage.search.shape import Binder
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir, platform
from storage.tables.enums import OrganizationRole
from storage.visibility import access_parameters

AUTHORS: Final = ("Device", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson")
"""Types that `Provenance.agent.who` may refer to."""
ORGANIZATIONS: Final = "organizations"
_ID: Final = re.compile(r"version-([1-9][0-9]{0,8})-([0-9a-f]{16})")
_UNSIGNED: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Authorship:
    """What is known of how a version came about; `recorded` is its instant in milliseconds since 1970 UTC.

    `person` is `Type/id` of the resource that stands for the user who wrote it, None where no user did or none is
    known. `client_id`, `client_name` and `api` say through what it was written; None where the change is not known.
    """

    key: ResourceKey
    version: int
    recorded: int
    deleted: bool
    created: bool
    person: str | None = None
    client_id: str | None = None
    client_name: str | None = None
    api: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Whom a caller may be told of: `readable` references, the organization's resource if it is, and its name."""

    readable: frozenset[str]
    organization: str | None
    organization_name: str


def provenance_id(key: ResourceKey, version: int) -> str:
    """Return the id of a version's Provenance: it says which version, so nobody has to remember it."""
    return f"version-{version}-{key.hash % _UNSIGNED:016x}"


def parse_provenance_id(text: str) -> tuple[int, int] | None:
    """Return the self_key and the version that an id of `provenance_id` names, None for any other id."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    unsigned = int(match[2], 16)
    return (unsigned - _UNSIGNED if unsigned >= _UNSIGNED >> 1 else unsigned), int(match[1])


def is_rendered(key: ResourceKey) -> bool:
    """Say whether the id is one that a version's Provenance has: it cannot be given to another."""
    return key.resource_type == "Provenance" and parse_provenance_id(key.id) is not None


def require_stored(key: ResourceKey, stored: Stored | None) -> None:
    """Refuse to write what is made from a version, or from an audit record.

    What is stored under such an id is a resource like any other.
    Raises ReadOnlyHome, whether or not there is such a version: nobody learns that here.
    """
    if stored is None and is_rendered(key):
        raise ReadOnlyHome(key.resource_type, key.id, "the resource that it tells about")
    if stored is None and key.resource_type == "AuditEvent" and record_position(key.id) is not None:
        raise ReadOnlyHome(key.resource_type, key.id, "the access that it tells about")


class ProvenanceReader:
    """Reads authorship for one caller; two statements for a page of versions, however many there are."""

    def __init__(self, reader: Reader, access: Access) -> None:
        self._reader = reader
        self._access = access

    async def key_of(self, self_key: int) -> ResourceKey | None:
        """Return type and id of a resource; whether the caller may know of it, the store's verbs decide."""
        rows = await self._fetch(_key_statement(self._reader.dialect), {"self_key": self_key})
        return ResourceKey(*rows[0]) if rows else None

    async def readable(self, keys: Iterable[ResourceKey]) -> frozenset[ResourceKey]:
        """Return the resources, deleted ones among them, whose current version the caller may read."""
        wanted = {key.hash: key for key in keys}
        binder = Binder()
        seen = _within_read(self._access, sorted({key.resource_type for key in wanted.values()}), binder)
        if not seen:
            return frozenset()
        parameters = {**access_parameters(self._access), **binder.values, "keys": list(wanted)}
        rows = await self._fetch(_visible_statement(seen, self._reader.dialect), parameters)
        return frozenset(wanted[self_key] for (self_key,) in rows)

    async def authorships(self, versions: Sequence[Version]) -> list[Authorship]:
        """Return what is known of versions that the caller was shown, in their order; of one that has gone, nothing."""
        found = await self._current(versions)
        superseded = [version for version in versions if (version.key, version.version) not in found]
        for resource_type in dict.fromkeys(version.key.resource_type for version in superseded):
            of_type = [version for version in superseded if version.key.resource_type == resource_type]
            found.update(await self._superseded(resource_type, of_type))
        return [found[each] for version in versions if (each := (version.key, version.version)) in found]

    async def _current(self, versions: Sequence[Version]) -> dict[tuple[ResourceKey, int], Authorship]:
        if not versions:
            return {}
        parameters = {"keys": list({version.key.hash for version in versions})}
        rows = await self._fetch(_current_statement(self._reader.dialect), parameters)
        return {(each.key, each.version): each for each in map(_authorship, rows)}

    async def _superseded(
        self, resource_type: str, versions: Sequence[Version]
    ) -> dict[tuple[ResourceKey, int], Authorship]:
        parameters = {
            "resource_type": resource_type,
            "ids": list({version.key.id for version in versions}),
            "versions": list({version.version for version in versions}),
        }
        rows = await self._fetch(_superseded_statement(self._reader.dialect), parameters)
        return {(each.key, each.version): each for each in map(_authorship, rows)}

    async def known(self, authorships: Iterable[Authorship]) -> Known:
        """Return whom of these authors the caller may be told of by reference."""
        people = {each.person for each in authorships if each.person is not None}
        keys = {key.hash: str(key) for key in map(_key_of, people) if key is not None}
        binder = Binder()
        seen = _within_read(self._access, AUTHORS, binder)
        statement = _readable_statement(seen, self._reader.dialect)
        parameters = {**access_parameters(self._access), **binder.values, "keys": list(keys)}
        rows = await self._fetch(statement, parameters)
        readable, organization, name = set(), None, self._access.organization_id
        for kind, self_key, resource_type, resource_id in rows:
            if kind == _NAME:
                name = resource_id
            elif kind == _OWN:
                organization = f"{resource_type}/{resource_id}"
            else:
                readable.add(keys[self_key])
        return Known(frozenset(readable), organization, name)

    async def _fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        organization = self._access.organization_id
        return await self._reader.fetch(organization, statement, {"organization_id": organization, **parameters})


def _key_of(reference: str) -> ResourceKey | None:
    local = parse_reference(reference)
    if local is None or local.version is not None or local.resource_type not in AUTHORS:
        return None
    return ResourceKey(local.resource_type, local.id)


def _authorship(row: Row) -> Authorship:
    resource_type, resource_id, version, recorded, deleted, creation, *facts = row
    fhir_user, role, patient, client_id, client_name, api = facts
    person = fhir_user
    if person is None and role == OrganizationRole.PATIENT and patient is not None:
        person = f"Patient/{patient}"
    created = not deleted and (version == 1 or creation != Creation.NONE)
    key = ResourceKey(resource_type, resource_id)
    return Authorship(key, version, recorded, bool(deleted), created, person, client_id, client_name, api)


# --- statements -------------------------------------------------------------------------------------------------------

_ORGANIZATION: Final = bindparam("organization_id", type_=fhir.resources.c.organization_id.type)
_PERSON, _OWN, _NAME = "person", "own", "name"


def _literal(text: str) -> ColumnElement[Any]:
    return literal_column(text)


@lru_cache
def _key_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (
        rows.c.organization_id == _ORGANIZATION,
        rows.c.self_key == bindparam("self_key", type_=rows.c.self_key.type),
    )
    return prepare(select(rows.c.resource_type, rows.c.id).where(*own), dialect, is_short=True)


@lru_cache
def _current_statement(dialect: str) -> Prepared:
    rows = fhir.resources
    own = (rows.c.organization_id == _ORGANIZATION, member_of(rows.c.self_key, "keys"))
    return prepare(_facts(rows).where(*own), dialect)


@lru_cache
def _superseded_statement(dialect: str) -> Prepared:
    rows = fhir.history
    own = (
        rows.c.organization_id == _ORGANIZATION,
        rows.c.resource_type == bindparam("resource_type", type_=rows.c.resource_type.type),
        member_of(rows.c.id, "ids"),
        member_of(rows.c.version, "versions"),
    )
    return prepare(_facts(rows).where(*own), dialect)


def _facts(rows: Any) -> Select[Any]:
    """Return versions with who wrote them: the membership of the user in this organization, and the client's name."""
    changes, members, patients, clients = (
        fhir.changes,
        platform.user_organizations,
        platform.user_patients,
        platform.clients,
    )
    written = and_(changes.c.organization_id == rows.c.organization_id, changes.c.id == rows.c.change_id)
    member = and_(members.c.user_id == changes.c.actor, members.c.organization_id == _ORGANIZATION)
    client = and_(
        clients.c.id == changes.c.client_id,
        or_(clients.c.organization_id.is_(None), clients.c.organization_id == _ORGANIZATION),
    )
    only_patient = (
        select(case((func.count() == 1, func.min(patients.c.patient_id))))
        .where(patients.c.user_id == changes.c.actor, patients.c.organization_id == _ORGANIZATION)
        .correlate(changes)
        .scalar_subquery()
    )
    names = ("resource_type", "id", "version", "last_updated", "deleted", "creation")
    return (
        select(
            *(rows.c[name] for name in names),
            members.c.fhir_user,
            members.c.role,
            only_patient.label("patient"),
            changes.c.client_id,
            clients.c.name,
            changes.c.api,
        )
        .select_from(rows)
        .outerjoin(changes, written)
        .outerjoin(members, member)
        .outerjoin(clients, client)
    )


def _within_read(access: Access, types: Iterable[str], binder: Binder) -> tuple[TypesWithin, ...]:
    """Return the types in groups of how far the caller reads them; those out of reach are left out."""
    by_reach: dict[Reach, list[str]] = {}
    for each in types:
        by_reach.setdefault(access.reach(each, Right.READ), []).append(each)
    by_reach.pop(Reach.NONE, None)
    return tuple(TypesWithin(*binder.bind_list(group), reach) for reach, group in by_reach.items())


@lru_cache(maxsize=64)
def _visible_statement(seen: tuple[TypesWithin, ...], dialect: str) -> Prepared:
    rows = fhir.resources
    within = or_(false(), *(of_types(kind, rows) for kind in seen))
    named = (rows.c.organization_id == _ORGANIZATION, member_of(rows.c.self_key, "keys"))
    return prepare(select(rows.c.self_key).where(*named, within), dialect)


@lru_cache(maxsize=64)
def _readable_statement(seen: tuple[TypesWithin, ...], dialect: str) -> Prepared:
    """Which of some resources, and whether the organization's own one, can be read; and the organization's name."""
    rows, organizations = fhir.resources, platform.organizations
    columns = (rows.c.self_key, rows.c.resource_type, rows.c.id)
    live = (rows.c.organization_id == _ORGANIZATION, rows.c.deleted.is_(False))
    within = or_(false(), *(of_types(kind, rows) for kind in seen))
    nothing = (_literal("0"), _literal("''"))
    parts = [
        select(_literal(f"'{_NAME}'").label("kind"), *nothing, organizations.c.name).where(
            organizations.c.id == _ORGANIZATION
        )
    ]
    if seen:
        person = select(_literal(f"'{_PERSON}'").label("kind"), *columns)
        parts.append(person.where(*live, member_of(rows.c.self_key, "keys"), within))
        own = select(_literal(f"'{_OWN}'").label("kind"), *columns)
        at_home = (rows.c.home_table == ORGANIZATIONS, rows.c.home_key == _ORGANIZATION)
        parts.append(own.where(*live, *at_home, rows.c.resource_type == "Organization", within))
    return prepare(union_all(*parts), dialect)
