"""How long tokens live (security OA-6, settled §5, `smart.md` F6), in seconds."""

from __future__ import annotations

from typing import Final

from fhir_server.settings import Settings
from storage.authorization.standing import Standing
from storage.grants import LONGEST_TOKEN_SECONDS
from storage.repositories.entities import Client

BACKEND_SECONDS: Final = 300
"""The longest life of a token that a backend client gets for itself (`smart.md` B2)."""
DAY: Final = 86_400
OFFLINE: Final = "offline_access"
ONLINE: Final = "online_access"


def access_seconds(client: Client, settings: Settings) -> int:
    """Return the life of an access token: the client's own, else that of the settings."""
    return min(client.access_token_ttl or settings.access_token_ttl, LONGEST_TOKEN_SECONDS)


def granted_seconds(client: Client, settings: Settings, standing: Standing, now: int) -> int:
    """Return the life of an access token for a grant; that of emergency access ends with it."""
    seconds = access_seconds(client, settings)
    return seconds if standing.emergency_until is None else max(1, min(seconds, standing.emergency_until - now))


def backend_seconds(client: Client) -> int:
    """Return the life of a token that a client gets for itself."""
    return min(client.access_token_ttl or BACKEND_SECONDS, BACKEND_SECONDS)


def refresh_until(client: Client, settings: Settings, standing: Standing, now: int) -> int | None:
    """Return until when a refresh token of a grant may wait for its use; None: the grant has no refresh tokens (F1).

    It is the least of: the time without use, the time since the grant, the end of the session (`online_access`) and of
    emergency access.
    """
    grant = standing.grant
    words = grant.scope.split()
    if OFFLINE not in words and (ONLINE not in words or standing.session_until is None):
        return None
    idle = client.refresh_token_ttl or settings.refresh_token_idle_days * DAY
    ends = [now + idle, grant.created_at + settings.refresh_token_days * DAY]
    ends += [end for end in (standing.session_until, standing.emergency_until) if end is not None]
    return min(ends)
