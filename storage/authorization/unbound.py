"""Reading statements on tables outside tenancy by way of `Database.fetch`, whose statements name an organization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, literal_column

from storage.driver import Row
from storage.engine import Database
from storage.sql import Prepared
from storage.tables.columns import SHARED


def outside_tenancy() -> ColumnElement[bool]:
    """Return a condition that statements for `fetch_unbound` have; it holds for the organization that it passes."""
    return bindparam("organization_id", type_=String()) == literal_column(f"'{SHARED}'")


async def fetch_unbound(database: Database, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
    """Return the rows of one reading statement that no organization's context concerns; raises DatabaseUnavailable."""
    return await database.fetch(SHARED, statement, {**parameters, "organization_id": SHARED})
