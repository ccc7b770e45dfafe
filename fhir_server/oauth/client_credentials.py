"""`grant_type=client_credentials`: a backend service gets a token for itself (`smart.md` B1 to B4, security OA-9)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from starlette.requests import Request

from fhir_server.access import RESOURCE_TYPES, SERVICE
from fhir_server.oauth.client_auth import AuthenticatedClient
from fhir_server.oauth.errors import InvalidScopes, UnauthorizedClient
from fhir_server.oauth.lifetimes import backend_seconds
from fhir_server.oauth.scopes import InvalidScope, Level, grant_text, parse_scope
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.tokens import TokenRequest, issue
from storage.tables.enums import ClientType


async def client_credentials(
    request: Request, asking: AuthenticatedClient, form: Mapping[str, str]
) -> Mapping[str, Any]:
    """Return the token response for a backend client; it has no refresh token and no id_token.

    Raises UnauthorizedClient for any other client, InvalidScopes without a scope and where nothing is left of it. That
    its organization is not disabled was asked when its assertion was.
    """
    client = asking.client
    if client.type != ClientType.BACKEND or client.organization_id is None or asking.method != "private_key_jwt":
        raise UnauthorizedClient("Only backend clients with a key may use client_credentials.")
    scope = granted_scope(form.get("scope", ""), client.scope)
    service = service_of(request)
    token = TokenRequest(
        subject=client.id,
        client_id=client.id,
        organization_id=client.organization_id,
        role=SERVICE,
        scope=scope,
        lifetime=backend_seconds(client),
        is_partner=client.is_partner,
    )
    act = Act(client.id, SERVICE, "access_token", "client_credentials", status=200, ids=(token.token_id,))
    await service.note(request, client.organization_id, act)
    return {
        "access_token": issue(token, service.issuer, service.ring, service.seconds),
        "token_type": "bearer",  # spelt so in SMART App Launch, backend-services
        "expires_in": token.lifetime,
        "scope": scope,
    }


@lru_cache(maxsize=256)
def granted_scope(requested: str, registered: str) -> str:
    """Return the `system/` scopes that are both asked for and registered, as they are spelt; raises InvalidScopes.

    There is no user and no patient, so scopes of those levels mean nothing here (C12).
    """
    if not requested.split():
        raise InvalidScopes("scope is missing.")
    own = [word for word in registered.split() if _is_system(word)]
    try:
        return grant_text(requested, " ".join(own), RESOURCE_TYPES)
    except InvalidScope as error:
        raise InvalidScopes(str(error)) from None


def _is_system(word: str) -> bool:
    scope = parse_scope(word, RESOURCE_TYPES)
    return scope is not None and scope.level is Level.SYSTEM
