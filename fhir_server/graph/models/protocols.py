"""Treatment protocols as they are sent and shown."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from fhir_server.graph.models.common import AsSent, Day, Free, FreeObject, Key, Sent, Shown, Text
from storage.tables.enums import ProtocolStatus

MOST_COMPOUNDS = 200

COMPOUND: dict[str, Any] = {
    "name": "levothyroxine",
    "dosage": "112mcg",
    "frequency": "daily",
    "schedule": "morning, fasting",
}
NEW: dict[str, Any] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "name": "Thyroid optimisation",
    "compounds": [COMPOUND],
    "startDate": "2026-03-17",
    "notes": "recheck TSH in 6-8 wk",
}
CHANGES: dict[str, Any] = {"status": "paused", "notes": "nausea"}
SHOWN: dict[str, Any] = {
    "id": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a12",
    **NEW,
    "description": None,
    "status": "active",
    "endDate": None,
    "pausedAt": None,
    "completedAt": None,
    "cancelledAt": None,
    "goals": None,
    "createdBy": "dr_smith_123",
    "metadata": None,
    "createdAt": "2026-03-17T15:00:00Z",
    "updatedAt": "2026-03-17T15:00:00Z",
}


class Compound(BaseModel):
    """What is taken; members that are not named here are kept."""

    model_config = ConfigDict(extra="allow")

    name: Text
    dosage: Decimal | Text | None = None
    frequency: Text | None = None
    schedule: Text | None = None
    route: Text | None = None
    code: Text | None = None
    notes: Text | None = None


Compounds = Annotated[list[Compound], Field(max_length=MOST_COMPOUNDS), AsSent]


class NewProtocol(Sent):
    """A protocol to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    name: Annotated[Text, Field(min_length=1)]
    description: Text | None = None
    status: ProtocolStatus = ProtocolStatus.ACTIVE
    compounds: Compounds = Field(default_factory=list)
    start_date: Day | None = None
    end_date: Day | None = None
    goals: Free = None
    created_by: Key | None = Field(None, description="The clinician who wrote it; a provider's own id where not said")
    notes: Text | None = None
    metadata: FreeObject | None = None


class ProtocolChanges(Sent):
    """What is to be changed of a protocol; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHANGES]})

    name: Annotated[Text, Field(min_length=1)] = ""
    description: Text | None = None
    status: ProtocolStatus = Field(
        default=ProtocolStatus.ACTIVE, description="active ⇄ paused; then completed or cancelled, which are final"
    )
    compounds: Compounds | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    goals: Free = None
    notes: Text | None = None
    metadata: FreeObject | None = None


class Protocol(Shown):
    """A protocol."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    name: str
    description: str | None
    status: ProtocolStatus
    compounds: Any = Field(description="name, dosage, frequency, schedule, route, code, notes of each")
    start_date: date | None
    end_date: date | None
    paused_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    goals: Any
    created_by: str | None
    notes: str | None
    metadata: Any
    created_at: datetime
    updated_at: datetime
