"""What `client registration-token` does."""

from __future__ import annotations

import time
from typing import Any

from fhir_server.cli.installation import Act, Installation
from fhir_server.cli.output import CommandFailed
from storage.authorization.opaque import new_opaque
from storage.authorization.registration_tokens import add_registration_token


async def make_registration_token(
    installation: Installation, organization_id: str | None, lifetime: int
) -> dict[str, Any]:
    """Return a token with which one app may register itself for an organization within `lifetime` seconds.

    Raises CommandFailed where apps cannot register themselves.
    """
    settings = installation.settings
    if not settings.takes_registrations:
        raise CommandFailed("Apps do not register themselves here; set FHIR_SERVER_REGISTRATION=token first.")
    organization = await installation.organization(organization_id)
    token, now = new_opaque(), int(time.time())
    async with installation.acting(organization.id, Act("clients", "write", "registration-token")) as unit:
        await add_registration_token(unit.connection, token, organization.id, now, now + lifetime)
    return {
        "registration_token": token,
        "organization": organization.id,
        "registration_endpoint": f"{settings.base_url}/oauth/register",
        "expires_in": lifetime,
    }
