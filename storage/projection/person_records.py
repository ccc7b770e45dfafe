"""Records of one person in the three systems, known by exact identifiers (settled §1.12, health_hub.md P1, P3).

Every record of a person has marks: ids that are given to one person only. Two records with a mark in common are the
same person's, and so are records between which such pairs lead. E-mail addresses, telephones and names are no marks:
children and spouses share them.

| mark | of `customer_profiles` | of `patients` | of `profiles` |
| --- | --- | --- | --- |
| login id | `external_id`, mapping `clerk_user_id` | | `user_id` where the relationship is `self` |
| record of the care platform | mapping that names it | `id` | |
| medical record number | mapping of that type that names the care platform | `medical_record_number` | |
| record of the health hub | mapping that names it | | `id` |
| id at a provider | mapping of the provider | | `patient_emr_id` of a connection |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Select, bindparam, literal_column, null, select, union_all
from sqlalchemy.sql.visitors import iterate

from storage.driver import Driver
from storage.sql import Prepared, member_of, prepare
from storage.stops import NO_STOPS, Stops
from storage.tables.care_platform import patients
from storage.tables.enums import IdentifierType
from storage.tables.health_hub import profile_emr_connections, profiles
from storage.tables.patient_graph import customer_profiles, identity_mappings

Record = tuple[str, str]
"""Table and key of a person's record."""

CUSTOMERS: Final = "customer_profiles"
PATIENTS: Final = "patients"
PROFILES: Final = "profiles"
PERSON_TABLES: Final = (CUSTOMERS, PATIENTS, PROFILES)
"""Tables whose rows are Patients, in the order in which links are shown."""

LOGIN: Final = "login"
MEDICAL_RECORD: Final = "medical_record_number"
AT_PROVIDER: Final = "patient_emr_id"

CARE_NAMES: Final = frozenset({"care", "care_platform", "care_patient_id"})
HUB_NAMES: Final = frozenset({"hub", "health_hub", "hub_profile_id"})
"""What `identity_mappings` call the other systems: as `external_system`, and as `identifier_type`."""
RECORD_TYPES: Final = {PATIENTS: (CARE_NAMES, "patient_id"), PROFILES: (HUB_NAMES, "profile_id")}
"""Table → identifier types that name its rows by themselves, and the one that does so with an external system."""
MEDICAL_RECORD_NAMES: Final = frozenset({MEDICAL_RECORD, "mrn"})
SELF: Final = "self"
"""The relationship of a profile that is the user's own: others are their mother's, their child's."""

_OTHERS: Final = frozenset(IdentifierType) - {IdentifierType.CLERK_USER_ID}
"""Identifier types that are shared within families or name no person's record here."""


Columns = frozenset[tuple[str, str]]
"""Pairs of table and column."""


class Mark(NamedTuple):
    """An id that is given to one person only: of which kind, by which provider where there are several."""

    kind: str
    issuer: str
    value: str


def mark_of(table: str, kind: str, system: str | None, value: str | None) -> Mark | None:
    """Return the mark that a column or an identity mapping is, None when it is none.

    `kind` is the identifier type of a mapping, or what a column stands for; `system` is the mapping's external system,
    a connection's provider or a profile's relationship.
    """
    if not value:
        return None
    if table == CUSTOMERS:
        return _mark_of_mapping(kind, system, value)
    if table == PROFILES and kind == LOGIN and (system or "").strip().casefold() != SELF:
        return None
    return Mark(kind, (system or "") if kind == AT_PROVIDER else "", value)


def _mark_of_mapping(kind: str, system: str | None, value: str) -> Mark | None:
    if kind in {LOGIN, IdentifierType.CLERK_USER_ID}:
        return Mark(LOGIN, "", value)
    if kind in _OTHERS:
        return None
    if kind in MEDICAL_RECORD_NAMES:  # whose numbers they are has to be said: every clinic has a 1001
        return Mark(MEDICAL_RECORD, "", value) if system in CARE_NAMES else None
    for table, (names, generic) in RECORD_TYPES.items():
        if kind in names or (kind == generic and system in names):
            return Mark(table, "", value)
    if kind == AT_PROVIDER:
        return Mark(AT_PROVIDER, system, value) if system else None
    return Mark(AT_PROVIDER, kind, value) if system in {None, kind} else None


