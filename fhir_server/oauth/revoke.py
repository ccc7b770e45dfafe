"""Token revocation (RFC 7009, `smart.md` V1): a client gives back what it was issued.

A refresh token takes its family along, an access token goes alone. What is unknown, over or another client's is
answered alike: 200, nothing done.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from capability.smart import PATHS
from fhir_server.access import Caller
from fhir_server.oauth.client_auth import AuthenticatedClient, authenticate_client
from fhir_server.oauth.endpoints import answer, json_endpoint
from fhir_server.oauth.errors import InvalidRequest, UnsupportedTokenType
from fhir_server.oauth.introspect import verified
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.token import read_parameters
from storage.authorization.grants import revoke_grant
from storage.authorization.opaque import digest
from storage.authorization.refresh_tokens import RefreshToken, find_refresh_token
from storage.grants import RevocationKind, instant, revoke

TOKEN_TYPES: Final = frozenset({"access_token", "refresh_token"})
GIVEN_BACK: Final = "revoked by the app"


async def revoke_token(request: Request) -> Response:
    """Revoke a token of the client that asks.

    Raises InvalidClient, InvalidRequest without a token, UnsupportedTokenType for a hint at any other kind of token.
    """
    form = await read_parameters(request)
    asking = await authenticate_client(request, form)
    token = form.get("token")
    if token is None:
        raise InvalidRequest("token is missing.")
    if form.get("token_type_hint", "access_token") not in TOKEN_TYPES:
        raise UnsupportedTokenType("Access tokens and refresh tokens can be revoked.")
    service = service_of(request)
    caller = await verified(service, token)
    if caller is not None:
        if caller.client_id == asking.client.id:
            await _revoke_access_token(request, asking, caller)
    else:
        known = await find_refresh_token(service.database, digest(token))
        if known is not None and known.client_id == asking.client.id and known.revoked_at is None:
            await _revoke_family(request, asking, known)
    return answer({})


async def _revoke_access_token(request: Request, asking: AuthenticatedClient, caller: Caller) -> None:
    """Revoke one access token; this worker knows on return, the others within a second."""
    service = service_of(request)
    ids = (caller.token_id,)
    act = Act(
        caller.subject,
        caller.role,
        "access_token",
        "revoke",
        ids=ids,
        client_id=asking.client.id,
        grant_id=caller.grant_id,
    )
    async with service.acting(request, caller.organization_id, act) as unit:
        moment, until = instant(service.seconds), instant(caller.expires_at)
        await revoke(unit.connection, RevocationKind.TOKEN, caller.token_id, moment, until)
    await service.revocations.refresh()


async def _revoke_family(request: Request, asking: AuthenticatedClient, token: RefreshToken) -> None:
    """Revoke a grant with everything that was issued for it."""
    service = service_of(request)
    act = Act(
        asking.client.id,
        asking.role,
        "grant",
        "revoke",
        ids=(token.grant_id,),
        client_id=asking.client.id,
        grant_id=token.grant_id,
    )
    async with service.acting(request, token.organization_id, act) as unit:
        await revoke_grant(unit.connection, token.grant_id, GIVEN_BACK, service.seconds)
    await service.revocations.refresh()


ROUTES: Final = (json_endpoint(PATHS["revocation_endpoint"], revoke_token),)
