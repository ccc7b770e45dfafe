"""Entries of the clinical timeline as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import FreeObject, Instant, Key, Sent, Shown, Text
from storage.tables.enums import PatientEventType

NEW: dict[str, Any] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "type": "lab_parsed",
    "description": "Lab results from Quest Diagnostics",
    "data": {"labResultId": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a11"},
}
SHOWN: dict[str, Any] = {
    "id": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a13",
    **NEW,
    "createdBy": "tester",
    "occurredAt": "2026-03-15T14:00:41Z",
    "protocolId": None,
    "metadata": None,
    "createdAt": "2026-03-15T14:00:41Z",
    "updatedAt": "2026-03-15T14:00:41Z",
}


class NewEvent(Sent):
    """An entry to be added to a customer's timeline."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    type: PatientEventType
    description: Text | None = None
    data: FreeObject = Field(default_factory=dict)
    occurred_at: Instant | None = Field(None, description="When it happened; now, if not said")
    protocol_id: Key | None = Field(None, description="A protocol of the same customer")
    metadata: FreeObject | None = None


class Event(Shown):
    """An entry of a customer's timeline."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    type: PatientEventType
    description: str | None
    data: Any
    created_by: str | None = Field(description="Who wrote it")
    occurred_at: datetime
    protocol_id: str | None
    metadata: Any
    created_at: datetime
    updated_at: datetime
