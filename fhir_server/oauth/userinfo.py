"""UserInfo (OpenID Connect Core §5.3; `smart.md` O8): who signed in, for who holds an access token with `openid`."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from capability.smart import PATHS
from fhir_server.oauth.endpoints import answer, json_endpoint
from fhir_server.oauth.errors import InsufficientScope
from fhir_server.oauth.identity import person_claims
from fhir_server.oauth.service import service_of

OPENID: Final = "openid"
FHIR_USER: Final = "fhirUser"


async def userinfo(request: Request) -> Response:
    """Answer with the claims of the identity token that may change with time: the subject and its FHIR resource.

    The token comes in the Authorization header only, by GET and by POST (OA-11). Raises InsufficientScope for a token
    without `openid`, as those of clients acting for themselves are.
    """
    service = service_of(request)
    caller = await service.authenticator.caller(request.headers.raw, request.scope["query_string"])
    granted = caller.scope.split()
    if OPENID not in granted:
        raise InsufficientScope(OPENID)
    fhir_user = caller.fhir_user if FHIR_USER in granted else None
    return answer(person_claims(caller.subject, fhir_user, service))


ROUTES: Final[tuple[Route, ...]] = (json_endpoint(PATHS["userinfo_endpoint"], userinfo, ("GET", "POST")),)
