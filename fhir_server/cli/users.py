"""What the `user` commands do."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from capability.elements import RESOURCE_TYPES
from capability.roles import assignable_roles
from fhir_server.cli.installation import OPERATOR, ROLE, Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.external import is_subject
from fhir_server.oauth.operator import COMMAND_LINE, RESOURCE_ID
from fhir_server.oauth.password_pool import hasher_of
from fhir_server.oauth.passwords import hash_password
from fhir_server.oauth.providers import load_providers
from storage.access import Access, Right
from storage.authorization.linked_accounts import Account, link_account, unlink_accounts
from storage.authorization.people import drop_second_factor
from storage.authorization.sessions import end_grants_of, end_sessions_of
from storage.errors import ResourceGone, ResourceNotFound
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.projection.places import Places
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.resources import ResourceKey
from storage.store import ResourceStore
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
    hashed = hash_password(asked.password, owner=email, hasher=hasher_of(installation.settings))
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
    """Set a new password, end the user's sessions and revoke access tokens; raises CommandFailed and PasswordRefused.

    Apps that may keep access get new tokens (`smart.md` V3).
    """
    hashed = hash_password(password, owner=email, hasher=hasher_of(installation.settings))
    act = Act("users", "write", "password")
    async with installation.acting(installation.settings.organization, act) as unit:
        user = await _user(unit, email)
        await UserRepository(unit.connection).update(replace(user, password_hash=hashed))
        await _end_sessions(unit, user, "password changed")
    return {"email": user.email, "changed": True}


async def remove_user(installation: Installation, email: str, organization_id: str | None) -> dict[str, Any]:
    """Take a role away, with the user's sessions and what was granted there; raises CommandFailed.

    The user's row stays, inactive when it was the last role: the audit trail names it.
    """
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("users", "delete", "remove")) as unit:
        users, memberships = UserRepository(unit.connection), UserOrganizationRepository(unit.connection)
        user = await _user(unit, email)
        membership = await _membership(memberships, user, organization)
        await users.set_patients(user.id, organization, ())
        await memberships.delete(membership.id)
        if not await memberships.of_user(user.id, active=False):
            await users.update(replace(user, is_active=False))
        await _end_sessions(unit, user, "role removed")
        await end_grants_of(unit.connection, user.id, "role removed", int(time.time()), organization_id=organization)
    return {"email": user.email, "organization": organization, "removed": True}


async def set_active(installation: Installation, email: str, *, active: bool) -> dict[str, Any]:
    """Let somebody sign in again, or end sessions, grants and tokens and let them in no more; raises CommandFailed."""
    act = Act("users", "write", "enable" if active else "disable")
    async with installation.acting(installation.settings.organization, act) as unit:
        user = await _user(unit, email)
        await UserRepository(unit.connection).update(replace(user, is_active=active))
        if not active:
            await _end_sessions(unit, user, "user disabled")
            await end_grants_of(unit.connection, user.id, "user disabled", int(time.time()))
    return {"email": user.email, "active": active}


async def set_role(installation: Installation, email: str, role: str, organization_id: str | None) -> dict[str, Any]:
    """Give somebody another role in an organization; raises CommandFailed.

    Sessions end, and what was granted there: it was cut to the role that the user had.
    """
    if role not in assignable_roles():
        raise CommandFailed(f"The role is one of: {', '.join(assignable_roles())}.")
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("users", "write", "role")) as unit:
        user = await _user(unit, email)
        users, memberships = UserRepository(unit.connection), UserOrganizationRepository(unit.connection)
        membership = replace(await _membership(memberships, user, organization), role=role)
        await memberships.update(membership)
        if role != OrganizationRole.PATIENT:
            await users.set_patients(user.id, organization, ())
        await _end_sessions(unit, user, "role changed")
        await end_grants_of(unit.connection, user.id, "role changed", int(time.time()), organization_id=organization)
        return _facts(user, membership, await users.patients_of(user.id, organization))


async def reset_second_factor(installation: Installation, email: str) -> dict[str, Any]:
    """Turn somebody's second factor off, who lost it, and end their sessions; raises CommandFailed."""
    act = Act("users", "write", "second-factor-off")
    async with installation.acting(installation.settings.organization, act) as unit:
        user = await _user(unit, email)
        was_on = await drop_second_factor(unit.connection, user.id)
        await _end_sessions(unit, user, "second factor reset")
    return {"email": user.email, "second_factor": False, "changed": was_on}