def _mapping_types(marks: Iterable[Mark]) -> set[str]:
    """Return the identifier types that mappings with one of the marks may have; an index begins with the type."""
    types: set[str] = set()
    for mark in marks:
        if mark.kind == LOGIN:
            types.add(IdentifierType.CLERK_USER_ID.value)
        elif mark.kind == MEDICAL_RECORD:
            types |= MEDICAL_RECORD_NAMES
        elif mark.kind == AT_PROVIDER:
            types |= {AT_PROVIDER, mark.issuer}
        else:
            names, generic = RECORD_TYPES[mark.kind]
            types |= {*names, generic}
    return types


# ---- what is asked --------------------------------------------------------------------------------------------------


def _of(table: Any) -> Any:
    return table.c.organization_id == bindparam("organization_id")


def _said(text: str) -> Any:
    """Return a name of our own as part of the statement."""
    return literal_column(f"'{text}'")


def _found(table: str, key: Any, kind: Any, system: Any, value: Any) -> Select[Any]:
    return select(_said(table).label("t"), key.label("k"), kind.label("kind"), system.label("s"), value.label("v"))


def _sources() -> Mapping[str, tuple[Any, Select[Any]]]:
    """Return every place that marks come from: the column of the record's key, and the rows."""
    mappings, connections = identity_mappings.c, profile_emr_connections.c
    login = _found(CUSTOMERS, customer_profiles.c.id, _said(LOGIN), null(), customer_profiles.c.external_id)
    mapped = _found(
        CUSTOMERS, mappings.customer_id, mappings.identifier_type, mappings.external_system, mappings.external_id
    )
    number = _found(PATIENTS, patients.c.id, _said(MEDICAL_RECORD), null(), patients.c.medical_record_number)
    user = _found(PROFILES, profiles.c.id, _said(LOGIN), profiles.c.relationship, profiles.c.user_id)
    connected = _found(
        PROFILES, connections.profile_id, _said(AT_PROVIDER), connections.provider, connections.patient_emr_id
    )
    return {
        "login": (customer_profiles.c.id, login.where(_of(customer_profiles))),
        "mapped": (mappings.customer_id, mapped.where(_of(identity_mappings))),
        "number": (patients.c.id, number.where(_of(patients))),
        "user": (profiles.c.id, user.where(_of(profiles))),
        "connected": (connections.profile_id, connected.where(_of(profile_emr_connections))),
    }


@lru_cache
def _marks_statement(dialect: str, lacking: Columns) -> Prepared | None:
    """Marks of records, by the records' keys."""
    whose = {"login": CUSTOMERS, "mapped": CUSTOMERS, "number": PATIENTS, "user": PROFILES, "connected": PROFILES}
    return together(dialect, lacking, [rows.where(member_of(key, whose[n])) for n, (key, rows) in _sources().items()])


@lru_cache
def _holders_statement(dialect: str, lacking: Columns) -> Prepared | None:
    """Records with marks of given values; whether it is the same mark is seen from kind and issuer."""
    rows = {name: found for name, (_, found) in _sources().items()}
    mappings, connections = identity_mappings.c, profile_emr_connections.c
    parts = [
        rows["login"].where(member_of(customer_profiles.c.external_id, LOGIN)),
        rows["mapped"].where(member_of(mappings.identifier_type, "types"), member_of(mappings.external_id, "values")),
        rows["number"].where(member_of(patients.c.medical_record_number, MEDICAL_RECORD)),
        rows["user"].where(member_of(profiles.c.user_id, LOGIN)),
        rows["connected"].where(
            member_of(connections.provider, "issuers"), member_of(connections.patient_emr_id, AT_PROVIDER)
        ),
        _found(PATIENTS, patients.c.id, _said(PATIENTS), null(), patients.c.id).where(
            _of(patients), member_of(patients.c.id, PATIENTS)
        ),
        _found(PROFILES, profiles.c.id, _said(PROFILES), null(), profiles.c.id).where(
            _of(profiles), member_of(profiles.c.id, PROFILES)
        ),
    ]
    return together(dialect, lacking, parts)


