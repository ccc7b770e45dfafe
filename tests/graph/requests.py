"""One valid request for each endpoint of the patient graph API, as data, and whose rows it is about.

In paths, parameters and bodies `{customer}` is the customer, `{lab}` and its like the id of the customer's row of that
kind (`kit.Person.row`), `{unique}` a text that no other request has. Resource, action and outcomes are written down
here from the documents (API document 'Role-Based Access Control', internal_tables.md), not read from the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.graph.kit import Person

_unique = count(1)
_PLACE = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that is valid, and what becomes of it.

    `status` is the answer to who may do it, `absent` what callers who see the whole organization are told of a customer
    or row that does not exist. `bound` is the answer to callers who are bound to the customer in question, `customer`
    the one to the customer in person; None: as `status`. `path_row` is the kind of row that `{id}` of the address is.
    """

    resource: str
    action: str
    path_row: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    status: int = 200
    absent: int = 404
    bound: int | None = None
    customer: int | None = None
    signed: bool = False

    def of_bound(self, role: str) -> int:
        """Return the answer to a caller who is bound to the customer whom the request is about."""
        bound = self.status if self.bound is None else self.bound
        return self.customer if role == "PATIENT" and self.customer is not None else bound

    def ask(self, endpoint: str, client: httpx.Client, person: Person, **changes: Any) -> httpx.Response:
        """Send it, about a person's rows; `changes` take the place of arguments of `httpx.Client.request`."""
        method, _, template = endpoint.partition(" ")
        unique = f"u{next(_unique)}"
        path = template.replace("{id}", person.row(self.path_row)) if self.path_row else template
        sent = {"params": filled(self.params, person, unique), "json": filled(self.json, person, unique), **changes}
        if sent["json"] is None:
            del sent["json"]
        return client.request(method, path, **sent)


def filled(value: Any, person: Person, unique: str) -> Any:
    """Return a value of a sample with its places filled in."""
    if isinstance(value, Mapping):
        return {name: filled(each, person, unique) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, person, unique) for each in value]
    if not isinstance(value, str):
        return value
    words = {"customer": person.customer, "unique": unique}
    return _PLACE.sub(lambda found: words.get(found[1]) or person.row(found[1]), value)


def _own(**more: str) -> dict[str, str]:
    return {"customerId": "{customer}", **more}


BIOMARKERS = {"testosterone_total": {"value": 650, "unit": "ng/dL", "code": "LOINC:2986-8"}}
READING = {
    "customerId": "{customer}",
    "dataType": "glucose",
    "value": 95.5,
    "unit": "mg/dL",
    "source": "dexcom_api",
    "recordedAt": "2026-03-20T14:30:00Z",
}
RECORD = {"table": "customer_profiles", "id": "{customer}"}
NO_RECORD = {"table": "customer_profiles", "id": "nobody_{unique}"}

SAMPLES: Mapping[str, Sample] = {
    "GET /profiles": Sample("profile", "read", params=_own(), absent=200),
    "GET /profiles/{id}": Sample("profile", "read", "profile"),
    # a customer has one profile: whoever has one makes no other
    "POST /profiles": Sample(
        "profile",
        "write",
        json={"externalId": "user_{unique}", "email": "{unique}@example.com"},
        status=201,
        absent=201,
        bound=403,
    ),
    "PATCH /profiles/{id}": Sample("profile", "write", "profile", json={"subscriptionTier": "premium"}),
    "GET /labs": Sample("lab_results", "read", params=_own(), absent=200),
    "GET /labs/{id}": Sample("lab_results", "read", "lab"),
    "POST /labs": Sample(
        "lab_results", "write", json=_own(uploadId="upload_{unique}") | {"biomarkers": BIOMARKERS}, status=201
    ),
    "PATCH /labs/{id}": Sample("lab_results", "write", "lab", json={"status": "reviewed"}),
    "GET /treatments": Sample("treatment", "read", params=_own(), absent=200),
    "GET /treatments/{id}": Sample("treatment", "read", "treatment"),
    "POST /treatments": Sample(
        "treatment", "write", json=_own(offeringId="offering_glp1", offeringName="GLP-1", status="pending"), status=201
    ),
    # customers ask for a treatment; what becomes of it others decide
    "PATCH /treatments/{id}": Sample("treatment", "write", "treatment", json={"notes": "Seen"}, customer=403),
    "GET /prescriptions": Sample("protocols", "read", params=_own(), absent=200),
    "GET /prescriptions/{id}": Sample("protocols", "read", "prescription"),
    "GET /wearables/readings": Sample("lab_results", "read", params=_own(), absent=200),
    "POST /wearables/readings": Sample("lab_results", "write", json={"readings": [READING]}, absent=400),
    "GET /wearables/daily-stats": Sample("lab_results", "read", params=_own(), absent=200),
    "GET /protocols": Sample("protocols", "read", params=_own(), absent=200),
    "GET /protocols/{id}": Sample("protocols", "read", "protocol"),
    "POST /protocols": Sample("protocols", "write", json=_own(name="Vitamin D"), status=201),
    "PATCH /protocols/{id}": Sample("protocols", "write", "protocol", json={"notes": "With food"}),
    "GET /events": Sample("events", "read", params=_own(), absent=200),
    "POST /events": Sample("events", "write", json=_own(type="protocol_check_in", description="Well"), status=201),
    "GET /conversation-history": Sample("conversation_history", "read", params=_own(), absent=200),
    "POST /conversation-history": Sample(
        "conversation_history", "write", json=_own(role="user", content="Hello"), status=201
    ),
    "GET /identity-mappings": Sample("profile", "read", params=_own(), absent=200),
    "POST /identity-mappings": Sample(
        "profile", "write", json=_own(externalSystem="clerk", externalId="clerk_{unique}"), status=201, customer=403
    ),
    "GET /profiles/{id}/export": Sample("profile", "export", "profile"),
    # the trail is the organization's: who is bound to one customer sees none of it
    "GET /audit-log": Sample("audit_log", "read", params=_own(), absent=200, bound=403),
    "GET /disclosures": Sample("audit_log", "read", params=_own(), absent=200, bound=403),
    "GET /identity-mappings/resolve": Sample(
        "profile", "read", params={"externalSystem": "stripe", "externalId": "cus_{customer}"}, bound=403
    ),
    # who is the same person is decided by those who see the whole organization; here it is asked of pairs that are not
    "GET /identity/matches": Sample("profile", "read", absent=200, bound=403),
    "GET /identity/matches/{id}": Sample("profile", "read", "match", status=404, bound=403),
    "POST /identity/matches/{id}/merge": Sample(
        "profile", "write", "match", json={"survivorId": "{customer}"}, status=404, bound=403
    ),
    "POST /identity/matches/{id}/reject": Sample(
        "profile", "write", "match", json={"reason": "Sisters"}, status=404, bound=403
    ),
    "GET /identity/merges": Sample("profile", "read", absent=200, bound=403),
    "POST /identity/merges": Sample(
        "profile", "write", json={"survivor": RECORD, "merged": NO_RECORD}, status=404, bound=403
    ),
    "POST /identity/merges/{id}/unmerge": Sample(
        "profile", "write", "merge", json={"reason": "Two persons"}, status=404, bound=403
    ),
}
