"""The authorization endpoint: it checks, keeps the request, and sends the browser to our own pages (A1–A13).

It sets no cookie and looks at none: a POST comes from the app's site, without our cookies, and may only start a flow.
What follows has an address of its own, which the first browser that comes for it owns.
"""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.authorization_checks import (
    Pairs,
    Parameters,
    Rejected,
    check,
    client_id_of,
    rejection_address,
)
from fhir_server.oauth.forms import pairs_of, read_pairs
from fhir_server.oauth.pace import AUTHORIZE
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.pages.page import PageRefused, page, redirect
from mappers.rows import Organization
from storage.authorization.launches import use_launch
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.requests import REQUEST_SECONDS, AuthorizationRequest, add_request
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository, OrganizationRepository

PATH: Final = "/oauth/authorize"

log = structlog.get_logger("fhir_server.oauth")


async def authorize(request: Request) -> Response:
    """Start a flow: keep what the app asks for, and go where a person answers."""
    service = service_of(request)
    service.require_pace(request, AUTHORIZE)
    pairs = await _pairs(request)
    client_id = client_id_of(pairs)
    client = await _client(service, client_id)
    try:
        parameters = check(pairs, client, service.settings)
        transaction = await _keep(request, client_id, parameters)
    except PageRefused as error:
        if client is not None:  # one that is switched off, or in whose name another address is asked for
            refused = Act("", "", "client", "authorize", outcome="denied", status=error.status, client_id=client_id)
            await service.note(request, client.organization_id, refused)
        raise
    except Rejected as error:
        log.info("authorization_rejected", client=client_id, error=error.code, why=error.description)
        return redirect(service.settings, rejection_address(error, service.settings.base_url))
    return redirect(service.settings, f"/authorize/{transaction}")


async def _pairs(request: Request) -> Pairs:
    if request.method == "POST":
        return await read_pairs(request)
    return pairs_of(request.scope["query_string"])


async def _client(service: OAuthService, client_id: str) -> Client | None:
    """Return a client; None for one that is unknown, or whose organization was switched off."""
    async with service.database.platform_read() as connection:
        client = await ClientRepository(connection).find(client_id)
        if client is None or client.organization_id is None:
            return client
        organization: Organization | None = await OrganizationRepository(connection).find(client.organization_id)
        return client if organization is not None and organization.is_active else None


async def _keep(request: Request, client_id: str, parameters: Parameters) -> str:
    """Keep a request and return its transaction id; the launch that it came with is spent in the same transaction.

    Raises Rejected for a launch that is unknown, expired, used or another client's (L3).
    """
    service, transaction, now = service_of(request), new_opaque(), service_of(request).seconds
    launch_id = digest(parameters.launch) if parameters.launch is not None else None
    async with service.acting(request, None) as unit:
        if launch_id is not None and await use_launch(unit.connection, launch_id, client_id, now) is None:
            refused = True
        else:
            refused = False
            kept = AuthorizationRequest(
                id=digest(transaction),
                client_id=client_id,
                parameters=parameters.to_json(),
                created_at=now,
                expires_at=now + REQUEST_SECONDS,
                launch_id=launch_id,
            )
            await add_request(unit.connection, kept)
    if refused:
        await service.note(
            request, None, Act("", "", "launch", "use", outcome="denied", status=303, client_id=client_id)
        )
        raise Rejected(
            "invalid_request", "launch is not valid; launch again.", parameters.redirect_uri, parameters.state
        )
    return transaction


ROUTES: Final = (page(PATH, authorize, ("GET", "POST")),)
