"""Cross-origin requests of browser apps (security AU-8, `smart.md` §14): exact origins, no credentials, `null` never.

What anybody may read without a token, pages of any origin may read, too (us_core C1, `smart.md` X1). The FHIR interface
and the endpoints that apps call are for the origins that clients registered (X2), pages for people for no other page
(X4).

Which of the registered origins asks is not compared with which client asks: a preflight names no client, and the header
protects a person's browser from pages of strangers, not the server from clients, which prove themselves otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from capability.smart import (
    APP_STATE_PATH,
    OAUTH_METADATA,
    OPENID_CONFIGURATION,
    PATHS,
    REGISTRATION_PATH,
    SMART_CONFIGURATION,
)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PUBLIC_METHODS: Final = ("GET", "HEAD", "OPTIONS")
READABLE_HEADERS: Final = (
    "Content-Location",
    "ETag",
    "Last-Modified",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Progress",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-Id",
)
SENT_HEADERS: Final = (
    "Accept",
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-Modified-Since",
    "If-None-Exist",
    "If-None-Match",
    "Prefer",
    "X-Request-Id",
)
PREFLIGHT_SECONDS: Final = 600
PUBLIC_PATHS: Final = frozenset(
    {
        "/fhir/metadata",
        f"/fhir{SMART_CONFIGURATION}",
        OPENID_CONFIGURATION,
        OAUTH_METADATA,
        PATHS["jwks_uri"],
    }
)
"""What pages of any origin may read: it needs no token."""
PUBLIC_PREFIX: Final = "/static/smart-style-"
"""How an app shall look in an EHR: it names its version in its address."""
APP_STATE_PREFIX: Final = f"{APP_STATE_PATH}/"
"""What apps keep for themselves (`smart.md` §17)."""
APP_PATHS: Final = frozenset(
    {
        *(PATHS[name] for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint")),
        PATHS["userinfo_endpoint"],
        REGISTRATION_PATH,
    }
)
"""What pages of registered origins may call beside the FHIR interface."""


def is_public(path: str) -> bool:
    """Say whether pages of any origin may read what is there (X1)."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIX)


def is_for_apps(path: str) -> bool:
    """Say whether pages of other origins may read what is there at all, the FHIR interface aside (X4)."""
    return path in APP_PATHS or path.startswith(APP_STATE_PREFIX) or is_public(path)


class CrossOrigin(CORSMiddleware):
    """Answers preflights and names the origin to browsers; what is allowed may change while it runs."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=(),
            allow_methods=METHODS,
            allow_headers=SENT_HEADERS,
            expose_headers=READABLE_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
        self.origins = frozenset(origins)
        self._public = CORSMiddleware(
            app,
            allow_origins=("*",),
            allow_methods=PUBLIC_METHODS,
            allow_headers=SENT_HEADERS,
            expose_headers=READABLE_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and is_public(scope["path"]):
            await self._public(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def allow(self, origins: frozenset[str]) -> None:
        """Replace the allowed origins."""
        self.origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Say whether pages of an origin may read answers."""
        return origin != "null" and origin in self.origins
