"""Access tokens that the operator makes at the command line: for a registered client, or for a user.

They are what the authorization server would have granted: registered scopes, the user's role, one organization. No
switch makes one that is more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fhir_server.access import APP, EMERGENCY, RESOURCE_TYPES, SERVICE
from fhir_server.oauth.scopes import InvalidScope, Level, grant_text, parse_scopes
from fhir_server.oauth.tokens import TokenRequest
from storage.repositories.entities import Client, User, UserOrganization
from storage.tables.enums import ClientType, OrganizationRole

COMMAND_LINE: Final = "fhir-server"
"""The client of tokens that were made for a user without an app."""
ANYTHING: Final = "patient/*.cruds user/*.cruds openid fhirUser profile launch/patient"
"""What a user may grant; the role narrows it."""
RESOURCE_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")


class TokenRefused(Exception):
    """A token cannot be made; the message says why and the remedy."""


def client_token(
    client: Client, *, organization_id: str | None, default_organization: str, scope: str, patient: str | None, ttl: int
) -> TokenRequest:
    """Return the token of a client acting for itself, or for one patient.

    Raises TokenRefused for an organization that is not the client's, scopes it is not registered for, `user/` scopes
    (there is no user) and a `patient/` scope without a patient.
    """
    if not client.is_active:
        raise TokenRefused(f"The client {client.id} is not active.")
    own = client.organization_id
    if own is not None and organization_id not in (None, own):
        raise TokenRefused(f"The client {client.id} belongs to {own}; leave --organization out.")
    granted = _granted(scope, client.scope, f"The client {client.id} is registered for: {client.scope}.")
    _check_levels(granted, patient, user=False)
    return TokenRequest(
        subject=client.id,
        client_id=client.id,
        organization_id=own or organization_id or default_organization,
        role=SERVICE if client.type == ClientType.BACKEND else APP,
        scope=granted,
        lifetime=ttl,
        patient=_checked(patient),
        is_partner=client.is_partner,
    )


def user_token(
    user: User, membership: UserOrganization, own_patients: Sequence[str], *, scope: str, patient: str | None, ttl: int
) -> TokenRequest:
    """Return the token of a user in one organization.

    A user in the role PATIENT acts for one of `own_patients`, by default for the only one. Raises TokenRefused for any
    other patient, for `system/` scopes and for a `patient/` scope without a patient.
    """
    granted = _granted(scope, ANYTHING, "A user may be granted patient/ and user/ scopes, openid and fhirUser.")
    chosen = _own_patient(user, own_patients, patient) if membership.role == OrganizationRole.PATIENT else patient
    _check_levels(granted, chosen, user=True)
    return TokenRequest(
        subject=user.id,
        client_id=COMMAND_LINE,
        organization_id=membership.organization_id,
        role=membership.role,
        scope=granted,
        lifetime=ttl,
        patient=_checked(chosen),
        fhir_user=membership.fhir_user or _as_patient(membership, own_patients),
    )


def emergency_request(
    user: User,
    organization_id: str,
    emergency_id: str,
    *,
    scope: str,
    patient: str,
    ttl: int,
    fhir_user: str | None,
) -> TokenRequest:
    """Return the token of a user with emergency access to one patient.

    It names the emergency access in place of a grant, so that it ends with it. Raises TokenRefused for `user/` and
    `system/` scopes: it is to one patient.
    """
    granted = _granted(scope, ANYTHING, "A user may be granted patient/ scopes, openid and fhirUser.")
    if any(each.level is not Level.PATIENT for each in parse_scopes(granted, RESOURCE_TYPES).fhir):
        raise TokenRefused("Emergency access is to one patient: ask for patient/ scopes.")
    return TokenRequest(
        subject=user.id,
        client_id=COMMAND_LINE,
        organization_id=organization_id,
        role=EMERGENCY,
        scope=granted,
        lifetime=ttl,
        patient=_checked(patient),
        fhir_user=fhir_user,
        grant_id=emergency_id,
        break_glass_id=emergency_id,
    )


def choose_membership(
    user: User, memberships: Sequence[UserOrganization], organization_id: str | None
) -> UserOrganization:
    """Return the role of an active user in an organization, or the only one; raises TokenRefused (settled §4.2)."""
    if not user.is_active:
        raise TokenRefused(f"The user {user.email} is not active.")
    known = ", ".join(each.organization_id for each in memberships) or "none"
    if organization_id is None:
        if len(memberships) != 1:
            raise TokenRefused(f"The user {user.email} has several or no organizations ({known}); give --organization.")
        return memberships[0]
    found = next((each for each in memberships if each.organization_id == organization_id), None)
    if found is None:
        raise TokenRefused(f"The user {user.email} has no role in {organization_id}; in: {known}.")
    return found


def _granted(scope: str, allowed: str, remedy: str) -> str:
    try:
        return grant_text(scope, allowed, RESOURCE_TYPES)
    except InvalidScope as error:
        raise TokenRefused(f"{error} {remedy}") from None


def _check_levels(scope: str, patient: str | None, *, user: bool) -> None:
    levels = {each.level for each in parse_scopes(scope, RESOURCE_TYPES).fhir}
    if Level.USER in levels and not user:
        raise TokenRefused("user/ scopes need a user: give --user instead of --client.")
    if Level.PATIENT in levels and patient is None:
        raise TokenRefused("patient/ scopes need a patient: give --patient.")


def _own_patient(user: User, own_patients: Sequence[str], patient: str | None) -> str | None:
    if patient is None:
        if len(own_patients) > 1:
            raise TokenRefused(f"The user {user.email} acts for several patients; give --patient.")
        return own_patients[0] if own_patients else None
    if patient not in own_patients:
        raise TokenRefused(f"The user {user.email} does not act for this patient.")
    return patient


def _as_patient(membership: UserOrganization, own_patients: Sequence[str]) -> str | None:
    """Return the Patient that a user in the role PATIENT is; for a proxy of several nobody can tell."""
    if membership.role == OrganizationRole.PATIENT and len(own_patients) == 1:
        return f"Patient/{own_patients[0]}"
    return None


def _checked(patient: str | None) -> str | None:
    if patient is not None and not RESOURCE_ID.match(patient):
        raise TokenRefused("The id of a Patient has 1 to 64 letters, digits, dashes or dots.")
    return patient
