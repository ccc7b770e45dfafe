"""Signing in through another issuer: the way there and the way back (issue 6 point 2)."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.external import ProviderUnavailable
from fhir_server.oauth.external_people import person_for
from fhir_server.oauth.external_sign_in import (
    ExternalSignInFailed,
    authorization_address,
    claims_for_code,
    pending_of,
)
from fhir_server.oauth.forms import read_query
from fhir_server.oauth.pace import REFUSED
from fhir_server.oauth.providers import IdentityProvider
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.sessions import PERSON, start_session
from fhir_server.pages.browser import browser_key, browser_of, set_browser
from fhir_server.pages.page import PageRefused, local_path, page, redirect
from storage.authorization.opaque import new_opaque

TITLE: Final = "You were not signed in"
LONGEST: Final = 4096

log = structlog.get_logger("fhir_server.oauth")


def providers_to_sign_in_with(request: Request) -> list[IdentityProvider]:
    """Return the issuers through which people may sign in, in the order of the configuration."""
    return [each for each in service_of(request).external.providers.values() if each.client_id is not None]


async def go_to_provider(request: Request) -> Response:
    """Send the browser to an issuer; it gets a cookie first, to which the way back is bound."""
    service, provider = service_of(request), _provider(request)
    query = read_query(request)
    known = browser_of(request)
    browser = known or new_opaque()
    next_path = local_path(query.get("next"))
    fresh = query.get("fresh") == "1"
    try:
        address = await authorization_address(service, provider, browser_key(browser), next_path, fresh=fresh)
    except ProviderUnavailable:
        raise _unavailable(provider) from None
    response = redirect(service.settings, address)
    if known is None:
        set_browser(response, service.settings, browser)
    return response


async def come_from_provider(request: Request) -> Response:
    """Sign the person in for whom the issuer vouches."""
    service, provider = service_of(request), _provider(request)
    query = read_query(request)
    browser = browser_of(request)
    try:
        if browser is None or query.get("iss", provider.issuer) != provider.issuer:  # RFC 9207: a mix-up
            raise ExternalSignInFailed("browser or issuer")
        pending = pending_of(service, provider, browser_key(browser), query.get("state", ""))
        code = query.get("code", "")
        if "error" in query or not 0 < len(code) <= LONGEST:
            raise ExternalSignInFailed("refused there")
        claims = await claims_for_code(service, provider, pending, code)
        user = await person_for(request, provider, claims)
    except ProviderUnavailable:
        raise _unavailable(provider) from None
    except ExternalSignInFailed as error:
        log.info("external_sign_in_refused", provider=provider.name, reason=str(error))
        service.require_pace(request, REFUSED)
        act = Act("anonymous", PERSON, "session", "sign-in", outcome="denied", status=403, purpose=provider.name)
        await service.note(request, None, act)
        raise PageRefused(403, TITLE, _explanation(provider, str(error))) from None
    return await start_session(request, user, local_path(pending.next_path), identity_provider=provider.name)


def _provider(request: Request) -> IdentityProvider:
    found = service_of(request).external.providers.get(request.path_params["provider"])
    if found is None or found.client_id is None:
        raise PageRefused(404, "There is no such page", "Go back to signing in.")
    return found


def _unavailable(provider: IdentityProvider) -> PageRefused:
    return PageRefused(503, TITLE, f"{provider.title} cannot be reached right now. Try again in a moment.")


def _explanation(provider: IdentityProvider, reason: str) -> str:
    """Return what to tell a person; whether an account exists here is told to the one whom the issuer vouches for."""
    match reason:
        case "unknown" | "no role" | "no organization" | "disabled" | "address taken":
            return f"Your account at {provider.title} opens nothing here. Ask the people who run this site."
        case "refused there":
            return f"You did not sign in at {provider.title}. Go back and try again."
        case _:
            return "Too much time went by, or the way back was not the one you took. Go back and sign in again."


ROUTES: Final = (
    page("/sign-in/with/{provider}", go_to_provider),
    page("/sign-in/from/{provider}", come_from_provider),
)
