"""Emergency access from the command line: opened, and used by one token that lives as long (security TN-7)."""

from __future__ import annotations

import time

from fhir_server.cli.installation import Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.emergency import (
    RESOURCE,
    EmergencyRefused,
    checked_reason,
    emergency_caller,
    may_break_glass,
    require_patient,
)
from fhir_server.oauth.operator import emergency_request
from fhir_server.oauth.tokens import TokenRequest
from storage.authorization.emergencies import Emergency, add_emergency
from storage.projection.places import Places
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.store import ResourceStore
from storage.transaction import UnitOfWork


async def emergency_token(
    installation: Installation, email: str, organization: str | None, patient: str, *, scope: str, lifetime: int
) -> TokenRequest:
    """Return the token of a user who may open emergency access to a patient.

    Raises CommandFailed for a user who may not and a patient who is not there, TokenRefused for scopes beyond it.
    """
    async with installation.database.platform() as connection:
        user = await UserRepository(connection).by_email(email)
        memberships = await UserOrganizationRepository(connection).of_user(user.id) if user else []
    if user is None or not user.is_active:
        raise CommandFailed(f"There is no active user {email}.")
    organization_id, membership = _place(user, memberships, organization)
    await installation.organization(organization_id)
    emergency_id = installation.database.ids.uuid7()
    access = emergency_caller(user.id, RESOURCE, organization_id, patient, emergency_id)
    try:
        await require_patient(ResourceStore(installation.database, Places()), patient, access)
    except EmergencyRefused as error:
        raise CommandFailed(str(error)) from None
    return emergency_request(
        user,
        organization_id,
        emergency_id,
        scope=scope,
        patient=patient,
        ttl=lifetime,
        fhir_user=membership.fhir_user if membership else None,
    )


def _place(
    user: User, memberships: list[UserOrganization], organization: str | None
) -> tuple[str, UserOrganization | None]:
    """Return the organization, and what the user is there; an administrator of the installation needs no role."""
    own = {each.organization_id: each for each in memberships}
    able = [each.organization_id for each in memberships if may_break_glass(each)]
    wanted = organization or (able[0] if len(able) == 1 and not user.is_platform_admin else None)
    if wanted is None and (able or user.is_platform_admin):
        raise CommandFailed("Give --organization: there is more than one.")
    if wanted is None or (wanted not in able and not user.is_platform_admin):
        raise CommandFailed(f"The user {user.email} may not open emergency access there.")
    return wanted, own.get(wanted)


async def open_emergency(unit: UnitOfWork, token: TokenRequest, reason: str) -> None:
    """Write down the emergency access of a token; raises CommandFailed for a reason that says nothing."""
    try:
        text = checked_reason(reason)
    except EmergencyRefused as error:
        raise CommandFailed(str(error)) from None
    now = int(time.time())
    kept = Emergency(
        str(token.break_glass_id),
        token.subject,
        token.organization_id,
        str(token.patient),
        text,
        now,
        now + token.lifetime,
    )
    await add_emergency(unit.connection, kept)
