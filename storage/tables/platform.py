"""Tables outside tenancy: organizations, who may sign in, which apps exist, and the keys (settled §2.1)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

from storage.tables.columns import created_at, identity, json_object, updated_at
from storage.tables.enums import ClientType, HomeSystem, KeyState, LinkStatus, one_of
from storage.tables.metadata import Identifier, Int8, metadata
from storage.tables.types import ExactDecimal, Json, TextList, Timestamp, empty_list

organizations = Table(
    "organizations",
    metadata,
    identity(),
    Column("name", Text, nullable=False),
    Column("type", Text, comment="HOSPITAL, CLINIC, PRACTICE, …"),
    Column("domain", Identifier),
    Column("email", Text),
    Column("phone", Text),
    Column("address", Text),
    Column("website", Text),
    Column("home_system", Text, nullable=False, server_default="graph", comment="whose tables take its patients"),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    json_object("settings"),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("domain"),
    CheckConstraint(one_of("home_system", HomeSystem), name="home_system"),
    comment="settings.timezone: IANA name of the organization's zone",
)

users = Table(
    "users",
    metadata,
    identity(),
    Column("email", Identifier, nullable=False, comment="lower case"),
    Column("password_hash", Text, comment="Argon2id; null: signs in elsewhere"),
    Column("name", Text, comment="derived from first_name and last_name, or set alone"),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("avatar", Text),
    Column("phone", Text),
    Column("is_platform_admin", Boolean, nullable=False, server_default=false()),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("email_verified", Boolean, nullable=False, server_default=false()),
    Column("mfa_enabled", Boolean, nullable=False, server_default=false()),
    Column("mfa_secret", Text, comment="encrypted"),
    Column("mfa_last_step", Int8, comment="time step of the last one-time password: each works once (RFC 6238 §5.2)"),
    Column("backup_codes", TextList, nullable=False, server_default=empty_list(), comment="hashes"),
    Column("last_login_at", Timestamp),
    Column("password_reset_token", Text, comment="HMAC"),
    Column("password_reset_expires", Timestamp),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("email"),
)

user_organizations = Table(
    "user_organizations",
    metadata,
    identity(),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    Column("organization_id", Identifier, ForeignKey("organizations.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("fhir_user", Identifier, comment="Type/id of the resource that stands for the user"),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("user_id", "organization_id", name="user_organizations_user_id_organization_id_key"),
    Index("user_organizations_organization_id_idx", "organization_id"),
)

social_accounts = Table(
    "social_accounts",
    metadata,
    identity(),
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    Column("provider", Identifier, nullable=False, comment="google, apple, …"),
    Column("provider_account_id", Identifier, nullable=False, comment="the user's id there"),
    Column("email", Text, comment="as the provider told it"),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("provider", "provider_account_id", name="social_accounts_provider_account_id_key"),
    Index("social_accounts_user_id_idx", "user_id"),
    comment="accounts elsewhere that a user signs in with; no token of theirs is kept",
)

user_patients = Table(
    "user_patients",
    metadata,
    Column("user_id", Identifier, ForeignKey("users.id"), nullable=False),
    Column("organization_id", Identifier, ForeignKey("organizations.id"), nullable=False),
    Column("patient_id", Identifier, nullable=False, comment="id of the Patient resource"),
    created_at(),
    PrimaryKeyConstraint("user_id", "organization_id", "patient_id"),
    comment="the patients whom a user in the role PATIENT may act for",
)

clients = Table(
    "clients",
    metadata,
    identity(),
    Column(
        "organization_id", Identifier, ForeignKey("organizations.id"), comment="null: public, of the user's session"
    ),
    Column("name", Text),
    Column("type", Text, nullable=False),
    Column("redirect_uris", TextList, nullable=False, server_default=empty_list()),
    Column("launch_uris", TextList, nullable=False, server_default=empty_list()),
    Column("jwks", Json),
    Column("jwks_uri", Text),
    Column("origins", TextList, nullable=False, server_default=empty_list(), comment="for CORS"),
    Column("scope", Text, nullable=False, server_default="", comment="the most it may be granted"),
    Column("secret", Text, comment="HMAC-SHA-256 with a pepper, hexadecimal"),
    Column("previous_secret", Text, comment="still good until previous_secret_until"),
    Column("previous_secret_until", Int8, comment="seconds since 1970 UTC"),
    Column("logo_uri", Text),
    Column("publisher", Text),
    Column("is_verified", Boolean, nullable=False, server_default=false(), comment="the operator vouches for it"),
    Column("is_native", Boolean, nullable=False, server_default=false(), comment="loopback redirects on any port"),
    Column("is_partner", Boolean, nullable=False, server_default=false(), comment="sees those who agreed to it"),
    Column("may_introspect", Boolean, nullable=False, server_default=false(), comment="tokens of other clients"),
    Column("is_dynamic", Boolean, nullable=False, server_default=false(), comment="registered itself (RFC 7591)"),
    Column("required_scope", Text, nullable=False, server_default="", comment="without these it does not work"),
    Column("access_token_ttl", Integer, comment="seconds; null: that of the settings"),
    Column("refresh_token_ttl", Integer, comment="seconds without use; null: that of the settings"),
    Column("app_states", TextList, nullable=False, server_default=empty_list(), comment="which it may keep"),
    Column("rate_limit", Integer, comment="requests a minute at /fhir; null: that of the settings"),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    json_object("metadata", nullable=True),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    CheckConstraint(one_of("type", ClientType), name="type"),
    CheckConstraint("type = 'public' OR organization_id IS NOT NULL", name="organization"),
    Index("clients_organization_id_idx", "organization_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Identifier, nullable=False, comment="RFC 7638 thumbprint"),
    Column("alg", Text, nullable=False),
    Column("private_key", Text, nullable=False, comment="encrypted"),
    Column("public_jwk", Json, nullable=False),
    Column("state", Text, nullable=False),
    created_at(),
    Column("activated_at", Timestamp),
    Column("retired_at", Timestamp),
    Column("gone_at", Timestamp),
    PrimaryKeyConstraint("kid"),
    CheckConstraint(one_of("state", KeyState), name="state"),
)

revocations = Table(
    "revocations",
    metadata,
    Column("kind", Identifier, nullable=False, comment="jti, grant, client, user, organization"),
    Column("value", Identifier, nullable=False),
    Column("revoked_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False, comment="when the last token it concerns expires"),
    PrimaryKeyConstraint("kind", "value"),
    Index("revocations_expires_at_idx", "expires_at"),
)

person_links = Table(
    "person_links",
    metadata,
    identity(),
    Column("first_organization_id", Identifier, ForeignKey("organizations.id"), nullable=False),
    Column("first_patient_id", Identifier, nullable=False, comment="id of the Patient resource"),
    Column("second_organization_id", Identifier, ForeignKey("organizations.id"), nullable=False),
    Column("second_patient_id", Identifier, nullable=False),
    Column("status", Text, nullable=False, server_default="candidate"),
    Column("score", ExactDecimal),
    json_object("evidence", nullable=True),
    Column("consented_at", Timestamp, comment="when the person agreed to be shown both"),
    Column("reviewed_at", Timestamp),
    Column("reviewed_by", Identifier),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("id"),
    UniqueConstraint(
        "first_organization_id",
        "first_patient_id",
        "second_organization_id",
        "second_patient_id",
        name="person_links_pair_key",
    ),
    CheckConstraint(one_of("status", LinkStatus), name="status"),
    Index("person_links_second_idx", "second_organization_id", "second_patient_id"),
    comment="the same person in two organizations (settled §1.12)",
)

PLATFORM_TABLES: Final = (
    organizations,
    users,
    user_organizations,
    social_accounts,
    user_patients,
    clients,
    signing_keys,
    revocations,
    person_links,
)
