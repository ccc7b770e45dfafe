"""Token introspection (RFC 7662, `smart.md` I1 to I5, security OA-14).

A client learns of its own tokens; one that is registered to introspect learns of every access token of its
organization; whoever holds an access token may ask for that one. Everything else is inactive, whatever it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from capability.smart import PATHS
from fhir_server.access import Caller
from fhir_server.errors import MalformedAuthorization, NotAuthorised, Unauthenticated
from fhir_server.oauth.client_auth import authenticate_client
from fhir_server.oauth.endpoints import answer, json_endpoint
from fhir_server.oauth.errors import InvalidClient, InvalidRequest
from fhir_server.oauth.granted import context_of
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.standing import fallen
from fhir_server.oauth.token import read_parameters
from storage.authorization.clients import look_up_client
from storage.authorization.opaque import digest
from storage.authorization.refresh_tokens import find_refresh_token
from storage.authorization.standing import find_standing
from storage.repositories.entities import Client

INACTIVE: Final[Mapping[str, Any]] = {"active": False}
"""All that is said of a token that is none, is over, or is nobody's business (I3)."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who introspects: the bearer of a token, or a client that authenticated.

    `own_token` is the bearer's token, which it may ask for. `client` is None for bearers without more rights than that.
    """

    role: str
    name: str
    client: Client | None
    own_token: str | None = None

    def may_see(self, token: str, client_id: str, organization_id: str) -> bool:
        """Return whether it is told of an access token."""
        if self.own_token is not None and token == self.own_token:
            return True
        if self.client is None:
            return False
        if self.client.may_introspect and self.client.organization_id == organization_id:
            return True
        return self.owns(client_id)

    def owns(self, client_id: str) -> bool:
        """Return whether a client asks for a token of its own; bearers are not asked for their secret."""
        return self.own_token is None and self.client is not None and self.client.id == client_id


async def introspect(request: Request) -> Response:
    """Answer what a token is good for; raises InvalidClient and InvalidToken without authentication."""
    form = await read_parameters(request)
    asker = await _asker(request, form)
    token = form.get("token")
    if token is None:
        raise InvalidRequest("token is missing.")
    service = service_of(request)
    caller = await verified(service, token)
    if caller is None:
        return answer(await _of_refresh_token(service, asker, token))
    if not asker.may_see(token, caller.client_id, caller.organization_id):
        return answer(INACTIVE)
    document = await _of_access_token(service, caller)
    act = Act(asker.name, asker.role, "access_token", "introspect", action="read", ids=(caller.token_id,))
    await service.note(request, caller.organization_id, act)
    return answer(document)


async def verified(service: OAuthService, token: str) -> Caller | None:
    """Return the claims of an access token that works at the FHIR endpoint; None for everything else."""
    try:
        return await service.authenticator.caller([(b"authorization", b"Bearer " + token.encode())], b"")
    except (Unauthenticated, MalformedAuthorization, NotAuthorised):
        return None


async def _asker(request: Request, form: Mapping[str, str]) -> Asker:
    """Return who asks (I4): a bearer, or a client by Basic or a signed assertion; nobody by a name alone."""
    service = service_of(request)
    header = request.headers.get("authorization", "")
    if header[:7].lower() == "bearer ":
        caller = await service.authenticator.caller(request.headers.raw, b"")
        known = await look_up_client(service.database, caller.client_id, "")
        client = known.client
        trusted = client is not None and client.is_active and known.organization_is_active and client.may_introspect
        return Asker(caller.role, caller.subject, client if trusted else None, header[7:].strip())
    asking = await authenticate_client(request, form)
    if asking.method == "none":
        raise InvalidClient
    return Asker(asking.role, asking.client.id, asking.client)


async def _of_access_token(service: OAuthService, caller: Caller) -> Mapping[str, Any]:
    """Return what is told of an access token (I2): also the launch context that was answered with it."""
    context: Mapping[str, Any] = {} if caller.patient is None else {"patient": caller.patient}
    if caller.grant_id is not None:
        standing = await find_standing(service.database, caller.grant_id)
        if standing is None or standing.grant.revoked_at is not None:
            return INACTIVE  # revoked since this worker last looked
        context = context_of(standing.grant)
    return {
        "active": True,
        "token_type": "Bearer",
        "scope": caller.scope,
        "client_id": caller.client_id,
        "sub": caller.subject,
        "iss": service.issuer.issuer,
        "aud": service.issuer.audience,
        "iat": caller.issued_at,
        "exp": caller.expires_at,
        **({"fhirUser": f"{service.settings.fhir_base}/{caller.fhir_user}"} if caller.fhir_user else {}),
        **context,
    }


async def _of_refresh_token(service: OAuthService, asker: Asker, token: str) -> Mapping[str, Any]:
    """Return what a client is told of its own refresh token, and nobody else of any (I5)."""
    known = await find_refresh_token(service.database, digest(token))
    if known is None or asker.client is None or not asker.owns(known.client_id):
        return INACTIVE
    if known.used_at is not None or known.revoked_at is not None or known.expires_at <= service.seconds:
        return INACTIVE
    standing = await find_standing(service.database, known.grant_id)
    if standing is None or fallen(standing, asker.client, service.settings, service.seconds) is not None:
        return INACTIVE
    return {
        "active": True,
        "scope": standing.grant.scope,
        "client_id": known.client_id,
        "sub": standing.grant.user_id or known.client_id,
        "iss": service.issuer.issuer,
        "iat": known.issued_at,
        "exp": known.expires_at,
        **context_of(standing.grant),
    }


ROUTES: Final = (json_endpoint(PATHS["introspection_endpoint"], introspect),)
