"""Columns that many tables share."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKeyConstraint, text

from storage.tables.metadata import Identifier
from storage.tables.types import Json, Timestamp, current_organization, now, random_id


def organization() -> Column[str]:
    """Return `organization_id` of a tenant table: the first part of every key."""
    return Column("organization_id", Identifier, nullable=False, server_default=current_organization())


def identity() -> Column[str]:
    """Return `id`: text as it arrived, a random UUID for writers that bring none."""
    return Column("id", Identifier, nullable=False, server_default=random_id())


def created_at() -> Column[object]:
    """Return `created_at`."""
    return Column("created_at", Timestamp, nullable=False, server_default=now())


def updated_at() -> Column[object]:
    """Return `updated_at`."""
    return Column("updated_at", Timestamp, nullable=False, server_default=now())


def json_object(name: str, *, nullable: bool = False) -> Column[object]:
    """Return a JSON column whose default is an empty object."""
    return Column(name, Json, nullable=nullable, server_default=text("'{}'"))


def within_organization(column: str, table: str) -> ForeignKeyConstraint:
    """Return the foreign key to a row of the same organization (security TN-4)."""
    return ForeignKeyConstraint(["organization_id", column], [f"{table}.organization_id", f"{table}.id"])
