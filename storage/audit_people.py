"""Who the people in the audit trail are: whom a user stands for, and which records are of one person (AD-6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from sqlalchemy import bindparam, or_, select

from storage.audit_criteria import PERSONS
from storage.reading import Reader
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir, identity, platform

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


async def records_of_person(reader: Reader, organization_id: str, patient_id: str) -> tuple[str, ...]:
    """Return every id under which a person's data may have been used: `patient_id` first.

    Those are the records that were merged with this one, in either direction, and of each the id of its row and that of
    its Patient.
    """
    found = {patient_id: None}
    asked: set[str] = set()
    for _ in range(MOST_ROUNDS):
        wanted = sorted(set(found) - asked)
        if not wanted:
            break
        asked.update(wanted)
        parameters = {"organization_id": organization_id, "ids": wanted}
        for statement in (_merged(reader.dialect), _homes(reader.dialect)):
            for row in await reader.fetch(organization_id, statement, parameters):
                found.update(dict.fromkeys(each for each in row if each))
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
    rows = fhir.resources
    own = (rows.c.organization_id == bindparam("organization_id"), rows.c.resource_type == "Patient")
    named = or_(member_of(rows.c.id, "ids"), member_of(rows.c.home_key, "ids"))
    return prepare(select(rows.c.id, rows.c.home_key).where(*own, named), dialect)
