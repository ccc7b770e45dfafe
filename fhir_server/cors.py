"""Cross-origin requests of browser apps (security AU-8): exact origins, no credentials, `null` never.

What anybody may read without a token, pages of any origin may read, too (us_core C1).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PUBLIC_METHODS: Final = ("GET", "HEAD", "OPTIONS")
READABLE_HEADERS: Final = ("ETag", "Last-Modified", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id")
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


class CrossOrigin(CORSMiddleware):
    """Answers preflights and names the origin to browsers; what is allowed may change while it runs.

    `public` are the paths that pages of any origin may read.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], public: Collection[str] = ()) -> None:
        super().__init__(
            app,
            allow_origins=(),
            allow_methods=METHODS,
            allow_headers=SENT_HEADERS,
            expose_headers=READABLE_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
        self.origins = frozenset(origins)
        self._public_paths = frozenset(public)
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
        if scope["type"] == "http" and scope["path"] in self._public_paths:
            await self._public(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def allow(self, origins: frozenset[str]) -> None:
        """Replace the allowed origins."""
        self.origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Say whether pages of an origin may read answers."""
        return origin != "null" and origin in self.origins
