"""Why something is not loaded, in words that name the place and the remedy and quote no value.

RequestError
└── NotLoadable           a file, or a part of it, cannot be loaded
"""

from __future__ import annotations

from fhir_server.errors import InvalidResource, MalformedBody, RequestError
from storage.errors import ResourceNotFound, StorageError, UnresolvedReference

SHOWN_FAULTS = 5


class NotLoadable(RequestError):
    """A file or a part of it cannot be loaded; the message says why and what would help."""


def reason_of(error: Exception) -> str:
    """Return what to tell of an error that kept something from being loaded."""
    match error:
        case InvalidResource():
            shown = [f"{issue.expression}: {issue.diagnostics}" for issue in error.issues[:SHOWN_FAULTS]]
            more = len(error.issues) - len(shown)
            return "; ".join(shown) + (f"; and {more} more" if more else "")
        case MalformedBody() if error.expressions:
            return f"{', '.join(error.expressions)}: {error}"
        case UnresolvedReference():
            return f"{error.expression}: {error}; load what it refers to first"
        case ResourceNotFound() | StorageError() | RequestError():
            return str(error) or type(error).__name__
        case OSError():
            return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"
