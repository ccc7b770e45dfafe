"""Bound parameters of the types of columns, single and as lists."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam

from storage.search.shape import Name
from storage.sql import member_of


def parameter_like(column: ColumnElement[Any], name: Name) -> BindParameter[Any]:
    """Return the parameter `name` with the type of a column."""
    return bindparam(name, type_=column.type)


def is_one_of(column: ColumnElement[Any], name: Name, many: bool) -> ColumnElement[bool]:
    """Test a column for the value of a parameter, or with `many` for one of its values."""
    return member_of(column, name) if many else column == parameter_like(column, name)
