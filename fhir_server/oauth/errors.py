"""Errors of the OAuth endpoints, and how each is answered (RFC 6749 §5.2; style.md §6).

    OAuthError
    ├── InvalidRequest            400 invalid_request
    ├── InvalidClient             401 invalid_client (§5.2: with WWW-Authenticate where Basic was tried)
    ├── InvalidGrant              400 invalid_grant
    ├── UnauthorizedClient        400 unauthorized_client
    ├── UnsupportedGrantType      400 unsupported_grant_type
    ├── InvalidScopes             400 invalid_scope
    ├── AccessDenied              400 access_denied
    ├── InvalidToken              401 invalid_token (RFC 6750 §3.1)
    ├── InsufficientScope         403 insufficient_scope (RFC 6750 §3.1)
    ├── InvalidRedirectUri        400 invalid_redirect_uri (RFC 7591 §3.2.2)
    ├── InvalidClientMetadata     400 invalid_client_metadata
    ├── InvalidSoftwareStatement  400 invalid_software_statement
    ├── UnsupportedTokenType      400 unsupported_token_type (RFC 7009 §2.2.1)
    └── TooManyAttempts           429 slow_down

The message becomes `error_description`: it never tells which check failed where that would help an attacker, and never
holds what a client sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class OAuthError(Exception):
    """A request to an OAuth endpoint is refused."""

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers that the answer has beside those of every answer."""
        return {}


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed."""


class InvalidClient(OAuthError):
    """The client is unknown, disabled or not authenticated; `tried_basic` when it sent an Authorization header.

    `why`, and the `client_id` that it claimed if it is one of ours, are for the log: the answer is always the same.
    """

    code = "invalid_client"
    status = 401

    def __init__(
        self,
        description: str = "The client could not be authenticated in the way that it is registered for.",
        *,
        tried_basic: bool = False,
        why: str = "",
        client_id: str | None = None,
    ) -> None:
        super().__init__(description)
        self.tried_basic = tried_basic
        self.why = why
        self.client_id = client_id

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6749 §5.2: the scheme that was tried."""
        return {"WWW-Authenticate": 'Basic realm="oauth", charset="UTF-8"'} if self.tried_basic else {}


class InvalidGrant(OAuthError):
    """A code or a refresh token is not valid, or not this client's."""

    code = "invalid_grant"

    def __init__(self, description: str = "The code or refresh token is not valid; start again.") -> None:
        super().__init__(description)


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The grant type is none of those served."""

    code = "unsupported_grant_type"


class InvalidScopes(OAuthError):
    """Nothing of the scopes asked for can be granted."""

    code = "invalid_scope"


class AccessDenied(OAuthError):
    """A person refused."""

    code = "access_denied"


class InvalidToken(OAuthError):
    """The bearer of a request to an OAuth endpoint is not known."""

    code = "invalid_token"
    status = 401

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 §3."""
        return {"WWW-Authenticate": 'Bearer realm="oauth", error="invalid_token"'}


class InsufficientScope(OAuthError):
    """The access token was not granted `scope`, which this needs."""

    code = "insufficient_scope"
    status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"The access token has no scope {scope}.")
        self.scope = scope

    @property
    def headers(self) -> Mapping[str, str]:
        """RFC 6750 §3."""
        return {"WWW-Authenticate": f'Bearer realm="oauth", error="insufficient_scope", scope="{self.scope}"'}


class InvalidRedirectUri(OAuthError):
    """A redirect URI cannot be registered."""

    code = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """A member of a registration cannot be used."""

    code = "invalid_client_metadata"


class InvalidSoftwareStatement(OAuthError):
    """Software statements are not taken."""

    code = "invalid_software_statement"


class UnsupportedTokenType(OAuthError):
    """The type of a token to be revoked is none that is revoked here."""

    code = "unsupported_token_type"


class TooManyAttempts(OAuthError):
    """Too many failed attempts; `retry_after` in seconds."""

    code = "slow_down"
    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many failed attempts; wait a while.")
        self.retry_after = retry_after

    @property
    def headers(self) -> Mapping[str, str]:
        """When to come back."""
        return {"Retry-After": str(self.retry_after)}