async def add_patient(
    installation: Installation, email: str, patient: str, organization_id: str | None
) -> dict[str, Any]:
    """Let somebody in the role PATIENT act for one more patient (proxy); raises CommandFailed."""
    if not RESOURCE_ID.match(patient):
        raise CommandFailed("The id of a Patient has 1 to 64 letters, digits, dashes or dots.")
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("users", "write", "patient-add")) as unit:
        user = await _user(unit, email)
        users = UserRepository(unit.connection)
        membership = await _membership(UserOrganizationRepository(unit.connection), user, organization)
        if membership.role != OrganizationRole.PATIENT:
            raise CommandFailed(f"{user.email} is {membership.role}, who sees the organization's patients anyway.")
        known = await users.patients_of(user.id, organization)
        await users.set_patients(user.id, organization, (*known, patient))
        return _facts(user, membership, await users.patients_of(user.id, organization))


async def unknown_patients(installation: Installation, facts: Mapping[str, Any]) -> list[str]:
    """Return those of a person's patients who are not there (yet): most often an id that is misspelt."""
    store = ResourceStore(installation.database, Places())
    access = Access(facts["organization"], OPERATOR, ROLE, COMMAND_LINE, {}, everything=frozenset({Right.READ}))
    missing = []
    for patient in facts["patients"]:
        try:
            await store.read(ResourceKey("Patient", patient), access)
        except (ResourceNotFound, ResourceGone):
            missing.append(patient)
    return missing


async def remove_patient(
    installation: Installation, email: str, patient: str, organization_id: str | None
) -> dict[str, Any]:
    """Let somebody act for a patient no more, and revoke what concerned that patient; raises CommandFailed."""
    organization = organization_id or installation.settings.organization
    async with installation.acting(organization, Act("users", "delete", "patient-remove")) as unit:
        user = await _user(unit, email)
        users = UserRepository(unit.connection)
        membership = await _membership(UserOrganizationRepository(unit.connection), user, organization)
        known = await users.patients_of(user.id, organization)
        if patient not in known:
            raise CommandFailed(f"{user.email} does not act for this patient in {organization}.")
        left = [each for each in known if each != patient]
        await users.set_patients(user.id, organization, left)
        await _revoke(unit, user)
        await end_grants_of(
            unit.connection,
            user.id,
            "patient removed",
            int(time.time()),
            organization_id=organization,
            patient=patient,
        )
    return _facts(user, membership, left)


async def add_account(installation: Installation, email: str, provider: str, subject: str) -> dict[str, Any]:
    """Let somebody sign in by an account at a trusted issuer; raises CommandFailed."""
    known = load_providers(installation.settings.identity_providers)
    if provider not in known:
        raise CommandFailed(f"There is no issuer {provider} in FHIR_SERVER_IDENTITY_PROVIDERS; {_names(known)}.")
    if not is_subject(subject):
        raise CommandFailed("The id of an account has 1 to 255 printable characters.")
    async with installation.acting(installation.settings.organization, Act("users", "write", "account-add")) as unit:
        user = await _user(unit, email)
        if not await link_account(unit.connection, unit.ids.uuid7(), Account(provider, subject), user.id):
            raise CommandFailed("This account is linked already; `fhir-server user account remove` ends that.")
    return {"email": user.email, "provider": provider, "subject": subject}


async def remove_account(installation: Installation, email: str, provider: str) -> dict[str, Any]:
    """Let somebody sign in by accounts at an issuer no more; sessions end. Raises CommandFailed."""
    async with installation.acting(
        installation.settings.organization, Act("users", "delete", "account-remove")
    ) as unit:
        user = await _user(unit, email)
        if not await unlink_accounts(unit.connection, user.id, provider):
            raise CommandFailed(f"{user.email} is linked with no account at {provider}.")
        await _end_sessions(unit, user, "account unlinked")
    return {"email": user.email, "provider": provider, "removed": True}


def _names(known: Collection[str]) -> str:
    return f"it names: {', '.join(known)}" if known else "it names none"


async def _user(unit: UnitOfWork, email: str) -> User:
    user = await UserRepository(unit.connection).by_email(email)
    if user is None:
        raise CommandFailed(f"There is no user {email}; `fhir-server user list` names them.")
    return user


async def _membership(memberships: UserOrganizationRepository, user: User, organization: str) -> UserOrganization:
    for each in await memberships.of_user(user.id, active=False):
        if each.organization_id == organization:
            return each
    raise CommandFailed(f"{user.email} has no role in {organization}.")


async def _end_sessions(unit: UnitOfWork, user: User, reason: str) -> None:
    """End sessions with what was granted for as long as they last, and access tokens made until now."""
    await end_sessions_of(unit.connection, user.id, reason, int(time.time()))
    await _revoke(unit, user)


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
