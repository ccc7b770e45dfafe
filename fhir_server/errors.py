"""What can be wrong with a request. Errors carry facts; `outcome.py` decides how they look.

RequestError
├── Unauthenticated               no access token, or one that is not valid
├── NotAuthorised                 the caller may not do this at all
├── MalformedAuthorization        the request carries its credentials in a way that is not allowed
├── UnknownAddress                nothing is served at this path
├── UnknownResourceType           the path names no resource type of R4
├── NoCompartment                 no compartment of this kind holds what is searched
├── OperationNotSupported         an operation, or an interaction of FHIR, that this server does not have
├── InteractionNotSupported       the path is known, the method is not allowed there
├── UnsupportedMediaType          the body is of a kind that is not read
│   └── UnsupportedPatch          the body of a PATCH is no kind of patch that is read
├── NotAcceptable                 no representation that the client takes
├── InvalidHeader                 a header does not have its form
├── InvalidParameter              a query parameter is not known or its value does not have its form
│   ├── ParameterNotKnown         no such search parameter of the type
│   └── ParameterTooCostly        a limit of searches was passed
├── UnsupportedParameter          a feature of searches that this server does not have
├── InvalidId                     the id of a written resource cannot be one
├── TypeMismatch                  the body is a resource of another type than the path names
├── IdMismatch                    the body's id is not that of the path
├── MalformedBody                 the body is missing or no JSON that can be kept
│   └── NumberOutOfRange          a JSON number is too long, or infinite for most readers
├── HeadersTooLarge               request line and headers have too many bytes
├── BodyTooLarge                  the body has too many bytes
├── BodyTooSlow                   the body did not come in time
├── BodyTooComplex                the body nests too deeply, or has too many values or entries
├── InvalidResource               elements, types or cardinalities are not those of the resource type
│   └── RuleBroken                well-formed, but a required binding or an invariant does not hold
├── InvalidBundle                 the Bundle cannot be a batch or transaction
│   └── DuplicateEntry            two entries of a transaction write the same resource
├── UnresolvedEntry               a `urn:` reference of a transaction names none of its entries
├── ConditionalReferenceFailed    a conditional reference finds no resource, or several
├── PreconditionFailed            a condition of the request does not hold
│   └── MultipleMatches           the criteria of a conditional interaction find several resources
├── PreconditionRequired          the request has to name the version that it changes
├── NoMatch                       the criteria of a conditional patch find no resource
├── PatchFailed                   an operation of a patch cannot be carried out on the resource
│   └── ElementFixed              it would change what only the server or another operation may change
├── Throttled                     too many requests
├── Overloaded                    as many requests as the worker takes are under way
└── EntryFailed                   an entry of a transaction failed, and with it all of them

No message holds a value of the request: values may be patient data, and messages are logged and shown. Messages name
the element and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

RULE_CODES: Final = frozenset({"code-invalid", "invariant", "business-rule"})
"""Issue types of what parses and breaks a rule; all others are faults of structure (settled §5)."""

MAX_ISSUES: Final = 500
"""Faults of one resource that an answer lists: it shall not be larger than what was sent."""


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing wrong with a resource.

    `code` is of http://hl7.org/fhir/issue-type, `diagnostics` says what and the remedy, `expression` is the element in
    FHIRPath (`Observation.component[0].code`). `profile` is the canonical of the profile that demands it, "" for R4
    itself.
    """

    code: str
    diagnostics: str
    expression: str
    severity: str = "error"
    profile: str = ""

    @property
    def breaks_rule(self) -> bool:
        """Whether the resource is well formed at this place."""
        return self.code in RULE_CODES or bool(self.profile)


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


class UnknownAddress(RequestError):
    """Nothing is served at this path, and nothing ever will be for this id or version."""

    def __init__(self, message: str = "Nothing is served at this address; see [base]/metadata.") -> None:
        super().__init__(message)


class UnknownResourceType(RequestError):
    """The path names no resource type of R4; `resource_type` is what it names (fhir_rest H1)."""

    def __init__(self, resource_type: str) -> None:
        super().__init__("This is no resource type of FHIR R4; types are spelt as in [base]/metadata.")
        self.resource_type = resource_type


class NoCompartment(RequestError):
    """A search in a compartment that the type does not have, or of a type that never lies in it."""

    def __init__(self, owner: str, types: Sequence[str]) -> None:
        super().__init__(
            f"The compartment of a {owner} holds {', '.join(types)}." if types else f"A {owner} has no compartment."
        )


class OperationNotSupported(RequestError):
    """An operation (`$x`), or an interaction that FHIR has and this server has not (fhir_rest §13)."""

    def __init__(self) -> None:
        super().__init__("This operation or interaction is not supported; [base]/metadata lists those that are.")


class InteractionNotSupported(RequestError):
    """The address is known but not with this method; `allow` lists those it has (fhir_rest H1)."""

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__("This method is not supported here; the Allow header lists those that are.")
        self.allow = tuple(allow)


class UnsupportedMediaType(RequestError):
    """The body is of a kind, character set or encoding that is not read (fhir_rest H5)."""


class UnsupportedPatch(UnsupportedMediaType):
    """The body of a PATCH is of a kind that is not read; the answer lists those that are (fhir_rest P5)."""

    def __init__(self) -> None:
        super().__init__("Send a JSON Patch (application/json-patch+json) or Parameters (application/fhir+json).")


class NotAcceptable(RequestError):
    """The client takes no representation that is served (fhir_rest H3)."""


class InvalidHeader(RequestError):
    """A request header does not have its form; `header` names it."""

    def __init__(self, header: str, message: str) -> None:
        super().__init__(message)
        self.header = header


