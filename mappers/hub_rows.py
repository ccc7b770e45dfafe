"""Rows of the health hub as the mappers see them, in the style of `mappers.rows`.

The tokens of a connection are no column here: nothing that renders or logs a row can show them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from mappers.json_values import Json


@dataclass(frozen=True, slots=True)
class EmrConnection:
    """One row of `profile_emr_connections` without its tokens: who a profile is at a provider."""

    id: str
    organization_id: str
    profile_id: str
    provider: str
    patient_emr_id: str
    status: str = "connected"
    expires_at: datetime | None = None
    scope: str | None = None
    last_error: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of `profiles`: somebody whose records a user gathers, with the `profile_emr_connections`."""

    id: str
    organization_id: str
    user_id: str
    display_name: str
    legal_name: str | None = None
    dob: date | None = None
    relationship: str | None = None
    created_at: datetime | None = None
    profile_emr_connections: tuple[EmrConnection, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanRecord:
    """One row of `profile_fhir_resources_clean`: a FHIR resource deduplicated across providers.

    `sources` is a list of `{provider, raw_id}`: rows of `profile_fhir_resources_raw`.
    """

    id: str
    organization_id: str
    profile_id: str
    resource_type: str
    clean_json: Json
    sources: Json = field(default_factory=list)
    created_at: datetime | None = None
