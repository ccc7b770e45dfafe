"""How errors look: one table from error class to HTTP status and issue type, and the OperationOutcome made of it.

FHIR R4 http.html#Status-Codes, operationoutcome.html, valueset-issue-type; fhir_rest §11. Messages of errors hold no
value of a request or a resource, so they are shown; the message of what nobody foresaw may, so it stays in the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from fhir_server import errors
from fhir_server.errors import MAX_ISSUES, Issue
from fhir_server.fhir.conditions import etag, http_date
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.negotiation import ACCEPT_PATCH
from storage import errors as storage

CONTENT_TYPE: Final = "application/fhir+json; charset=utf-8"


class Rendering(NamedTuple):
    """What an error class becomes: the HTTP status and the code of its issue (http://hl7.org/fhir/issue-type)."""

    status: int
    code: str


RENDERINGS: Final[Mapping[type[Exception], Rendering]] = {
    errors.Unauthenticated: Rendering(401, "login"),
    errors.NotAuthorised: Rendering(403, "forbidden"),
    errors.MalformedAuthorization: Rendering(400, "invalid"),
    errors.UnknownAddress: Rendering(404, "not-found"),
    errors.UnknownResourceType: Rendering(404, "not-supported"),
    errors.NoCompartment: Rendering(404, "not-supported"),
    errors.OperationNotSupported: Rendering(404, "not-supported"),
    errors.InteractionNotSupported: Rendering(405, "not-supported"),
    errors.UnsupportedMediaType: Rendering(415, "not-supported"),
    errors.UnsupportedPatch: Rendering(415, "not-supported"),
    errors.NotAcceptable: Rendering(406, "not-supported"),
    errors.InvalidHeader: Rendering(400, "invalid"),
    errors.InvalidParameter: Rendering(400, "invalid"),
    errors.ParameterNotKnown: Rendering(400, "not-supported"),
    errors.ParameterTooCostly: Rendering(400, "too-costly"),
    errors.UnsupportedParameter: Rendering(400, "not-supported"),
    errors.InvalidId: Rendering(400, "value"),
    errors.TypeMismatch: Rendering(400, "invalid"),
    errors.IdMismatch: Rendering(400, "invalid"),
    errors.MalformedBody: Rendering(400, "structure"),
    errors.NumberOutOfRange: Rendering(400, "value"),
    errors.HeadersTooLarge: Rendering(431, "too-long"),
    errors.BodyTooLarge: Rendering(413, "too-long"),
    errors.BodyTooSlow: Rendering(408, "timeout"),
    errors.BodyTooComplex: Rendering(413, "too-costly"),
    errors.InvalidResource: Rendering(400, "structure"),
    errors.RuleBroken: Rendering(422, "invariant"),
    errors.InvalidBundle: Rendering(400, "invalid"),
    errors.DuplicateEntry: Rendering(400, "duplicate"),
    errors.UnresolvedEntry: Rendering(400, "not-found"),
    errors.ConditionalReferenceFailed: Rendering(412, "multiple-matches"),
    errors.PreconditionFailed: Rendering(412, "conflict"),
    errors.PreconditionRequired: Rendering(428, "business-rule"),
    errors.MultipleMatches: Rendering(412, "multiple-matches"),
    errors.NoMatch: Rendering(404, "not-found"),
    errors.PatchFailed: Rendering(422, "processing"),
    errors.ElementFixed: Rendering(422, "business-rule"),
    errors.Throttled: Rendering(429, "throttled"),
    errors.Overloaded: Rendering(503, "transient"),
    errors.EntryFailed: Rendering(400, "processing"),  # only where a cause has no row of its own; see `rendering`
    storage.ResourceNotFound: Rendering(404, "not-found"),
    storage.ResourceGone: Rendering(410, "deleted"),
    storage.VersionConflict: Rendering(412, "conflict"),
    storage.ResourceExists: Rendering(409, "duplicate"),
    storage.ReferenceConflict: Rendering(409, "conflict"),
    storage.UnresolvedReference: Rendering(422, "not-found"),
    storage.ReadOnlyHome: Rendering(422, "business-rule"),
    storage.MappingRefused: Rendering(422, "business-rule"),
    storage.WriteOutsideAccess: Rendering(403, "forbidden"),
    storage.IdentityOutsideAccess: Rendering(403, "forbidden"),
    storage.InteractionForbidden: Rendering(403, "forbidden"),
    storage.CursorInvalid: Rendering(400, "invalid"),
    storage.CursorExpired: Rendering(410, "processing"),
    storage.SearchTooCostly: Rendering(400, "too-costly"),
    storage.ValueSetUnknown: Rendering(400, "not-found"),
    storage.HierarchyUnknown: Rendering(400, "not-supported"),
    storage.ConcurrencyConflict: Rendering(503, "transient"),
    storage.AuditUnavailable: Rendering(503, "transient"),
    storage.SchemaOutOfDate: Rendering(503, "transient"),
    storage.MapperStopped: Rendering(503, "transient"),
    storage.DatabaseUnavailable: Rendering(503, "transient"),
    Exception: Rendering(500, "exception"),
}
"""Look-up goes up the bases of a class, so a subclass needs a row only where it differs."""

TEXTS: Final[Mapping[str, str]] = {
    "business-rule": "A rule of this server forbids it.",
    "code-invalid": "The code is not in the required value set.",
    "conflict": "The resource is not in the state that the request expects.",
    "deleted": "The resource was deleted.",
    "duplicate": "There is one already.",
    "exception": "The server failed.",
    "expired": "The access token has expired.",
    "forbidden": "The caller may not do this.",
    "informational": "For information.",
    "invalid": "The request is not valid.",
    "invariant": "A rule of the resource type does not hold.",
    "login": "The caller is not signed in.",
    "multiple-matches": "The criteria do not find exactly one resource.",
    "not-found": "Nothing is there.",
    "not-supported": "This is not supported.",
    "processing": "The request could not be processed.",
    "required": "An element is missing.",
    "structure": "The structure is not as specified.",
    "throttled": "There are too many requests.",
    "timeout": "It took too long.",
    "too-costly": "The request asks for too much.",
    "too-long": "The body is too long.",
    "transient": "The server cannot do this now.",
    "value": "A value does not have the form of its type.",
}
"""`details.text` for each issue type that is used, for people who see nothing else."""

_NAME: Final = re.compile(r"[A-Za-z0-9_$.:\-]{1,128}\Z")
_RETRY_SECONDS: Final = 2


def rendering(error: Exception) -> Rendering:
    """Return the row of an error; that of an entry of a transaction is its cause's (fhir_rest B3)."""
    if isinstance(error, errors.EntryFailed):
        return rendering(error.cause)
    if isinstance(error, errors.Unauthenticated) and error.expired:
        return Rendering(RENDERINGS[errors.Unauthenticated].status, "expired")
    return next(RENDERINGS[base] for base in type(error).__mro__ if base in RENDERINGS)


def outcome_for(error: Exception, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer to a request that failed.

    The body is an R4 OperationOutcome. Of a 500 it tells nothing but the request id, by which the log is searched.
    """
    headers = {"Content-Type": CONTENT_TYPE, **_headers(error)}
    return rendering(error).status, headers, encode_json(operation_outcome(error, request_id))


def operation_outcome(error: Exception, request_id: str) -> dict[str, Any]:
    """Return the OperationOutcome of an error, as it also stands in the entries of a batch-response."""
    return {"resourceType": "OperationOutcome", "issue": list(_issues(error, request_id))}


def _issues(error: Exception, request_id: str) -> Iterator[dict[str, Any]]:
    match error:
        case errors.EntryFailed(index=index, cause=cause):
            for issue in _issues(cause, request_id):
                yield issue | {"expression": _within_entry(issue.get("expression", []), index)}
        case errors.InvalidResource(issues=found):
            yield from map(_listed, found[:MAX_ISSUES])
            if len(found) > MAX_ISSUES:
                yield _issue("processing", f"Only the first {MAX_ISSUES} faults are listed.", severity="information")
        case _:
            yield _single(error, request_id)


def _single(error: Exception, request_id: str) -> dict[str, Any]:
    row = rendering(error)
    if row == RENDERINGS[Exception]:
        return _issue(row.code, f"The log tells what happened, under request id {request_id}.", severity="fatal")
    issue = _issue(row.code, _diagnostics(error), _expressions(error))
    place = _http_place(error)
    return issue | {"location": [place]} if place else issue


def _listed(issue: Issue) -> dict[str, Any]:
    return _issue(issue.code, issue.diagnostics, [issue.expression] if issue.expression else [], issue.severity)


def _issue(code: str, diagnostics: str, expressions: Any = (), severity: str = "error") -> dict[str, Any]:
    issue = {"severity": severity, "code": code, "details": {"text": TEXTS[code]}, "diagnostics": diagnostics}
    return issue | {"expression": list(expressions)} if expressions else issue


def _diagnostics(error: Exception) -> str:
    place = _http_place(error)
    text = str(error) or TEXTS[rendering(error).code]
    match error:
        case storage.ReferenceConflict(referrers=referrers) if referrers:
            return f"{text}; remove the references of {', '.join(referrers)} first"
        case _ if place and place.removeprefix("http.") not in text:
            return f"{place.removeprefix('http.')}: {text}"
    return text


def _expressions(error: Exception) -> list[str]:
    """Return the elements that an error names, in FHIRPath."""
    places = getattr(error, "expressions", None) or [getattr(error, "expression", "")]
    return [place for place in places if place]


def _http_place(error: Exception) -> str:
    """Return the parameter or header at fault as `http.` and its name, which is how R4 spells it; "" for none.

    The name of a parameter that is not known may be anything: it is repeated only if it could be one.
    """
    name = getattr(error, "parameter", "") or getattr(error, "header", "")
    return f"http.{name}" if _NAME.match(name) else ""


def _within_entry(expressions: list[str], index: int) -> list[str]:
    """Return places within the resource of an entry as places within the Bundle."""
    entry = f"Bundle.entry[{index}]"
    if not expressions:
        return [entry]
    return [each if each.startswith("Bundle.entry[") else _moved(each, entry) for each in expressions]


def _moved(expression: str, entry: str) -> str:
    _, dot, rest = expression.partition(".")
    return f"{entry}.resource{dot}{rest}"


def _headers(error: Exception) -> dict[str, str]:
    headers: dict[str, str] = {}
    match error:
        case errors.EntryFailed(cause=cause):
            headers = _headers(cause)
        case errors.Unauthenticated(challenge=challenge):
            headers["WWW-Authenticate"] = challenge
        case errors.NotAuthorised(scope=str(scope)):
            headers["WWW-Authenticate"] = f'Bearer realm="fhir", error="insufficient_scope", scope="{scope}"'
        case errors.UnsupportedPatch():
            headers["Accept-Patch"] = ACCEPT_PATCH
        case errors.InteractionNotSupported(allow=allow):
            headers["Allow"] = ", ".join(allow)
        case (
            errors.Throttled(retry_after=seconds)
            | errors.Overloaded(retry_after=seconds)
            | storage.DatabaseUnavailable(retry_after=seconds)
        ):
            headers["Retry-After"] = str(seconds)
        case storage.ResourceGone(version=version, last_updated=moment):
            headers |= {"ETag": etag(version), "Last-Modified": http_date(moment)}
        case _ if rendering(error).code == "transient":
            headers["Retry-After"] = str(_RETRY_SECONDS)
    return headers
