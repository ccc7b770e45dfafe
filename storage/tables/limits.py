"""How often who asked lately: what rate limits count, shared by all workers (settled §2.1, outside tenancy)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ARRAY, BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text

from storage.tables.metadata import Identifier, Int8, metadata

Int8List: Final = ARRAY(BigInteger()).with_variant(Text(), "sqlite")

rate_limit_hits = Table(
    "rate_limit_hits",
    metadata,
    Column("key", Identifier, nullable=False, comment="what is counted: a limit, and a digest of who asks"),
    Column("most", Integer, nullable=False, comment="hits in a window"),
    Column("span", Integer, nullable=False, comment="length of a window in milliseconds"),
    Column("instants", Int8List, nullable=False, comment="milliseconds since 1970 UTC, ascending; first one that left"),
    Column("totals", Int8List, nullable=False, comment="hits up to each instant"),
    Column("granted", Integer, nullable=False, comment="what the latest statement granted"),
    Column("expires_at", Int8, nullable=False, comment="two windows after the latest statement"),
    PrimaryKeyConstraint("key"),
    comment="nothing but counts of the last minutes: not logged on PostgreSQL, so that a hit waits for no disk; on "
    "SQLite in a file of its own",
)

LIMIT_TABLES: Final = (rate_limit_hits,)
