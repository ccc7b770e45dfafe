"""One audit record → FHIR AuditEvent (settled §1.15, security AD-6), after the IHE Basic Audit Log Patterns.

An AuditEvent tells what was recorded and nothing else: no names, no values. Who asked and with which client are agents,
named by identifier; whose data it was and which resources are entities.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mappers import systems
from mappers.audit_kinds import (
    ACTIVITY,
    AUTHENTICATION,
    EXPORT,
    IMPORT,
    MINOR_FAILURE,
    NO_FAILURE,
    REST,
    SECURITY,
    Kind,
    kind_of,
)

Json = dict[str, Any]

USER: Final = f"{systems.BASE}/identifier/user"
"""System of the ids of users."""
CLIENT: Final = f"{systems.BASE}/identifier/client"
"""System of the ids of clients."""
ROW: Final = f"{systems.BASE}/identifier/"
"""Prefix of one system per resource of the internal interfaces, of the ids of its rows."""
INTERACTION: Final = f"{systems.BASE}/CodeSystem/audit-interaction"
"""What is done that is no interaction of REST: sign-in, token, load, …"""
ROLE: Final = f"{systems.BASE}/CodeSystem/role"
PURPOSE: Final = f"{systems.BASE}/CodeSystem/purpose"
URI: Final = "urn:ietf:rfc:3986"
"""System of identifiers that are URIs."""

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
RESTFUL_INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
AUDIT_EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
BALP_ENTITY_TYPE: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"

KIND_CODINGS: Final = {
    REST: {"system": AUDIT_EVENT_TYPE, "code": REST, "display": "RESTful Operation"},
    AUTHENTICATION: {"system": DCM, "code": AUTHENTICATION, "display": "User Authentication"},
    SECURITY: {"system": DCM, "code": SECURITY, "display": "Security Alert"},
    EXPORT: {"system": DCM, "code": EXPORT, "display": "Export"},
    IMPORT: {"system": DCM, "code": IMPORT, "display": "Import"},
    ACTIVITY: {"system": DCM, "code": ACTIVITY, "display": "Application Activity"},
}
SOURCE_ROLE: Final = {"system": DCM, "code": "110153", "display": "Source Role ID"}
DESTINATION_ROLE: Final = {"system": DCM, "code": "110152", "display": "Destination Role ID"}
APPLICATION: Final = {"system": DCM, "code": "110150", "display": "Application"}
CUSTODIAN: Final = {"system": systems.PROVENANCE_PARTICIPANT, "code": "custodian", "display": "Custodian"}
RECIPIENT: Final = {"system": PARTICIPATION, "code": "IRCP", "display": "information recipient"}
AUTHOR: Final = {"system": PARTICIPATION, "code": "AUT", "display": "author (originator)"}
BREAK_THE_GLASS: Final = {"system": ACT_REASON, "code": "BTG", "display": "break the glass"}
SOURCE: Final = {"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}

NETWORK_ADDRESS: Final = "2"
"""AuditEvent.agent.network.type: an IP address."""
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
_REFERENCE: Final = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}\Z")
_TYPE: Final = re.compile(r"[A-Z][A-Za-z]+\Z")
_SEARCHES: Final = frozenset({"search-type", "search-system", "search-compartment"})
_ROLES: Final = {
    "R": (DESTINATION_ROLE, SOURCE_ROLE),
    "C": (SOURCE_ROLE, DESTINATION_ROLE),
    "U": (SOURCE_ROLE, DESTINATION_ROLE),
    "E": (SOURCE_ROLE, DESTINATION_ROLE),
    "D": (APPLICATION, CUSTODIAN),
}
"""By action: what the client and what this server is, by the patterns of BALP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAccess:
    """A row of `rbac_logs`; `at` in microseconds since 1970 UTC, `trail` tells the two files of SQLite apart."""

    id: int
    organization_id: str
    at: int
    actor_id: str
    actor_role: str
    client_id: str | None
    customer_id: str | None
    patients: tuple[str, ...]
    resource: str
    resource_ids: tuple[str, ...]
    action: str
    interaction: str | None
    outcome: str
    status: int | None
    count: int | None
    request_id: str | None
    method: str | None
    path: str | None
    ip_address: str | None
    user_agent: str | None
    purpose: str | None
    grant_id: str | None
    trail: int = 0

    @property
    def concerned(self) -> tuple[str, ...]:
        """The ids of the patients whose data it was."""
        return (self.customer_id,) if self.customer_id is not None else self.patients

    @property
    def is_by_person(self) -> bool:
        """Whether somebody asked; a backend client acts for itself."""
        return self.actor_id != self.client_id


def audit_event(record: RecordedAccess, resource_id: str, base_url: str, person: str | None = None) -> Json:
    """Return the AuditEvent of a record, complete as it is answered.

    `base_url` is this server's FHIR base, `person` is `Type/id` of the resource that stands for who asked, where one
    does.
    """
    kind = kind_of(record)
    recorded = instant(record.at)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": resource_id,
        "meta": {"versionId": "1", "lastUpdated": recorded},
        "type": KIND_CODINGS[kind.kind],
        "subtype": list(_subtypes(kind)),
        "action": kind.action,
        "recorded": recorded,
        "outcome": kind.outcome,
        "outcomeDesc": _outcome_text(record, kind),
        "agent": list(_agents(record, kind, base_url, person)),
        "source": {"observer": _server(base_url), "type": [SOURCE]},
        "entity": list(_entities(record, kind)),
    }
    return {name: value for name, value in event.items() if value not in (None, [])}


