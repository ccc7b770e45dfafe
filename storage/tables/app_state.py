"""What apps keep for themselves (SMART App State, `smart.md` §17): beside the FHIR store, and no part of it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from storage.tables.metadata import Identifier, Int8, metadata

app_states = Table(
    "app_states",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("client_id", Identifier, nullable=False, comment="the app that made it; others may share it"),
    Column("system", Identifier, nullable=False),
    Column("code", Identifier, nullable=False),
    Column("display", Text),
    Column("subject", Identifier, comment="Type/id of the patient or user; null: of the whole organization"),
    Column("extensions", Text, nullable=False, comment="JSON, as it was sent; empty once deleted"),
    Column("version", Integer, nullable=False),
    Column("created_at", Int8, nullable=False, comment="milliseconds since 1970 UTC"),
    Column("updated_at", Int8, nullable=False, comment="milliseconds since 1970 UTC"),
    Column("deleted_at", Int8, comment="milliseconds since 1970 UTC; the id is never used again"),
    PrimaryKeyConstraint("organization_id", "id"),
    Index("app_states_code_idx", "organization_id", "system", "code", "subject"),
    comment="states of apps: configuration, preferences, keys",
)

TENANT_TABLES: Final = (app_states,)
