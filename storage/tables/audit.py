"""The audit trail: one row per access, and the seals over them (settled §4.7, security §6).

Rows are only ever inserted: triggers refuse everything else, also to the owner of the tables. On SQLite the accesses
that only read go to a second file with tables of the same shape, so that they never wait for the writer.

On PostgreSQL `rbac_logs` is partitioned by month (`storage/audit_partitions.py`, decision 27).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text, text
from sqlalchemy.ext.compiler import compiles

from storage.tables.metadata import Bytes, Identifier, Int8, metadata


class RecordKey(PrimaryKeyConstraint):
    """The key of a record: organization and id; on PostgreSQL with the instant, which chooses the partition."""


@compiles(RecordKey, "postgresql")
def _with_instant(constraint: RecordKey, compiler: Any, **options: Any) -> str:
    key: str = compiler.visit_primary_key_constraint(constraint, **options)
    return f"{key.removesuffix(')')}, at)"


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
    RecordKey("organization_id", "id"),
    Index("rbac_logs_at_idx", "organization_id", "at", "id"),
    Index(
        "rbac_logs_customer_at_idx",
        "organization_id",
        "customer_id",
        "at",
        "id",
        postgresql_where=text("customer_id IS NOT NULL"),
        sqlite_where=text("customer_id IS NOT NULL"),
    ),
    Index(
        "rbac_logs_patients_idx",
        "organization_id",
        "at",
        "id",
        postgresql_where=text("patients IS NOT NULL"),
        sqlite_where=text("patients IS NOT NULL"),
    ),
    postgresql_partition_by="RANGE (at)",
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

audit_retirements = Table(
    "audit_retirements",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("sequence", Int8, nullable=False),
    Column("before_at", Int8, nullable=False, comment="records of earlier months are gone; microseconds since 1970"),
    Column("through_seal", Int8, nullable=False, comment="of seals up to this one no record is left; 0: of none"),
    Column("seal_hash", Bytes, nullable=False, comment="hash of that seal; empty for none"),
    Column("records", Int8, nullable=False, comment="how many were removed"),
    Column("leaves", Bytes, nullable=False, comment="id and hash of each that later seals cover, too; 40 bytes each"),
    Column("previous", Bytes, nullable=False, comment="hash of the retirement before; empty for the first"),
    Column("hash", Bytes, nullable=False),
    Column("retired_at", Int8, nullable=False, comment="microseconds since 1970 UTC"),
    PrimaryKeyConstraint("organization_id", "sequence"),
    comment="what was removed of the trail when its time was over; verification accepts that and nothing else",
)

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("customer_id", Identifier, comment="the patient whose records are held; empty: all of the organization"),
    Column("reason", Text, nullable=False),
    Column("placed_at", Int8, nullable=False, comment="microseconds since 1970 UTC"),
    Column("released_at", Int8, comment="empty: in force"),
    Column("release_reason", Text),
    PrimaryKeyConstraint("organization_id", "id"),
    comment="audit records that stay whatever their age",
)

TRAIL_TABLES: Final = (rbac_logs, audit_seals, audit_retirements)
"""What each file with audit records has on SQLite. Their rows are only added."""
TENANT_TABLES: Final = (*TRAIL_TABLES, legal_holds)
APPEND_ONLY: Final = TRAIL_TABLES
