"""What the authorization server remembers: sessions, requests, grants, codes, tokens, launches (settled §2.1).

These tables lie outside tenancy: a person's session comes before the choice of an organization. No token, code, cookie
or launch id is stored, only its SHA-256 (each has 256 random bits). Instants are whole seconds since 1970 UTC.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text, false

from storage.tables.columns import identity, json_object
from storage.tables.metadata import Identifier, Int8, metadata
from storage.tables.types import Json


def _client(*, nullable: bool = False) -> Column[str]:
    return Column("client_id", Identifier, ForeignKey("clients.id", ondelete="CASCADE"), nullable=nullable)


def _user(*, nullable: bool = False) -> Column[str]:
    return Column("user_id", Identifier, ForeignKey("users.id", ondelete="CASCADE"), nullable=nullable)


def _organization(*, nullable: bool = False) -> Column[str]:
    return Column("organization_id", Identifier, ForeignKey("organizations.id"), nullable=nullable)


def _grant() -> Column[str]:
    return Column("grant_id", Identifier, ForeignKey("grants.id", ondelete="CASCADE"), nullable=False)


sessions = Table(
    "sessions",
    metadata,
    identity(),
    Column("browser", Identifier, nullable=False, comment="SHA-256 of the cookie"),
    _user(),
    Column("organization_id", Identifier, ForeignKey("organizations.id"), comment="chosen last"),
    Column("second_factor_at", Int8, comment="null: the password alone was given"),
    Column("second_factor_failures", Integer, nullable=False, server_default="0"),
    Column("authenticated_at", Int8, nullable=False),
    Column("last_seen_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False, comment="however often it is used"),
    Column("ended_at", Int8),
    Column("identity_provider", Identifier, comment="who vouched for the person; null: a password"),
    PrimaryKeyConstraint("id"),
    Index("sessions_browser_key", "browser", unique=True),
    Index("sessions_user_id_idx", "user_id"),
    Index("sessions_expires_at_idx", "expires_at"),
)

authorization_requests = Table(
    "authorization_requests",
    metadata,
    Column("id", Identifier, nullable=False, comment="SHA-256 of the transaction id in the address"),
    Column("browser", Identifier, comment="SHA-256 of the cookie of the browser it is bound to; null: not yet"),
    _client(),
    Column("parameters", Json, nullable=False, comment="as they were checked"),
    Column("choices", Json, nullable=False, comment="organization, patient, encounter: as the person chose"),
    Column("launch_id", Identifier),
    Column("created_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False),
    Column("finished_at", Int8, comment="answered: nothing more can come of it"),
    PrimaryKeyConstraint("id"),
    Index("authorization_requests_expires_at_idx", "expires_at"),
)

grants = Table(
    "grants",
    metadata,
    identity(),
    _client(),
    _user(nullable=True),
    _organization(),
    Column("role", Text, nullable=False, comment="of the user when it was granted"),
    Column("scope", Text, nullable=False, comment="exactly as answered"),
    Column("patient", Identifier, comment="id of the Patient in context"),
    Column("encounter", Identifier),
    Column("fhir_user", Identifier, comment="Type/id"),
    json_object("context"),
    Column("session_id", Identifier, comment="the session whose end ends the grant (online_access)"),
    Column("break_glass_id", Identifier),
    Column("authenticated_at", Int8, nullable=False),
    Column("created_at", Int8, nullable=False),
    Column("last_used_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False, comment="when the last token of it can expire"),
    Column("revoked_at", Int8),
    Column("revoked_for", Text),
    PrimaryKeyConstraint("id"),
    Index("grants_user_id_idx", "user_id", "client_id"),
    Index("grants_session_id_idx", "session_id"),
    Index("grants_expires_at_idx", "expires_at"),
    comment="what a person granted to an app",
)

authorization_codes = Table(
    "authorization_codes",
    metadata,
    Column("code", Identifier, nullable=False, comment="SHA-256"),
    _grant(),
    _client(),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Identifier, nullable=False),
    Column("nonce", Text),
    Column("max_age", Boolean, nullable=False, server_default=false(), comment="whether auth_time was asked for"),
    Column("expires_at", Int8, nullable=False),
    Column("used_at", Int8),
    PrimaryKeyConstraint("code"),
    Index("authorization_codes_grant_id_idx", "grant_id"),
    Index("authorization_codes_expires_at_idx", "expires_at"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token", Identifier, nullable=False, comment="SHA-256"),
    _grant(),
    Column("issued_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False, comment="when it is not used until then"),
    Column("used_at", Int8, comment="rotated: a second use is theft"),
    PrimaryKeyConstraint("token"),
    Index("refresh_tokens_grant_id_idx", "grant_id"),
    Index("refresh_tokens_expires_at_idx", "expires_at"),
)

client_assertions = Table(
    "client_assertions",
    metadata,
    _client(),
    Column("jti", Identifier, nullable=False, comment="SHA-256"),
    Column("expires_at", Int8, nullable=False),
    PrimaryKeyConstraint("client_id", "jti"),
    Index("client_assertions_expires_at_idx", "expires_at"),
    comment="client assertions that were used",
)

launches = Table(
    "launches",
    metadata,
    Column("id", Identifier, nullable=False, comment="SHA-256 of the launch id"),
    _client(),
    _user(nullable=True),
    _organization(),
    Column("patient", Identifier),
    Column("encounter", Identifier),
    json_object("context"),
    Column("created_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False),
    Column("used_at", Int8),
    PrimaryKeyConstraint("id"),
    Index("launches_expires_at_idx", "expires_at"),
    comment="launch contexts that an EHR session minted",
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("kind", Identifier, nullable=False, comment="account, address, client"),
    Column("value", Identifier, nullable=False, comment="HMAC of what it counts for"),
    Column("failures", Integer, nullable=False),
    Column("failed_at", Int8, nullable=False),
    Column("blocked_until", Int8, nullable=False),
    PrimaryKeyConstraint("kind", "value"),
    Index("sign_in_failures_failed_at_idx", "failed_at"),
)

registration_tokens = Table(
    "registration_tokens",
    metadata,
    Column("token", Identifier, nullable=False, comment="SHA-256"),
    _organization(),
    Column("created_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False),
    Column("used_at", Int8),
    PrimaryKeyConstraint("token"),
    comment="initial access tokens of dynamic registration (RFC 7591 §1.2)",
)

break_glass = Table(
    "break_glass",
    metadata,
    identity(),
    _user(),
    _organization(),
    Column("patient", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Int8, nullable=False),
    Column("expires_at", Int8, nullable=False),
    Column("ended_at", Int8),
    PrimaryKeyConstraint("id"),
    Index("break_glass_user_id_idx", "user_id", "expires_at"),
    comment="emergency access: one patient, an hour, a reason (45 CFR 164.312(a)(2)(ii))",
)

AUTHORIZATION_TABLES: Final = (
    sessions,
    authorization_requests,
    grants,
    authorization_codes,
    refresh_tokens,
    client_assertions,
    launches,
    sign_in_failures,
    registration_tokens,
    break_glass,
)
