"""Provenance of every version, made when it is asked for (settled §1.15; US Core Provenance; decision 18).

Nothing is invented: the author is the person who stands for the user, where one is known and the caller can read it,
else the organization, which answers for its users, apps and programs.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import systems
from storage.codec import encode, instant
from storage.provenance import Authorship, Known, provenance_id
from storage.resources import ResourceKey, Version

Json = dict[str, Any]

PROFILE: Final = f"{systems.US_CORE}us-core-provenance"
OPERATION: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
CLIENT: Final = f"{systems.BASE}/identifier/client"
"""System of the ids of clients."""
API: Final = f"{systems.BASE}/CodeSystem/api"
"""Through what was written: fhir, load, projector (a row that another program changed), reconcile, …"""
AUTHOR: Final = {"coding": [{"system": systems.PROVENANCE_PARTICIPANT, "code": "author", "display": "Author"}]}
TRANSMITTER: Final = {
    "coding": [{"system": systems.US_CORE_PROVENANCE_PARTICIPANT, "code": "transmitter", "display": "Transmitter"}]
}
COMPOSER: Final = {"coding": [{"system": systems.PROVENANCE_PARTICIPANT, "code": "composer", "display": "Composer"}]}
"""A device used by an author to record new information: the client."""


def provenance(authorship: Authorship, known: Known) -> Version:
    """Return the Provenance of one version, complete as it is answered; it has one version, that of its target."""
    key = ResourceKey("Provenance", provenance_id(authorship.key, authorship.version))
    recorded = instant(authorship.recorded)
    organization = _organization(known)
    body: Json = {
        "resourceType": "Provenance",
        "id": key.id,
        "meta": {"versionId": "1", "lastUpdated": recorded, "profile": [PROFILE]},
        "target": [{"reference": f"{authorship.key}/_history/{authorship.version}"}],
        "recorded": recorded,
        "activity": {"coding": [_activity(authorship)]},
        "agent": [
            _author(authorship, known, organization),
            {"type": TRANSMITTER, "who": organization},
            *_client(authorship, organization),
        ],
    }
    return Version(key, 1, authorship.recorded, deleted=False, body=encode(body))


def _organization(known: Known) -> Json:
    shown = {"display": known.organization_name}
    return {"reference": known.organization, **shown} if known.organization is not None else shown


def _activity(authorship: Authorship) -> Json:
    name = "delete" if authorship.deleted else "create" if authorship.created else "update"
    return {"system": OPERATION, "code": name.upper(), "display": name}


def _author(authorship: Authorship, known: Known, organization: Json) -> Json:
    """Return the author; on behalf of whom a person acts is told always (US Core rule provenance-1)."""
    if authorship.person is None or authorship.person not in known.readable:
        return {"type": AUTHOR, "who": organization}
    return {"type": AUTHOR, "who": {"reference": authorship.person}, "onBehalfOf": organization}


def _client(authorship: Authorship, organization: Json) -> list[Json]:
    """Return the client that wrote it and through which API; no resource stands for it, so it is named only."""
    if authorship.client_id is None:
        return []
    who: Json = {"type": "Device", "identifier": {"system": CLIENT, "value": authorship.client_id}}
    if authorship.client_name:
        who["display"] = authorship.client_name
    agent: Json = {"type": COMPOSER, "who": who, "onBehalfOf": organization}
    if authorship.api:
        agent["role"] = [{"coding": [{"system": API, "code": authorship.api}]}]
    return [agent]
