"""Profiles as they are sent and shown."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from fhir_server.graph.models.common import Day, Free, FreeObject, Key, Sent, Shown, Text, Word, at_most
from storage.tables.enums import BiologicalSex

Email = Annotated[str, StringConstraints(max_length=320, pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}$")]


ZONES: Final = frozenset(available_timezones())
"""Read once: looking for them opens every file of the time zone database."""


def _zone(name: str) -> str:
    if name not in ZONES:
        raise ValueError("has to be an IANA time zone")
    return name


Zone = Annotated[str, AfterValidator(_zone)]

MOST_ENTRIES: Final = 200
"""Each is a resource in FHIR: a thousand take a second and a half to write."""
Entries = Annotated[list[Text], Field(max_length=MOST_ENTRIES), at_most(MOST_ENTRIES)]

NEW: dict[str, Any] = {
    "externalId": "user_2abc123",
    "email": "patient@example.com",
    "firstName": "Jane",
    "lastName": "Doe",
    "dateOfBirth": "1985-06-15",
    "biologicalSex": "female",
    "phoneNumber": "+12125551234",
    "timezone": "America/Los_Angeles",
    "subscriptionTier": "free",
    "conditions": [],
    "medications": [],
    "allergies": [],
}
SHOWN: dict[str, Any] = {
    "id": "123e4567-e89b-12d3-a456-426614174000",
    **NEW,
    "conditions": ["hypothyroidism"],
    "medications": ["levothyroxine 100mcg"],
    "tags": [],
    "metadata": {},
    "createdAt": "2026-01-15T10:00:00Z",
    "updatedAt": "2026-03-20T19:45:00Z",
}


class NewProfile(Sent):
    """A profile to be made."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    external_id: Key = Field(description="The person's id at the login provider")
    email: Email
    first_name: Word | None = None
    last_name: Word | None = None
    date_of_birth: Day | None = None
    biological_sex: BiologicalSex | None = None
    phone_number: Word | None = None
    timezone: Zone | None = None
    subscription_tier: Word | None = None
    conditions: Entries = Field(default_factory=list)
    medications: Entries = Field(default_factory=list)
    allergies: Entries = Field(default_factory=list)
    tags: Annotated[Free, at_most(MOST_ENTRIES)] = None
    metadata: FreeObject | None = None


class ProfileChanges(Sent):
    """What is to be changed of a profile; what is not named stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"firstName": "Jane", "conditions": ["hypothyroidism", "pcos"]}]}
    )

    email: Email = Field(default="")
    first_name: Word | None = None
    last_name: Word | None = None
    date_of_birth: Day | None = None
    biological_sex: BiologicalSex | None = None
    phone_number: Word | None = None
    timezone: Zone | None = None
    subscription_tier: Word | None = None
    conditions: Entries | None = None
    medications: Entries | None = None
    allergies: Entries | None = None
    tags: Annotated[Free, at_most(MOST_ENTRIES)] = None
    metadata: FreeObject | None = None


class Profile(Shown):
    """A profile."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    external_id: str
    email: str
    first_name: str | None
    last_name: str | None
    date_of_birth: date | None
    biological_sex: str | None
    phone_number: str | None
    timezone: str | None
    subscription_tier: str | None
    conditions: list[str] | None
    medications: list[str] | None
    allergies: list[str] | None
    tags: Any
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
