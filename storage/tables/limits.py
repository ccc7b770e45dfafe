"""How often who asked lately: what rate limits count, shared by all workers (settled §2.1, outside tenancy)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table

from storage.tables.metadata import Identifier, Int8, metadata

rate_limit_hits = Table(
    "rate_limit_hits",
    metadata,
    Column("key", Identifier, nullable=False, comment="what is counted: an API, and a digest of who asks"),
    Column("slot", Int8, nullable=False, comment="the part of the window: milliseconds since 1970 UTC, rounded down"),
    Column("hits", Integer, nullable=False),
    PrimaryKeyConstraint("key", "slot"),
    Index("rate_limit_hits_slot_idx", "slot"),
    comment="nothing but counts of the last minutes: not logged on PostgreSQL, so that a hit costs no write to disk",
)

LIMIT_TABLES: Final = (rate_limit_hits,)
