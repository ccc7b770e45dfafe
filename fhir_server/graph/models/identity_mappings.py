"""Identity mappings as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import FreeObject, Instant, Key, Sent, Shown

NEW: dict[str, Any] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "externalSystem": "clerk",
    "externalId": "user_2abc123",
}
SHOWN: dict[str, Any] = {
    "id": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a15",
    **NEW,
    "identifierType": "clerk_user_id",
    "verifiedAt": None,
    "metadata": None,
    "createdAt": "2026-01-15T10:00:00Z",
    "updatedAt": "2026-01-15T10:00:00Z",
}


class NewMapping(Sent):
    """What a person is called in another system; of system and type, one implies the other where it is known."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    external_system: Key | None = Field(None, description="clerk, stripe, bigcommerce, rimo, …")
    identifier_type: Key | None = Field(None, description="clerk_user_id, stripe_customer_id, …")
    external_id: Key
    verified_at: Instant | None = None
    metadata: FreeObject | None = None


class Mapping(Shown):
    """An identity mapping."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    identifier_type: str
    external_system: str | None
    external_id: str
    verified_at: datetime | None
    metadata: Any
    created_at: datetime
    updated_at: datetime


class Record(Shown):
    """A record of a person: a row of `customer_profiles`, or of the `patients` or `profiles` of another system."""

    table: str
    id: str


RESOLVED: dict[str, Any] = {
    "mapping": SHOWN,
    "customerId": SHOWN["customerId"],
    "survivor": {"table": "customer_profiles", "id": SHOWN["customerId"]},
}


class Resolved(Shown):
    """Whom an id in another system stands for."""

    model_config = ConfigDict(json_schema_extra={"examples": [RESOLVED]})

    mapping: Mapping | None = Field(description="null: the profile itself has the id, as its externalId or email")
    customer_id: str = Field(description="The profile that has the id")
    survivor: Record = Field(description="The record that stands for the person, where records were merged")
