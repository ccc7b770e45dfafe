"""What a client that is refused (403) is told to ask for (RFC 6750 §3.1; `smart.md` E1)."""

from __future__ import annotations

from capability.elements import RESOURCE_TYPES
from fhir_server.access import SERVICE
from fhir_server.errors import EntryFailed, NotAuthorised
from fhir_server.oauth.scopes import ANY_TYPE, Level
from storage.access import Access, Right
from storage.errors import InteractionForbidden


def challenge(error: Exception, access: Access | None) -> str:
    """Return the value of `WWW-Authenticate`.

    A scope is named where one is missing, on the level on which the token speaks. It tells what was asked, never
    whether anything is there; a role may lack the right all the same.
    """
    scope = _missing(error, access)
    return 'Bearer realm="fhir", error="insufficient_scope"' + (f', scope="{scope}"' if scope else "")


def _missing(error: Exception, access: Access | None) -> str | None:
    match error:
        case EntryFailed(cause=cause):
            return _missing(cause, access)
        case NotAuthorised(scope=scope):
            return scope
        case InteractionForbidden(resource_type=resource_type, interaction=interaction) if access is not None:
            named = resource_type if resource_type in RESOURCE_TYPES else ANY_TYPE
            return f"{_level(access)}/{named}.{Right[interaction.upper()].value}"
    return None


def _level(access: Access) -> Level:
    if access.role == SERVICE:
        return Level.SYSTEM
    return Level.USER if access.patient is None else Level.PATIENT
