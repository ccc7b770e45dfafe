"""What can be wrong with a request. Errors carry facts; `outcome.py` decides how they look.

RequestError
├── Unauthenticated           no access token, or one that is not valid
├── NotAuthorised             the caller may not do this at all
└── MalformedAuthorization    the request carries its credentials in a way that is not allowed
"""

from __future__ import annotations


class RequestError(Exception):
    """Root of what is wrong with a request; the message says what and the remedy, never a value of the request."""


class Unauthenticated(RequestError):
    """There is no access token, or it is not valid (RFC 6750 §3).

    `error` is the code for `WWW-Authenticate`; None when no credentials were sent. `expired` tells a token whose life
    is over from the others.
    """

    def __init__(self, error: str | None, description: str, *, expired: bool = False) -> None:
        super().__init__(description)
        self.error = error
        self.expired = expired

    @property
    def challenge(self) -> str:
        """Return the value of the `WWW-Authenticate` header."""
        challenge = 'Bearer realm="fhir"'
        return challenge if self.error is None else f'{challenge}, error="{self.error}", error_description="{self}"'


class NotAuthorised(RequestError):
    """The caller's scopes or role do not allow this; `scope` names a scope that would."""

    def __init__(self, description: str, *, scope: str | None = None) -> None:
        super().__init__(description)
        self.scope = scope


class MalformedAuthorization(RequestError):
    """Credentials were sent twice, in the query or in a form that cannot be read."""
