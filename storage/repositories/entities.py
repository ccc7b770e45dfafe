"""Rows of tables that no mapper reads; in the style of `mappers.rows`.

Timestamps are aware and UTC. `created_at` and `updated_at` are None in a row that has not been stored yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class PatientEvent:
    """One row of `patient_events`: an entry of the clinical timeline."""

    id: str
    organization_id: str
    customer_id: str
    type: str
    description: str | None = None
    data: Any = field(default_factory=dict)
    created_by: str | None = None
    occurred_at: datetime | None = None
    protocol_id: str | None = None
    metadata: Any = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConversationEntry:
    """One row of `conversation_history`: a line of a conversation with the assistant."""

    id: str
    organization_id: str
    customer_id: str
    channel: str | None = None
    session_id: str | None = None
    role: str | None = None
    content: str | None = None
    token_count: int | None = None
    metadata: Any = None
    occurred_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """One row of `users`; `email` is lower case, `password_hash` None for those who sign in elsewhere."""

    id: str
    email: str
    password_hash: str | None = field(default=None, repr=False)
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    avatar: str | None = None
    phone: str | None = None
    is_platform_admin: bool = False
    is_active: bool = True
    email_verified: bool = False
    mfa_enabled: bool = False
    mfa_secret: str | None = field(default=None, repr=False)
    mfa_last_step: int | None = None
    backup_codes: tuple[str, ...] = field(default=(), repr=False)
    last_login_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserOrganization:
    """One row of `user_organizations`: the role of a user in an organization."""

    id: str
    user_id: str
    organization_id: str
    role: str
    fhir_user: str | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """One row of `clients`: a registered app; secrets are HMACs, times to live and instants in seconds."""

    id: str
    type: str
    organization_id: str | None = None
    name: str | None = None
    redirect_uris: tuple[str, ...] = ()
    launch_uris: tuple[str, ...] = ()
    jwks: Any = None
    jwks_uri: str | None = None
    origins: tuple[str, ...] = ()
    scope: str = ""
    secret: str | None = field(default=None, repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_until: int | None = None
    logo_uri: str | None = None
    publisher: str | None = None
    is_verified: bool = False
    is_native: bool = False
    is_partner: bool = False
    may_introspect: bool = False
    is_dynamic: bool = False
    required_scope: str = ""
    access_token_ttl: int | None = None
    refresh_token_ttl: int | None = None
    app_states: tuple[str, ...] = ()
    rate_limit: int | None = None
    is_active: bool = True
    metadata: Any = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
