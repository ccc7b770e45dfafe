"""Looks up client or user, and signs and records the token that they may have."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.access import BREAK_GLASS
from fhir_server.cli.emergencies import emergency_token, open_emergency
from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.keys import SIGNING_KEYS, KeyCipher, KeyRing
from fhir_server.oauth.operator import choose_membership, client_token, user_token
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from storage.grants import load_keys
from storage.repositories.platform import (
    ClientRepository,
    OrganizationRepository,
    UserOrganizationRepository,
    UserRepository,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The token asked for; `lifetime` in seconds."""

    scope: str
    client: str | None = None
    user: str | None = None
    patient: str | None = None
    organization: str | None = None
    lifetime: int | None = None
    break_glass: str | None = None
    """Why there has to be emergency access."""


async def issue_token(installation: Installation, wanted: Wanted) -> dict[str, Any]:
    """Return a token response (RFC 6749 §5.1) with its launch context.

    Raises CommandFailed and TokenRefused; NoSigningKey before `init`.
    """
    settings = installation.settings
    lifetime = wanted.lifetime or settings.access_token_ttl
    request = await _request_for(installation, wanted, lifetime)
    await installation.organization(request.organization_id)
    ring = KeyRing(KeyCipher(settings.derive(SIGNING_KEYS)), await load_keys(installation.database))
    token = issue(request, Issuer(settings.base_url, settings.fhir_base), ring, int(time.time()))
    act = Act("access_token", "write", "token", (request.subject,), request.client_id, request.token_id)
    if request.break_glass_id is not None:
        act = replace(act, patient=request.patient, purpose=BREAK_GLASS)
    async with installation.acting(request.organization_id, act) as unit:
        if request.break_glass_id is not None:
            await open_emergency(unit, request, str(wanted.break_glass))
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": request.scope}
    return answer if request.patient is None else answer | {"patient": request.patient}


async def _request_for(installation: Installation, wanted: Wanted, lifetime: int) -> TokenRequest:
    if wanted.user is None:
        return await _for_client(installation, str(wanted.client), wanted, lifetime)
    if wanted.break_glass is None:
        return await _for_user(installation, wanted.user, wanted, lifetime)
    patient = str(wanted.patient)
    return await emergency_token(
        installation, wanted.user, wanted.organization, patient, scope=wanted.scope, lifetime=lifetime
    )


async def _for_client(installation: Installation, client_id: str, wanted: Wanted, lifetime: int) -> TokenRequest:
    async with installation.database.platform() as connection:
        client = await ClientRepository(connection).find(client_id)
    if client is None:
        raise CommandFailed(f"There is no client {client_id}; register it with `fhir-server client add`.")
    return client_token(
        client,
        organization_id=wanted.organization,
        default_organization=installation.settings.organization,
        scope=wanted.scope,
        patient=wanted.patient,
        ttl=lifetime,
    )


async def _for_user(installation: Installation, email: str, wanted: Wanted, lifetime: int) -> TokenRequest:
    async with installation.database.platform() as connection:
        users = UserRepository(connection)
        user = await users.by_email(email)
        if user is None:
            raise CommandFailed(f"There is no user {email}; add one with `fhir-server user add`.")
        active = {row.id for row in await OrganizationRepository(connection).all() if row.is_active}
        memberships = await UserOrganizationRepository(connection).of_user(user.id)
        open_ones = [each for each in memberships if each.organization_id in active]
        membership = choose_membership(user, open_ones, wanted.organization)
        own_patients = await users.patients_of(user.id, membership.organization_id)
    return user_token(user, membership, own_patients, scope=wanted.scope, patient=wanted.patient, ttl=lifetime)
