"""Who is the same person within an organization: pairs to review, and what was merged (issue: identity resolution).

Nothing is moved when records are merged: both stay what they are, and the merge says which one stands for both.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, Index, PrimaryKeyConstraint, Table, Text, text

from storage.tables.columns import created_at, identity, json_object, updated_at
from storage.tables.enums import MatchOutcome, MatchStatus, one_of
from storage.tables.metadata import Identifier, metadata
from storage.tables.types import ExactDecimal, Timestamp

identity_matches = Table(
    "identity_matches",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    identity(),
    Column("first_table", Identifier, nullable=False),
    Column("first_id", Identifier, nullable=False, comment="the lesser of the two"),
    Column("second_table", Identifier, nullable=False),
    Column("second_id", Identifier, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("score", ExactDecimal, nullable=False),
    json_object("evidence"),
    Column("status", Text, nullable=False, server_default="open"),
    Column("reviewed_at", Timestamp),
    Column("reviewed_by", Identifier),
    Column("reason", Text),
    created_at(),
    updated_at(),
    PrimaryKeyConstraint("organization_id", "id"),
    CheckConstraint(one_of("outcome", MatchOutcome), name="outcome"),
    CheckConstraint(one_of("status", MatchStatus), name="status"),
    Index(
        "identity_matches_pair_key",
        "organization_id",
        "first_table",
        "first_id",
        "second_table",
        "second_id",
        unique=True,
    ),
    Index("identity_matches_second_idx", "organization_id", "second_table", "second_id"),
    Index("identity_matches_status_idx", "organization_id", "status", "created_at"),
)

identity_merges = Table(
    "identity_merges",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    identity(),
    Column("surviving_table", Identifier, nullable=False),
    Column("surviving_id", Identifier, nullable=False, comment="the record that stands for both"),
    Column("merged_table", Identifier, nullable=False),
    Column("merged_id", Identifier, nullable=False),
    Column("match_id", Identifier, comment="the pair it comes from; null: merged by hand"),
    json_object("evidence"),
    Column("merged_at", Timestamp, nullable=False),
    Column("merged_by", Identifier, nullable=False),
    Column("reason", Text),
    Column("unmerged_at", Timestamp, comment="null: in force"),
    Column("unmerged_by", Identifier),
    Column("unmerge_reason", Text),
    PrimaryKeyConstraint("organization_id", "id"),
    Index(
        "identity_merges_merged_key",
        "organization_id",
        "merged_table",
        "merged_id",
        unique=True,
        postgresql_where=text("unmerged_at IS NULL"),
        sqlite_where=text("unmerged_at IS NULL"),
    ),
    Index("identity_merges_time_idx", "organization_id", "merged_at"),
    Index("identity_merges_surviving_idx", "organization_id", "surviving_table", "surviving_id"),
)

TENANT_TABLES: Final = (identity_matches, identity_merges)
