"""Webhooks that come in: the secrets of those who send them, and every event as it was received."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, Text

from storage.tables.columns import created_at, identity
from storage.tables.metadata import Bytes, Identifier, metadata
from storage.tables.types import Json, Timestamp

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    identity(),
    Column("organization_id", Identifier, nullable=False, comment="whose events it signs"),
    Column("provider", Identifier, nullable=False, comment="rimo"),
    Column("secret", Text, nullable=False, comment="encrypted"),
    Column("expires_at", Timestamp, comment="null: the present one; else the one before, still good until then"),
    created_at(),
    PrimaryKeyConstraint("id"),
    Index("webhook_secrets_provider_idx", "provider", "organization_id"),
    comment="outside tenancy: which organization an event is for is known by the secret that signed it",
)

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("event_id", Identifier, nullable=False, comment="webhook-id, the same however often it is sent"),
    Column("type", Identifier, nullable=False),
    Column("occurred_at", Timestamp, nullable=False, comment="as the event says; later ones win"),
    Column("received_at", Timestamp, nullable=False),
    Column("subject_id", Identifier, comment="the order it is about; null where nobody knows its type"),
    Column("waits_for", Identifier, comment="the treatment, as the sender calls it, that is not approved here yet"),
    Column("body", Bytes, nullable=False, comment="as received"),
    Column("sha256", Bytes, nullable=False, comment="of the body: the same id with another body is refused"),
    Column("status", Identifier, nullable=False, comment="applied, waiting, unknown, refused, invalid"),
    Column("answer", Json, nullable=False, comment="what the first delivery was answered"),
    PrimaryKeyConstraint("organization_id", "provider", "event_id"),
    Index("webhook_events_subject_idx", "organization_id", "provider", "subject_id", "occurred_at"),
    Index("webhook_events_waits_for_idx", "organization_id", "provider", "waits_for"),
)

TENANT_TABLES: Final = (webhook_events,)
PLATFORM_TABLES: Final = (webhook_secrets,)
