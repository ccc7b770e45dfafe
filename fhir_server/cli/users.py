"""What the `user` commands do."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from capability.elements import RESOURCE_TYPES
from capability.roles import assignable_roles
from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.operator import RESOURCE_ID
from fhir_server.oauth.passwords import hash_password
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.tables.enums import OrganizationRole
from storage.transaction import UnitOfWork

EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class NewUser:
    """The options of `user add`."""

    email: str
    password: str
    role: str
    organization: str | None = None
    patients: Sequence[str] = ()
    name: str | None = None
    fhir_user: str | None = None


async def add_user(installation: Installation, asked: NewUser) -> dict[str, Any]:
    """Give a person a role; raises CommandFailed and PasswordRefused."""
    _check(asked)
    organization = (await installation.organization(asked.organization)).id
    email = asked.email.lower()
    hashed = hash_password(asked.password, owner=email)
    async with installation.acting(organization, Act("users", "write", "create")) as unit:
        users, memberships = UserRepository(unit.connection), UserOrganizationRepository(unit.connection)
        user = await users.by_email(email)
        if user is None:
            user = await users.insert(User(unit.ids.uuid7(), email, hashed, name=asked.name))
        elif not user.is_active:
            user = await users.update(replace(user, is_active=True, password_hash=hashed))
        known = await memberships.of_user(user.id, active=False)
        if any(each.organization_id == organization for each in known):
            raise CommandFailed(f"{email} has a role in {organization} already; remove it first.")
        membership = UserOrganization(unit.ids.uuid7(), user.id, organization, asked.role, asked.fhir_user)
        await memberships.insert(membership)
        await users.set_patients(user.id, organization, asked.patients)
    return _facts(user, membership, asked.patients)


def _check(asked: NewUser) -> None:
    if not EMAIL.match(asked.email):
        raise CommandFailed("This is no e-mail address.")
    if asked.role not in assignable_roles():
        raise CommandFailed(f"The role is one of: {', '.join(assignable_roles())}.")
    if asked.patients and asked.role != OrganizationRole.PATIENT:
        raise CommandFailed("--patient is for the role PATIENT; other roles see the organization's patients.")
    if not all(RESOURCE_ID.match(patient) for patient in asked.patients):
        raise CommandFailed("The id of a Patient has 1 to 64 letters, digits, dashes or dots.")
    if asked.fhir_user is not None:
        resource_type, _, resource_id = asked.fhir_user.partition("/")
        if resource_type not in RESOURCE_TYPES or not RESOURCE_ID.match(resource_id):
            raise CommandFailed("--fhir-user is a reference like Practitioner/123.")


async def list_users(installation: Installation, organization_id: str | None) -> list[dict[str, Any]]:
    """Return the facts of everyone with a role in an organization, in order of e-mail address."""
    organization = (await installation.organization(organization_id)).id
    async with installation.database.platform() as connection:
        users = UserRepository(connection)
        by_id = {user.id: user for user in await users.all()}
        found = [
            _facts(by_id[each.user_id], each, await users.patients_of(each.user_id, organization))
            for each in await UserOrganizationRepository(connection).all()
            if each.organization_id == organization
        ]
    return sorted(found, key=lambda facts: str(facts["email"]))


async def set_password(installation: Installation, email: str, password: str) -> dict[str, Any]:
    """Set a new password and revoke the user's tokens; raises CommandFailed and PasswordRefused."""
    hashed = hash_password(password, owner=email)
    act = Act("users", "write", "password")
    async with installation.acting(installation.settings.organization, act) as unit:
        user = await _user(unit, email)
        await UserRepository(unit.connection).update(replace(user, password_hash=hashed))
        await _revoke(unit, user)
    return {"email": user.email, "changed": True}


async def remove_user(installation: Installation, email: str, organization_id: str | None) -> dict[str, Any]:
    """Take a role away and revoke the user's tokens; raises CommandFailed.

    The user's row stays, inactive when it was the last role: the audit trail names it.
    """
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("users", "delete", "remove")) as unit:
        users, memberships = UserRepository(unit.connection), UserOrganizationRepository(unit.connection)
        user = await _user(unit, email)
        known = await memberships.of_user(user.id, active=False)
        own = [each for each in known if each.organization_id == organization]
        if not own:
            raise CommandFailed(f"{user.email} has no role in {organization}.")
        await users.set_patients(user.id, organization, ())
        await memberships.delete(own[0].id)
        if len(known) == 1:
            await users.update(replace(user, is_active=False))
        await _revoke(unit, user)
    return {"email": user.email, "organization": organization, "removed": True}


async def _user(unit: UnitOfWork, email: str) -> User:
    user = await UserRepository(unit.connection).by_email(email)
    if user is None:
        raise CommandFailed(f"There is no user {email}; `fhir-server user list` names them.")
    return user


async def _revoke(unit: UnitOfWork, user: User) -> None:
    now = time.time()
    until = instant(now + LONGEST_TOKEN_SECONDS)
    await revoke(unit.connection, RevocationKind.USER, user.id, instant(now), until)


def _facts(user: User, membership: UserOrganization, patients: Sequence[str]) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "organization": membership.organization_id,
        "role": membership.role,
        "fhir_user": membership.fhir_user,
        "patients": list(patients),
        "active": user.is_active and membership.is_active,
    }
