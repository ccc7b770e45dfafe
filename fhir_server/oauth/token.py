"""The token endpoint (RFC 6749 §3.2, `smart.md` §9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from capability.smart import PATHS
from fhir_server.oauth.backoff import GRANT, forget_failures
from fhir_server.oauth.client_auth import ASSERTION_FIELDS, AuthenticatedClient, authenticate_client, client_failures
from fhir_server.oauth.client_credentials import client_credentials
from fhir_server.oauth.endpoints import answer, json_endpoint
from fhir_server.oauth.errors import InvalidRequest, UnsupportedGrantType
from fhir_server.oauth.forms import read_form
from fhir_server.oauth.redeem import redeem_code
from fhir_server.oauth.refresh import refresh
from fhir_server.oauth.service import service_of
from storage.authorization.opaque import digest
from storage.authorization.refresh_tokens import find_refresh_token

GrantType = Callable[[Request, AuthenticatedClient, Mapping[str, str]], Awaitable[Mapping[str, Any]]]

GRANT_TYPES: Final[Mapping[str, GrantType]] = {
    "authorization_code": redeem_code,
    "refresh_token": refresh,
    "client_credentials": client_credentials,
}


async def token(request: Request) -> Response:
    """Answer with tokens; raises OAuthError."""
    form = await read_parameters(request)
    asked = form.get("grant_type")
    if asked is None:
        raise InvalidRequest("grant_type is missing.")
    grant_type = GRANT_TYPES.get(asked)
    if grant_type is None:  # before the client is asked who it is, so that a good assertion is not used up (T8)
        raise UnsupportedGrantType(f"Use one of {', '.join(GRANT_TYPES)}.")
    service_of(request).ring.signing_key()  # where nothing can be signed nothing is spent
    client = await authenticate_client(request, await _named(request, form))
    document = await grant_type(request, client, form)
    if client.failed_before:
        await forget_failures(service_of(request), GRANT, value=client_failures(request, client.client.id))
    return answer(document)


async def read_parameters(request: Request) -> Mapping[str, str]:
    """Return the parameters of the body; those without a value count as left out (RFC 6749 §3.2).

    Raises InvalidRequest, also for anything in the query, which ends up in logs (T14).
    """
    if request.scope["query_string"]:
        raise InvalidRequest("Send the parameters in the body.")
    return {name: value for name, value in (await read_form(request)).items() if value}


async def _named(request: Request, form: Mapping[str, str]) -> Mapping[str, str]:
    """Return the parameters with the id of the client where a refresh token alone tells it.

    The refresh request of SMART App Launch 2.2 has no `client_id`, and its commonest library sends none. It is no
    secret: whoever has the token knows it. A confidential client still has to authenticate.
    """
    told = {"client_id", "client_secret", *ASSERTION_FIELDS} & form.keys() or "authorization" in request.headers
    if form["grant_type"] != "refresh_token" or told or "refresh_token" not in form:
        return form
    known = await find_refresh_token(service_of(request).database, digest(form["refresh_token"]))
    return form if known is None else {**form, "client_id": known.client_id}


ROUTES: Final = (json_endpoint(PATHS["token_endpoint"], token),)
