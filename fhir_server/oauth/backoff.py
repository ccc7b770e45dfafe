"""Waits after failed attempts, as endpoints and pages know them; storage counts (security AU-3, smart.md T16)."""

from __future__ import annotations

import hashlib
import hmac

from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.service import OAuthService
from storage.authorization.failures import FREE_FAILURES, cleared, failed

PURPOSE = "failures"
"""Purpose of the derived key that what failed is hashed with."""
CLIENT = "client"
"""Wrong secrets."""
GRANT = "grant"
"""Codes and refresh tokens that are none."""
FREE_GRANTS = 50
"""A portal refreshes for all its people from one address, and some of them will have withdrawn; each success clears."""


def failure_value(service: OAuthService, *words: str) -> str:
    """Return what failures of something are counted under: an HMAC, so that the table names nobody."""
    said = "\0".join(words).encode("utf-8", "surrogatepass")
    return hmac.digest(service.settings.derive(PURPOSE), said, hashlib.sha256).hex()


def require_patience(service: OAuthService, blocked_until: int) -> None:
    """Raise TooManyAttempts before an instant (seconds since 1970 UTC)."""
    wait = blocked_until - service.seconds
    if wait > 0:
        raise TooManyAttempts(wait)


async def count_failure(service: OAuthService, kind: str, value: str) -> None:
    """Count a failure, in a transaction of its own: it stays whatever becomes of the request."""
    async with service.database.platform() as connection:
        await failed(connection, kind, value, service.seconds, free=FREE_GRANTS if kind == GRANT else FREE_FAILURES)


async def forget_failures(service: OAuthService, *kinds: str, value: str) -> None:
    """Forget the failures: this attempt was right."""
    async with service.database.platform() as connection:
        for kind in kinds:
            await cleared(connection, kind, value)
