"""What clients read first: where everything is, what it can do, and the keys that verify (`smart.md` §§1, 8).

Anybody may read these documents, whatever `Accept` says; they hold nothing of anybody. Addresses are those of the
configured public base, never of the request's `Host` (`smart.md` §16).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from capability.smart import (
    OAUTH_METADATA,
    OPENID_CONFIGURATION,
    PATHS,
    SMART_CONFIGURATION,
    authorization_server_metadata,
    openid_configuration,
    smart_configuration,
)
from fhir_server.fhir.conditions import names_tag
from fhir_server.fhir.negotiation import takes_gzip
from fhir_server.fhir.packing import LEAST_PACKED, gzip
from fhir_server.oauth.endpoints import json_endpoint
from fhir_server.oauth.service import service_of

FHIR_PATH: Final = "/fhir"
SMART_CONFIGURATION_PATH: Final = FHIR_PATH + SMART_CONFIGURATION
DOCUMENT_SECONDS: Final = 3600
"""How long clients and caches may keep a configuration (D10)."""
KEYS_SECONDS: Final = 300
"""How long they may keep the keys: a next key is published for longer before it signs (KY-1, O2)."""
KINDS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    SMART_CONFIGURATION_PATH: smart_configuration,
    OPENID_CONFIGURATION: openid_configuration,
    OAUTH_METADATA: authorization_server_metadata,
}


class _Document(NamedTuple):
    body: bytes
    gzipped: bytes
    etag: str


@lru_cache(maxsize=16)
def _configuration(path: str, base_url: str, *, registration: bool) -> _Document:
    return _document(KINDS[path](base_url, registration=registration))


def _document(content: dict[str, Any]) -> _Document:
    body = msgspec.json.encode(content)
    return _Document(body, gzip(body), f'W/"{blake2b(body, digest_size=12).hexdigest()}"')


async def configuration(request: Request) -> Response:
    """Answer with one of the three configurations."""
    settings = service_of(request).settings
    document = _configuration(request.scope["path"], settings.base_url, registration=settings.takes_registrations)
    return _answer(request, document, DOCUMENT_SECONDS)


async def jwks(request: Request) -> Response:
    """Answer with the public keys that verify, and those that will (O2); never a private member."""
    return _answer(request, _document(service_of(request).ring.jwks()), KEYS_SECONDS)


def _answer(request: Request, document: _Document, seconds: int) -> Response:
    headers = {
        "Cache-Control": f"public, max-age={seconds}",
        "ETag": document.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if names_tag(request.headers.get("if-none-match", ""), document.etag):
        return Response(status_code=304, headers=headers)
    if len(document.body) >= LEAST_PACKED and takes_gzip(request.headers.get("accept-encoding", "")):
        headers["Content-Encoding"] = "gzip"
        return Response(document.gzipped, headers=headers, media_type="application/json")
    return Response(document.body, headers=headers, media_type="application/json")


ROUTES: Final[tuple[Route, ...]] = (
    *(json_endpoint(path, configuration, ("GET",)) for path in KINDS),
    json_endpoint(PATHS["jwks_uri"], jwks, ("GET",)),
)
