"""The audit log and the accounting of disclosures as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import Pagination, Shown

Action = Literal["read", "write", "delete", "export"]
Outcome = Literal["allowed", "denied"]

ENTRY: dict[str, Any] = {
    "id": "4503599627370496",
    "actorId": "user_2abc123",
    "actorRole": "CLINICIAN",
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "resource": "lab_results",
    "action": "read",
    "outcome": "allowed",
    "ipAddress": "192.168.1.1",
    "userAgent": "Mozilla/5.0",
    "timestamp": "2026-03-20T19:45:00.123456Z",
    "clientId": "portal",
    "customerIds": [],
    "resourceIds": ["7b0a"],
    "interaction": None,
    "status": 200,
    "count": None,
    "requestId": "f4b1c2",
    "method": "GET",
    "path": "/graph/labs/{id}",
    "purpose": None,
}
RECIPIENT: dict[str, Any] = {
    "actorId": "user_2abc123",
    "actorRole": "CLINICIAN",
    "clientId": "portal",
    "purpose": None,
    "firstAt": "2026-03-20T19:45:00.123456Z",
    "lastAt": "2026-03-21T08:00:00.654321Z",
    "count": 12,
    "resources": [{"resource": "Observation", "action": "read", "count": 12}],
}
ACCOUNT: dict[str, Any] = {
    "customerId": ENTRY["customerId"],
    "records": [ENTRY["customerId"]],
    "fromDate": "2026-03-01T00:00:00Z",
    "toDate": "2026-04-01T00:00:00Z",
    "count": 12,
    "recipients": [RECIPIENT],
    "accesses": [ENTRY],
}


class AuditLogEntry(Shown):
    """One access that is on record."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENTRY]})

    id: str = Field(description="Id of the AuditEvent in FHIR, too")
    actor_id: str
    actor_role: str
    customer_id: str | None = Field(description="The one customer concerned")
    resource: str
    action: str
    outcome: str
    ip_address: str | None
    user_agent: str | None
    timestamp: datetime
    client_id: str | None
    customer_ids: list[str] = Field(description="The customers concerned, when they are several")
    resource_ids: list[str] = Field(description="At most 100")
    interaction: str | None
    status: int | None = Field(description="HTTP status of the answer")
    count: int | None = Field(description="How many a search found")
    request_id: str | None
    method: str | None
    path: str | None = Field(description="Template of the address, without ids")
    purpose: str | None = Field(description="Purpose of use; BTG: break the glass")


class AuditLogPagination(Pagination):
    """Where a page lies among what was looked at."""

    complete: bool = Field(
        description="Whether all records of the period were looked at. If not, total counts the newest ones only: "
        "ask again with an earlier toDate.",
        examples=[True],
    )


class AuditLog(Shown):
    """A page of the audit log."""

    success: Literal[True] = True
    data: list[AuditLogEntry]
    pagination: AuditLogPagination


class UsedResource(Shown):
    """What of a person's data was used how often."""

    resource: str
    action: str
    count: int


class Recipient(Shown):
    """Who used a person's data: one actor with one client for one purpose."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECIPIENT]})

    actor_id: str
    actor_role: str
    client_id: str | None
    purpose: str | None
    first_at: datetime
    last_at: datetime
    count: int
    resources: list[UsedResource]


class Disclosures(Shown):
    """Who saw or changed a person's data in a period."""

    model_config = ConfigDict(json_schema_extra={"examples": [ACCOUNT]})

    customer_id: str
    records: list[str] = Field(description="Ids under which the person's data is kept: merged records are one person's")
    from_date: datetime
    to_date: datetime
    count: int = Field(description="Requests in all")
    recipients: list[Recipient]
    accesses: list[AuditLogEntry] = Field(description="Single requests, newest first, a page of them")


class Accounting(Shown):
    """The accounting of disclosures of one person."""

    success: Literal[True] = True
    data: Disclosures
    pagination: Pagination
