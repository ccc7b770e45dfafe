"""Answers of the FHIR interface (FHIR R4 http.html#Status-Codes, #versions; fhir_rest §12)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fhir_server.access import may_read_changes
from fhir_server.fhir.conditions import etag, http_date, is_unmodified
from fhir_server.fhir.negotiation import Return
from fhir_server.fhir.notes import information
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.routing import Interaction
from storage.resources import Version

_RELATIVE: Final = b'"reference":"Patient/'
_ABSOLUTE: Final = b"/Patient/"
_REFERENCE: Final = b'"reference":'
_CHANGES: Final = frozenset({Interaction.UPDATE, Interaction.PATCH})
_ID: Final = re.compile(rb"([A-Za-z0-9\-.]{1,64})[\"/]")


@dataclass(frozen=True, slots=True)
class Touched:
    """What an interaction showed or changed, for the audit: no values, ids only (security AD-1)."""

    resource_type: str
    ids: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    count: int | None = None

    def of_patient(self, patient_id: str) -> Touched:
        """Return it with a patient who was asked about: that concerns the patient whatever was found."""
        return self if patient_id in self.patients else replace(self, patients=(patient_id, *self.patients))


@dataclass(slots=True)
class Response:
    """An answer: bytes that are sent as they are. `version` is the resource it shows or made.

    `touched` is what the audit still has to record before the answer may leave; None when it is on record. `gzipped` is
    the body as gzip where it is at hand.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    version: Version | None = None
    touched: Touched | None = None
    gzipped: bytes = b""


def patients_of(versions: Iterable[Version]) -> tuple[str, ...]:
    """Return the ids of the patients whom resources are or refer to, each once, without parsing them.

    Of a version just written it is also whom the one before it concerned. An absolute reference counts whatever its
    base is: too many names in the audit do less harm than one too few.
    """
    patients: dict[str, None] = {}
    bodies: list[bytes] = []
    for version in versions:
        if version.key.resource_type == "Patient":
            patients[version.key.id] = None
        else:
            bodies += (version.body, version.superseded)
    patients.update(dict.fromkeys(_patients_in(b"\0".join(bodies))))
    return tuple(patients)


def _patients_in(bodies: bytes) -> Iterator[str]:
    """Search all bodies of a page at once: on the path of every search, and twenty times as fast as an expression."""
    found: dict[bytes, None] = {}
    find, ids = bodies.find, _ID.match
    start = find(_RELATIVE)
    while start >= 0:
        start += len(_RELATIVE)
        if match := ids(bodies, start):  # the version that may follow is no part of it
            found[match[1]] = None
        start = find(_RELATIVE, start)
    start = find(_ABSOLUTE)
    while start >= 0:
        if bodies.endswith(_REFERENCE, 0, bodies.rindex(b'"', 0, start)) and (
            match := ids(bodies, start + len(_ABSOLUTE))
        ):
            found[match[1]] = None
        start = find(_ABSOLUTE, start + 1)
    return map(bytes.decode, found)


def touched_by(
    resource_type: str, versions: Sequence[Version], *, count: int | None = None, others: Sequence[Version] = ()
) -> Touched:
    """Return what an answer that shows or wrote these versions touched; `others` are of other types (includes)."""
    ids = (*(version.key.id for version in versions), *(str(version.key) for version in others))
    return Touched(resource_type, ids, patients_of((*versions, *others)), count)


def version_headers(version: Version) -> dict[str, str]:
    """Return the headers that name a version (http.html#versions)."""
    return {"ETag": etag(version.version), "Last-Modified": http_date(version.last_updated)}


def represent(version: Version, request: FhirRequest) -> Response:
    """Answer with a version, or with 304 when the client has it (R2)."""
    touched = Touched(version.key.resource_type, (version.key.id,), patients_of((version,)))
    headers = version_headers(version)
    unmodified = is_unmodified(version, request.headers.get("if-none-match"), request.headers.get("if-modified-since"))
    if unmodified:
        return Response(304, b"", headers, version, touched)
    return Response(200, version.body, headers, version, touched)


def represent_write(version: Version, status: int, request: FhirRequest, base_url: str) -> Response:
    """Answer to a create, update or patch: 201, or 200; the body is what `Prefer: return` asks for (H8).

    `Location` names what the client cannot know the address of: what was created, and what a condition found.
    """
    headers = version_headers(version)
    if status == 201 or not request.route.id:
        headers["Location"] = location(version, base_url)
    return Response(status, _preferred_body(version, request), headers, version)


def location(version: Version, base_url: str) -> str:
    """Return the absolute address of a version (C1)."""
    return f"{base_url}/{version.key}/_history/{version.version}"


def _preferred_body(version: Version, request: FhirRequest) -> bytes:
    if request.route.interaction in _CHANGES and not may_read_changes(request.access, request.route.resource_type):
        return b""
    match request.preferences.returns:
        case Return.MINIMAL:
            return b""
        case Return.OPERATION_OUTCOME:
            return information("The resource was stored.")
        case Return.REPRESENTATION:
            return version.body


def represent_deletion(version: Version | None, request: FhirRequest) -> Response:
    """Answer to a delete: 204, or 200 with an OperationOutcome for who prefers one (X1)."""
    headers = {} if version is None else {"ETag": etag(version.version)}
    if request.preferences.returns is Return.OPERATION_OUTCOME:
        return Response(200, information("There is no such resource any more."), headers, version)
    return Response(204, b"", headers, version)
