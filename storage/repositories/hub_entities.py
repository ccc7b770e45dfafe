"""Rows of hub tables that no mapper reads, and the tokens of connections; in the style of `mappers.rows`.

What must not be logged (tokens, states, records of patients) is left out of every `repr`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a connection, encrypted by whoever stores them; `expires_at` is the access token's."""

    access_token_encrypted: str = field(repr=False)
    refresh_token_encrypted: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OAuthState:
    """One row of `oauth_states`: a sign-in at a provider that is under way."""

    state: str = field(repr=False)
    organization_id: str
    user_id: str
    profile_id: str
    provider: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One row of `profile_fhir_resources_raw`: a resource as a provider sent it, byte for byte (settled §2.5)."""

    id: str
    organization_id: str
    profile_id: str
    provider: str
    resource_type: str
    resource_id: str
    resource_json: bytes = field(repr=False)
    sha256: str | None = None
    fetch_url: str | None = field(default=None, repr=False)
    etag: str | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NormalizedRecord:
    """One row of `profile_fhir_resources_normalized`: what a raw record says, in one form."""

    id: str
    organization_id: str
    profile_id: str
    provider: str
    resource_type: str
    normalized_json: Any = field(repr=False)
    canonical_code: str | None = None
    normalized_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProfileSummary:
    """One row of `profile_summary`: what a profile's dashboard shows."""

    profile_id: str
    organization_id: str
    status: str = "absent"
    summary_json: Any = field(default=None, repr=False)
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SyncJob:
    """One row of `profile_sync_jobs`: one fetching of a profile's records from a provider."""

    id: str
    organization_id: str
    profile_id: str
    provider: str
    status: str = "running"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    resources_fetched: int | None = None
    error_message: str | None = None
