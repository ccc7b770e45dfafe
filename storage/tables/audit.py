"""The audit trail: one row per access, and the seals over them (settled §4.7, security §6).

Rows are only ever inserted: triggers refuse everything else, also to the owner of the tables. On SQLite the accesses
that only read go to a second file with tables of the same shape, so that they never wait for the writer.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, text

from storage.tables.metadata import Bytes, Identifier, Int8, metadata

rbac_logs = Table(
    "rbac_logs",
    metadata,
    Column("id", Int8, nullable=False, comment="ascends with time"),
    Column("organization_id", Identifier, nullable=False),
    Column("at", Int8, nullable=False, comment="microseconds since 1970 UTC"),
    Column("actor_id", Identifier, nullable=False),
    Column("actor_role", Identifier, nullable=False),
    Column("client_id", Identifier),
    Column("customer_id", Identifier, comment="the one patient concerned"),
    Column("patients", Text, comment="JSON list, when several patients are concerned"),
    Column("resource", Identifier, nullable=False),
    Column("resource_ids", Text, comment="JSON list of at most 100 ids"),
    Column("action", Identifier, nullable=False, comment="read, write, delete, export"),
    Column("interaction", Identifier),
    Column("outcome", Identifier, nullable=False, comment="allowed, denied"),
    Column("status", SmallInteger, comment="HTTP status"),
    Column("count", Integer, comment="how many a search returned"),
    Column("request_id", Identifier),
    Column("method", Identifier),
    Column("path", Identifier, comment="path template, without ids"),
    Column("ip_address", Identifier),
    Column("user_agent", Text),
    Column("purpose", Identifier),
    Column("grant_id", Identifier, comment="jti of the access token"),
    Column("mac", Bytes, nullable=False, comment="HMAC-SHA-256; empty: imported with the patient graph, sealed only"),
    PrimaryKeyConstraint("organization_id", "id"),
    Index(
        "rbac_logs_customer_id_idx",
        "organization_id",
        "customer_id",
        "id",
        postgresql_where=text("customer_id IS NOT NULL"),
        sqlite_where=text("customer_id IS NOT NULL"),
    ),
)

audit_seals = Table(
    "audit_seals",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("sequence", Int8, nullable=False),
    Column("first_id", Int8, nullable=False),
    Column("last_id", Int8, nullable=False),
    Column("count", Integer, nullable=False),
    Column("root", Bytes, nullable=False, comment="over the hashes of the records"),
    Column("previous", Bytes, nullable=False, comment="hash of the seal before; empty for the first"),
    Column("hash", Bytes, nullable=False),
    Column("sealed_at", Int8, nullable=False, comment="microseconds since 1970 UTC"),
    PrimaryKeyConstraint("organization_id", "sequence"),
    comment="chain of seals per organization",
)

TENANT_TABLES: Final = (rbac_logs, audit_seals)
APPEND_ONLY: Final = TENANT_TABLES
