"""Who the people in the audit trail are: whom a user stands for, and which records are of one person (AD-6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, or_, select, union_all

from storage.reading import Reader
from storage.sql import Prepared, member_of, prepare
from storage.tables import care_platform, fhir, health_hub, identity, patient_graph, platform

PERSONS: Final = ("Practitioner", "PractitionerRole", "RelatedPerson")
"""Types whose resources stand for users in the agents of AuditEvents.

A patient who is a user is named by the id of the user: an AuditEvent lies in the compartment of whom it is about.
"""
PATIENT_TABLES: Final = (patient_graph.customer_profiles.name, care_platform.patients.name, health_hub.profiles.name)
"""Tables whose rows Patients show."""
MOST_ROUNDS: Final = 50
"""Of merges that lead on to merges; each round asks for all that the one before found."""


async def persons_of(reader: Reader, organization_id: str, users: Iterable[str]) -> Mapping[str, str]:
    """Return, by user id, `Type/id` of the resource that stands for a member of the organization.

    Patients are left out: an AuditEvent lies in the compartment of whom it is about, not of who asked.
    """
    wanted = sorted(set(users))
    if not wanted:
        return {}
    parameters = {"organization_id": organization_id, "users": wanted}
    rows = await reader.fetch(organization_id, _members(reader.dialect), parameters)
    return {user: person for user, person in rows if person and person.partition("/")[0] in PERSONS}


async def ids_of_patients(reader: Reader, organization_id: str, ids: Iterable[str]) -> tuple[str, ...]:
    """Return ids of patients with the other ids of the same: a Patient's, and its row's where these differ.

    The internal interfaces record whom they showed by the row, FHIR does so by the resource.
    """
    found = dict.fromkeys(ids)
    for pair in await _pairs(reader, organization_id, found):
        found.update(dict.fromkeys(pair))
    return tuple(found)


async def patients_of_rows(reader: Reader, organization_id: str, ids: Iterable[str]) -> Mapping[str, str]:
    """Return, by id of a row, the id of the Patient that shows it, where these differ."""
    found = await _pairs(reader, organization_id, dict.fromkeys(ids))
    return {row: patient for patient, row in found if patient != row}


async def _pairs(reader: Reader, organization_id: str, ids: Collection[str]) -> list[tuple[str, str]]:
    """Return the ids of Patients and of their rows, where one of both is among `ids`."""
    if not ids:
        return []
    parameters = {"organization_id": organization_id, "ids": list(ids), "tables": list(PATIENT_TABLES)}
    rows = await reader.fetch(organization_id, _homes(reader.dialect), parameters)
    return [(patient, row) for patient, row in rows]


async def records_of_person(reader: Reader, organization_id: str, patient_id: str) -> tuple[str, ...]:
    """Return every id under which a person's data may have been used: `patient_id` first.

    Those are the records that were merged with this one, in either direction, and of each the id of its row and that of
    its Patient.
    """
    found: dict[str, None] = {patient_id: None}
    asked: set[str] = set()
    for _ in range(MOST_ROUNDS):
        wanted = sorted(set(found) - asked)
        if not wanted:
            break
        asked.update(wanted)
        parameters = {"organization_id": organization_id, "ids": wanted}
        merged = await reader.fetch(organization_id, _merged(reader.dialect), parameters)
        for pair in (*merged, *await _pairs(reader, organization_id, wanted)):
            found.update(dict.fromkeys(pair))
    return tuple(found)


@lru_cache
def _members(dialect: str) -> Prepared:
    members = platform.user_organizations
    own = (members.c.organization_id == bindparam("organization_id"), member_of(members.c.user_id, "users"))
    return prepare(select(members.c.user_id, members.c.fhir_user).where(*own), dialect)


@lru_cache
def _merged(dialect: str) -> Prepared:
    merges = identity.identity_merges
    own = (merges.c.organization_id == bindparam("organization_id"), merges.c.unmerged_at.is_(None))
    named = or_(member_of(merges.c.surviving_id, "ids"), member_of(merges.c.merged_id, "ids"))
    return prepare(select(merges.c.surviving_id, merges.c.merged_id).where(*own, named), dialect)


@lru_cache
def _homes(dialect: str) -> Prepared:
    """Both ways have an index of their own, so they are asked one beside the other."""
    rows = fhir.resources
    pair = select(rows.c.id, rows.c.home_key)
    own = (rows.c.organization_id == bindparam("organization_id"), rows.c.resource_type == "Patient")
    at_home = member_of(rows.c.home_table, "tables")
    by_id = pair.where(*own, at_home, member_of(rows.c.id, "ids"))
    by_row = pair.where(*own, at_home, member_of(rows.c.home_key, "ids"))
    return prepare(union_all(by_id, by_row), dialect)