def together(dialect: str, lacking: Columns, parts: Sequence[Select[Any]]) -> Prepared | None:
    """Return one statement of the parts whose columns the database has; what it lacks gives nothing."""
    usable = [each for each in parts if has_columns(each, lacking)]
    return prepare(union_all(*usable), dialect) if usable else None


def has_columns(statement: Select[Any], lacking: Columns) -> bool:
    """Whether the database has every column that a statement names."""
    return lacking.isdisjoint(_columns(statement))


def _columns(statement: Select[Any]) -> Iterator[tuple[str, str]]:
    return ((each.table.name, each.name) for each in iterate(statement) if isinstance(each, Column))


async def marks_of(
    driver: Driver, organization_id: str, records: Iterable[Record], stops: Stops = NO_STOPS
) -> dict[Record, set[Mark]]:
    """Return the marks of some records of an organization."""
    keys: dict[str, list[str]] = {table: [] for table in PERSON_TABLES}
    found: dict[Record, set[Mark]] = {}
    for table, key in records:
        keys[table].append(key)
        found[table, key] = {Mark(table, "", key)} if table != CUSTOMERS else set()
    parameters = {"organization_id": organization_id, **keys}
    statement = _marks_statement(driver.dialect, stops.lacking)
    for table, key, kind, system, value in await driver.fetch(statement, parameters) if statement else ():
        mark = mark_of(table, kind, system, value)
        if mark is not None and (table, key) in found:
            found[table, key].add(mark)
    return found


async def holders_of(
    driver: Driver, organization_id: str, marks: Iterable[Mark], stops: Stops = NO_STOPS
) -> dict[Mark, set[Record]]:
    """Return the records of an organization that have one of the marks."""
    wanted = frozenset(marks)
    if not wanted:
        return {}

    def values(kind: str) -> list[str]:
        return sorted({mark.value for mark in wanted if mark.kind == kind})

    parameters = {
        "organization_id": organization_id,
        "types": sorted(_mapping_types(wanted)),
        "values": sorted({mark.value for mark in wanted}),
        "issuers": sorted({mark.issuer for mark in wanted if mark.kind == AT_PROVIDER}),
        **{kind: values(kind) for kind in (LOGIN, MEDICAL_RECORD, AT_PROVIDER, PATIENTS, PROFILES)},
    }
    found: dict[Mark, set[Record]] = {}
    statement = _holders_statement(driver.dialect, stops.lacking)
    for table, key, kind, system, value in await driver.fetch(statement, parameters) if statement else ():
        mark = mark_of(table, kind, system, value)
        if mark in wanted:
            found.setdefault(mark, set()).add((table, key))
    return found


async def persons_of(
    driver: Driver, organization_id: str, records: Sequence[Record], stops: Stops = NO_STOPS
) -> dict[Record, list[Record]]:
    """Return the other records of the person of each of some records, in the order of PERSON_TABLES and keys."""
    marks: dict[Record, set[Mark]] = {}
    holders: dict[Mark, set[Record]] = {}
    new = set(records)
    while new:
        marks |= await marks_of(driver, organization_id, sorted(new), stops)
        asked = {mark for record in new for mark in marks[record]} - holders.keys()
        found = await holders_of(driver, organization_id, asked, stops)
        holders |= {mark: found.get(mark, set()) for mark in asked}
        new = {record for some in found.values() for record in some} - marks.keys()
    return {record: _others(record, marks, holders) for record in records}


def _others(record: Record, marks: Mapping[Record, set[Mark]], holders: Mapping[Mark, set[Record]]) -> list[Record]:
    person = {record}
    ahead = [record]
    while ahead:
        reached = {other for mark in marks[ahead.pop()] for other in holders[mark]} - person
        person |= reached
        ahead.extend(reached)
    return sorted(person - {record}, key=lambda each: (PERSON_TABLES.index(each[0]), each[1]))
