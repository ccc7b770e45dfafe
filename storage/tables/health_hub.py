"""The health hub: every table of its document, plus what internal_tables.md and settled.md add.

The key of every table starts with organization_id, as do its indexes and the foreign keys to tables of the hub; users
are outside tenancy. Whoever deletes a user deletes the profiles, and with a profile goes all that was gathered for it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from storage.tables.columns import created_at, identity, organization, updated_at
from storage.tables.enums import SummaryStatus, SyncStatus, one_of
from storage.tables.metadata import Identifier, metadata
from storage.tables.types import HUB_ORGANIZATION, Json, Received, Timestamp, now


def _of_profile(table: str) -> ForeignKeyConstraint:
    """Return the foreign key of a table to the profile, with which the row goes."""
    key = ["profiles.organization_id", "profiles.id"]
    name = f"{table}_profile_id_fkey"  # the conventional one is longer than PostgreSQL's names
    return ForeignKeyConstraint(["organization_id", "profile_id"], key, name=name, ondelete="CASCADE")


def _stamp(name: str) -> Column[object]:
    """Return an instant that is the database's clock unless the writer says otherwise."""
    return Column(name, Timestamp, nullable=False, server_default=now())


profiles = Table(
    "profiles",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("user_id", Identifier, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("legal_name", Text),
    Column("dob", Date),
    Column("relationship", Text, comment="self, mother, …"),
    created_at(),
    PrimaryKeyConstraint("organization_id", "id"),
    ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    Index("profiles_user_id_idx", "organization_id", "user_id", "created_at"),
    Index("profiles_birth_idx", "organization_id", "dob"),
    comment="one user may gather the records of many",
)

oauth_states = Table(
    "oauth_states",
    metadata,
    organization(HUB_ORGANIZATION),
    Column("state", Identifier, nullable=False, info={"secret": True}),
    Column("user_id", Identifier, nullable=False),
    Column("profile_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False, comment="epic, athena, …"),
    Column("expires_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("organization_id", "state"),
    ForeignKeyConstraint(["user_id"], ["users.id"]),
    _of_profile("oauth_states"),
    Index("oauth_states_profile_id_idx", "organization_id", "profile_id"),
    Index("oauth_states_expires_at_idx", "organization_id", "expires_at"),
    comment="guards the callback of a provider against forged ones",
)

profile_emr_connections = Table(
    "profile_emr_connections",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("profile_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False, comment="epic, athena, …"),
    Column("patient_emr_id", Identifier, nullable=False, comment="id of the Patient at the provider"),
    Column("access_token_encrypted", Text, nullable=False),
    Column("refresh_token_encrypted", Text),
    Column("expires_at", Timestamp, comment="of the access token"),
    Column("scope", Text),
    Column("status", Text, nullable=False, server_default="connected"),
    Column("last_error", Text),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("organization_id", "id"),
    _of_profile("profile_emr_connections"),
    Index("uniq_profile_provider", "organization_id", "profile_id", "provider", unique=True),
    Index("profile_emr_connections_patient_emr_id_idx", "organization_id", "provider", "patient_emr_id"),
)

profile_fhir_resources_raw = Table(
    "profile_fhir_resources_raw",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("profile_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("resource_type", Identifier, nullable=False),
    Column("resource_id", Identifier, nullable=False, comment="id at the provider"),
    Column("resource_json", Received, nullable=False, comment="the bytes as received (settled §2.5)"),
    Column("sha256", Identifier, comment="of the bytes, hexadecimal; null: another writer's, who left none"),
    Column("fetch_url", Text),
    Column("etag", Text),
    _stamp("fetched_at"),
    PrimaryKeyConstraint("organization_id", "id"),
    _of_profile("profile_fhir_resources_raw"),
    Index(
        "profile_fhir_resources_raw_resource_id_idx",
        "organization_id",
        "profile_id",
        "provider",
        "resource_type",
        "resource_id",
        unique=True,
    ),
)

profile_fhir_resources_normalized = Table(
    "profile_fhir_resources_normalized",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("profile_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("resource_type", Identifier, nullable=False),
    Column("canonical_code", Identifier, comment="like LOINC|4548-4, where there is one"),
    Column("normalized_json", Json, nullable=False),
    _stamp("normalized_at"),
    PrimaryKeyConstraint("organization_id", "id"),
    _of_profile("profile_fhir_resources_normalized"),
    Index(
        "profile_fhir_resources_normalized_canonical_code_idx",
        "organization_id",
        "profile_id",
        "resource_type",
        "canonical_code",
    ),
)

profile_fhir_resources_clean = Table(
    "profile_fhir_resources_clean",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("profile_id", Identifier, nullable=False),
    Column("resource_type", Identifier, nullable=False),
    Column("clean_json", Json, nullable=False),
    Column("sources", Json, nullable=False, comment="[{provider, raw_id}]"),
    created_at(),
    PrimaryKeyConstraint("organization_id", "id"),
    _of_profile("profile_fhir_resources_clean"),
    Index("profile_fhir_resources_clean_resource_type_idx", "organization_id", "profile_id", "resource_type"),
)

profile_summary = Table(
    "profile_summary",
    metadata,
    organization(HUB_ORGANIZATION),
    Column("profile_id", Identifier, nullable=False),
    Column("summary_json", Json),
    Column("status", Text, nullable=False, server_default="absent"),
    Column("updated_at", Timestamp),
    PrimaryKeyConstraint("organization_id", "profile_id"),
    _of_profile("profile_summary"),
    CheckConstraint(one_of("status", SummaryStatus), name="status"),
)

profile_sync_jobs = Table(
    "profile_sync_jobs",
    metadata,
    organization(HUB_ORGANIZATION),
    identity(),
    Column("profile_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("status", Text, nullable=False),
    _stamp("started_at"),
    Column("finished_at", Timestamp),
    Column("resources_fetched", Integer),
    Column("error_message", Text),
    PrimaryKeyConstraint("organization_id", "id"),
    _of_profile("profile_sync_jobs"),
    CheckConstraint(one_of("status", SyncStatus), name="status"),
    Index("profile_sync_jobs_started_at_idx", "organization_id", "profile_id", "started_at"),
)

TENANT_TABLES: Final = (
    profiles,
    oauth_states,
    profile_emr_connections,
    profile_fhir_resources_raw,
    profile_fhir_resources_normalized,
    profile_fhir_resources_clean,
    profile_summary,
    profile_sync_jobs,
)