class InvalidParameter(RequestError):
    """A query parameter is not known, or its value does not have the form of its kind; `parameter` names it."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class ParameterNotKnown(InvalidParameter):
    """A type has no such search parameter, and strict handling was asked for (us_core.md §3)."""


class ParameterTooCostly(InvalidParameter):
    """A parameter asks for more than a limit allows (fhir_rest H11); the message names the limit."""


class UnsupportedParameter(RequestError):
    """A known feature of searches that this server does not have; `parameter` asks for it."""

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


class InvalidId(RequestError):
    """The id of a resource to be written cannot be one (fhir_rest H2)."""

    def __init__(self, expression: str = "") -> None:
        super().__init__("An id has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '.'.")
        self.expression = expression


class TypeMismatch(RequestError):
    """The body is a resource of another type than the address names (fhir_rest C2)."""

    def __init__(self, expected: str, expression: str) -> None:
        super().__init__(f"Send a resource of the type that the address names: {expected}.")
        self.expected = expected
        self.expression = expression


class IdMismatch(RequestError):
    """The body of an update has no id, or not that of the address."""

    def __init__(self, expression: str) -> None:
        super().__init__("Give the resource the id that the address names or the criteria find.")
        self.expression = expression


class MalformedBody(RequestError):
    """The body is missing, no JSON, or JSON that cannot be kept; `expressions` are the places, where there are any."""

    def __init__(self, message: str, expressions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.expressions = tuple(expressions)


class NumberOutOfRange(MalformedBody):
    """A JSON number is too long, or so large or small that most readers would not keep it."""


class HeadersTooLarge(RequestError):
    """Request line and headers have more bytes than `limit` (settled §5)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Request line and headers are larger than {limit} bytes; search by POST for long queries.")
        self.limit = limit


class BodyTooLarge(RequestError):
    """The body has more bytes than `limit`."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes; send it in parts.")
        self.limit = limit


class BodyTooSlow(RequestError):
    """The client sent its body too slowly, or stopped."""

    def __init__(self) -> None:
        super().__init__("The body did not come in time; send it again, in parts if it is large.")


class BodyTooComplex(RequestError):
    """The body nests too deeply, or has too many values or entries: more `what` than `limit`."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"The body has more than {limit} {what}; send it in parts.")
        self.limit = limit


class InvalidResource(RequestError):
    """Elements, types or cardinalities are not those of the resource type; `issues` holds everything that was found."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__(f"The resource has {len(issues)} faults.")
        self.issues = tuple(issues)


class RuleBroken(InvalidResource):
    """The resource is well formed, but a required binding or an invariant does not hold."""


def invalid_resource(issues: Iterable[Issue]) -> InvalidResource:
    """Return the error for some issues: RuleBroken when the resource is well formed apart from rules."""
    found = tuple(issues)
    return RuleBroken(found) if all(issue.breaks_rule for issue in found) else InvalidResource(found)


class InvalidBundle(RequestError):
    """The Bundle, or its entry at `expression`, cannot be part of a batch or transaction (fhir_rest B1, B9, B14)."""

    def __init__(self, message: str, expression: str) -> None:
        super().__init__(message)
        self.expression = expression


class DuplicateEntry(InvalidBundle):
    """Two entries of a transaction write the same resource or have the same fullUrl (fhir_rest B7)."""


class UnresolvedEntry(RequestError):
    """A `urn:` reference of a transaction names none of its entries; `expression` is its place (fhir_rest B5)."""

    def __init__(self, expression: str) -> None:
        super().__init__("This reference names no fullUrl of the transaction; add the entry or refer to a resource.")
        self.expression = expression


class ConditionalReferenceFailed(RequestError):
    """A conditional reference finds no resource, or several; `expression` is its place (fhir_rest B6)."""

    def __init__(self, expression: str) -> None:
        super().__init__("The criteria of this conditional reference must find exactly one resource.")
        self.expression = expression


class PreconditionFailed(RequestError):
    """A condition of the request does not hold, such as If-None-Match on an update."""


class PreconditionRequired(RequestError):
    """A change has to name the version that it changes (RFC 6585 §3)."""


class MultipleMatches(PreconditionFailed):
    """The criteria of a conditional interaction find several resources (fhir_rest C4)."""

    def __init__(self) -> None:
        super().__init__("The criteria find several resources; make them more specific.")


class NoMatch(RequestError):
    """The criteria of a conditional patch find no resource that the caller sees (fhir_rest P4)."""

    def __init__(self) -> None:
        super().__init__("The criteria find no resource; a patch never creates one.")


class PatchFailed(RequestError):
    """Operation `operation` of a patch, counted from 0, cannot be carried out on the resource (fhir_rest P1, P2)."""

    def __init__(self, message: str, operation: int | None = None) -> None:
        super().__init__(message if operation is None else f"Operation {operation} (from 0): {message}")
        self.operation = operation


class ElementFixed(PatchFailed):
    """A patch would change an element that it may not change; `expression` names it (fhir_rest P1, U5)."""

    def __init__(self, message: str, expression: str) -> None:
        super().__init__(message)
        self.expression = expression


class Throttled(RequestError):
    """Too many requests; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many requests; try again later.")
        self.retry_after = retry_after


class Overloaded(RequestError):
    """As many requests as the worker takes are under way; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many requests are under way; try again later.")
        self.retry_after = retry_after


class EntryFailed(RequestError):
    """The entry at `index` of a transaction failed with `cause`, so nothing of it is stored (fhir_rest B3)."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"Entry {index} failed; nothing of the transaction is stored.")
        self.index = index
        self.cause = cause