def instant(microseconds: int) -> str:
    """Return a FHIR instant in UTC, to the microsecond: so a search by it finds it."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return f"{moment.isoformat(timespec='microseconds')}Z"


_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 in UTC, as all of it


def _subtypes(kind: Kind) -> Iterator[Json]:
    if kind.subtype is None:
        return
    if kind.kind == REST:
        yield {"system": RESTFUL_INTERACTION, "code": kind.subtype, "display": kind.subtype}
    else:
        yield {"system": INTERACTION, "code": kind.subtype}


def _outcome_text(record: RecordedAccess, kind: Kind) -> str | None:
    """Return how a failure was answered; successes are told by their code alone."""
    if kind.outcome == NO_FAILURE:
        return None
    said = "denied" if kind.outcome == MINOR_FAILURE and record.outcome == "denied" else "failed"
    return said if record.status is None else f"{said}: HTTP {record.status}"


def _purposes(record: RecordedAccess) -> list[Json]:
    if not record.purpose:
        return []
    known = BREAK_THE_GLASS if record.purpose == BREAK_THE_GLASS["code"] else None
    return [{"coding": [known or {"system": PURPOSE, "code": record.purpose}]}]


def _agents(record: RecordedAccess, kind: Kind, base_url: str, person: str | None) -> Iterator[Json]:
    """Give who asked, with which client from where, and this server."""
    of_client, of_server = _ROLES[kind.action]
    if record.is_by_person:
        yield _user(record, kind, person)
    client: Json = {"type": {"coding": [of_client]}}
    if record.client_id is not None:
        client["who"] = {"type": "Device", "identifier": {"system": CLIENT, "value": record.client_id}}
    if record.user_agent:
        client["name"] = record.user_agent
    client["requestor"] = not record.is_by_person
    if record.ip_address:
        client["network"] = {"address": record.ip_address, "type": NETWORK_ADDRESS}
    if not record.is_by_person:
        client |= _granted(record)
    if record.client_id is not None or record.ip_address:
        yield client
    yield {"type": {"coding": [of_server]}, "who": _server(base_url), "requestor": False}


def _user(record: RecordedAccess, kind: Kind, person: str | None) -> Json:
    who: Json = {"reference": person} if person is not None else {}
    reads = kind.action in {"R", "E"}
    return {
        "type": {"coding": [RECIPIENT if reads else AUTHOR]},
        "who": {**who, "identifier": {"system": USER, "value": record.actor_id}},
        "altId": record.actor_id,
        "requestor": True,
        **_granted(record),
    }


def _granted(record: RecordedAccess) -> Json:
    """Return the role and the purpose that access was decided by, and the id of the token."""
    granted: Json = {}
    if record.actor_role:
        granted["role"] = [{"coding": [{"system": ROLE, "code": record.actor_role}]}]
    if record.grant_id:
        granted["policy"] = [record.grant_id]
    if purposes := _purposes(record):
        granted["purposeOfUse"] = purposes
    return granted


def _server(base_url: str) -> Json:
    return {"type": "Device", "identifier": {"system": URI, "value": base_url}, "display": "FHIR server"}


def _entities(record: RecordedAccess, kind: Kind) -> Iterator[Json]:
    """Give whose data it was, which resources, what was searched, and the request."""
    patients = record.concerned
    for each in patients:
        yield {"what": _reference("Patient", each), "type": _entity_type("1", "Person"), "role": _role("1", "Patient")}
    for each in record.resource_ids:
        named = _resource(record.resource, each)
        kind_of_it, _, own = named.get("reference", "").partition("/")
        if kind_of_it != "Patient":
            yield _data(named)
        elif own not in patients:  # asked for in vain, by somebody unknown: who knows whether there is such a patient
            yield _data({"type": "Patient", "identifier": {"system": f"{ROW}Patient", "value": own}})
    if kind.subtype in _SEARCHES and kind.kind == REST and record.path is not None:
        # The values of parameters are not on record (security AD-1): so the address without them.
        query = b64encode(f"{record.method} {record.path}".encode()).decode("ascii")
        yield {"type": _entity_type("2", "System Object"), "role": _role("24", "Query"), "query": query}
    if record.request_id:
        what = {"identifier": {"value": record.request_id}}
        yield {"what": what, "type": {"system": BALP_ENTITY_TYPE, "code": "XrequestId"}}


def _data(what: Json) -> Json:
    return {"what": what, "type": _entity_type("2", "System Object"), "role": _role("4", "Domain Resource")}


def _entity_type(code: str, display: str) -> Json:
    return {"system": ENTITY_TYPE, "code": code, "display": display}


def _role(code: str, display: str) -> Json:
    return {"system": OBJECT_ROLE, "code": code, "display": display}


def _resource(resource: str, resource_id: str) -> Json:
    """Return what an id of a record names; of several types each id stands with its own."""
    if _REFERENCE.match(resource_id):
        return {"reference": resource_id}
    return _reference(resource, resource_id)


def _reference(resource: str, resource_id: str) -> Json:
    if _TYPE.match(resource) and _ID.match(resource_id):
        return {"reference": f"{resource}/{resource_id}"}
    return {"identifier": {"system": f"{ROW}{resource}", "value": resource_id}}
