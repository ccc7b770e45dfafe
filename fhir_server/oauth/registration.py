"""Apps that register themselves: `POST /oauth/register` (RFC 7591, `smart.md` R4, security OA-14).

Switched off unless the operator says otherwise, and then behind initial access tokens, each of which is good for one
app of one organization. What is made by the way is audited, and attempts from one address are slowed down.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.authenticate import bearer_token
from fhir_server.oauth.backoff import failure_value
from fhir_server.oauth.client_metadata import BASIC, NONE, ClientMetadata, client_of, read_metadata, told
from fhir_server.oauth.endpoints import answer, json_endpoint
from fhir_server.oauth.errors import InvalidClientMetadata, InvalidToken, TooManyAttempts
from fhir_server.oauth.forms import read_body
from fhir_server.oauth.pace import network_of
from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret, new_client_secret
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.strict_json import decode_object
from fhir_server.settings import SelfRegistration
from storage.authorization.failures import attempted
from storage.authorization.registration_tokens import registering_organization, use_registration_token
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.transaction import UnitOfWork

JSON: Final = "application/json"
ATTEMPTS: Final = "registration"
"""What attempts are counted as; right ones count too."""
FREE_ATTEMPTS: Final = 20
NOT_SERVED: Final = {"error": "invalid_request", "error_description": "Apps do not register themselves here."}


async def register_client(request: Request) -> Response:
    """Answer a registration with 201 and what is registered; a secret is told this once."""
    service = service_of(request)
    if not service.settings.takes_registrations:
        return answer(NOT_SERVED, 404)
    await _count_attempt(request, service)
    token, organization_id = await _permission(request, service)
    said = read_metadata(_document(await read_body(request, JSON)))
    _check_keys_address(service, said)
    is_for_all = token is None and said.token_endpoint_auth_method == NONE
    client = client_of(said, f"app_{secrets.token_urlsafe(18)}", None if is_for_all else organization_id)
    secret = new_client_secret() if said.token_endpoint_auth_method == BASIC else None
    if secret is not None:
        client = replace(client, secret=hash_client_secret(service.settings.derive(CLIENT_SECRETS), secret))
    act = Act(client.id, "APP", "client", "register", ids=(client.id,), client_id=client.id, status=201)
    async with service.acting(request, organization_id, act) as unit:
        await _insert(unit, client, token, service.seconds)
    document = told(client, said.token_endpoint_auth_method) | {"client_id_issued_at": service.seconds}
    if secret is not None:
        document |= {"client_secret": secret, "client_secret_expires_at": 0}
    return answer(document, 201)


async def _count_attempt(request: Request, service: OAuthService) -> None:
    """Count every attempt from an address, and refuse those that come too often (security RL-1)."""
    value, now = failure_value(service, ATTEMPTS, network_of(request)), service.seconds
    async with service.database.platform() as connection:
        wait = await attempted(connection, ATTEMPTS, value, now, free=FREE_ATTEMPTS)
    if wait > 0:
        raise TooManyAttempts(wait)


async def _permission(request: Request, service: OAuthService) -> tuple[str | None, str]:
    """Return the initial access token, where one is asked for, and the organization of the new client.

    Where everybody may register, an app with a secret or keys belongs to the organization of the settings, one without
    to none: it works for that of whoever signs in. Raises InvalidToken, Unauthenticated and MalformedAuthorization;
    tokens that are no good are audited.
    """
    if service.settings.registration is SelfRegistration.OPEN:
        return None, service.settings.organization
    token = bearer_token(request.headers.raw, request.scope["query_string"]).decode("latin-1")
    async with service.database.platform_read() as connection:
        organization_id = await registering_organization(connection, token, service.seconds)
    if organization_id is None:
        await service.note(request, None, Act("anonymous", "APP", "client", "register", outcome="denied", status=401))
        raise _no_good()
    return token, organization_id


async def _insert(unit: UnitOfWork, client: Client, token: str | None, now: int) -> None:
    if token is not None and not await use_registration_token(unit.connection, token, now):
        raise _no_good()
    await ClientRepository(unit.connection).insert(client)


def _no_good() -> InvalidToken:
    return InvalidToken("The registration token is not valid; ask the operator for one.")


def _document(body: bytes) -> dict[str, object]:
    try:
        return decode_object(body)
    except ValueError:
        raise InvalidClientMetadata("Send one JSON object in which each name stands once.") from None


def _check_keys_address(service: OAuthService, said: ClientMetadata) -> None:
    """Refuse an address of keys that could never be asked; names are looked up when they are (R5)."""
    if said.jwks_uri is not None and not service.outgoing.may_ask(said.jwks_uri):
        raise InvalidClientMetadata("jwks_uri cannot be used as it is.")


ROUTES: Final = (json_endpoint("/oauth/register", register_client),)
