"""Columns that many tables share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, text
from sqlalchemy.schema import SchemaItem

from storage.tables.metadata import Identifier
from storage.tables.types import (
    SYSTEM_ORGANIZATION,
    Json,
    Timestamp,
    catalogue_organization,
    current_organization,
    now,
    random_id,
)

SHARED: Final = "*"
"""Organization of catalogue rows that all organizations share (settled §2.1)."""

UNSAID_IS_SHARED: Final = "unsaid is shared"
"""Key of a column's `info`: whether a row that does not say whose catalogue row it means, means a shared one."""


def organization(system: str = SYSTEM_ORGANIZATION) -> Column[str]:
    """Return `organization_id` of a tenant table: the first part of every key.

    `system` is the organization of writers who know of none.
    """
    return Column("organization_id", Identifier, nullable=False, server_default=current_organization(system))


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


def catalogue_reference(
    owner: str, reference: str, table: str, *, nullable: bool = False, shared: bool = False
) -> tuple[SchemaItem, ...]:
    """Return the columns, the foreign key and the check of a reference to the catalogue (settled §2.1).

    `<reference>_id` names the row; `<reference>_organization_id` says whose it is: shared by all, or of the same
    organization. `shared`: a writer who does not say means a shared row, else one of its own organization where the
    database knows it.
    """
    key, organization = f"{reference}_id", f"{reference}_organization_id"
    return (
        Column(key, Identifier, nullable=nullable),
        Column(
            organization,
            Identifier,
            nullable=False,
            server_default=SHARED if shared else catalogue_organization(),
            info={UNSAID_IS_SHARED: shared},
        ),
        ForeignKeyConstraint(
            [organization, key], [f"{table}.organization_id", f"{table}.id"], name=f"{owner}_{key}_fkey"
        ),
        CheckConstraint(f"{organization} IN ('{SHARED}', organization_id)", name=reference),
    )
