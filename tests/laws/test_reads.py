"""A mapper reads the columns that it says it needs and no others: it goes on when one of those is gone."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappers.lens import ResourceMapper
from mappers.registry import MAPPERS, mapper_named
from storage.drift.declared import needed_by
from storage.projection.declared import DERIVED_TABLES
from storage.rows import STAMPS
from tests.builders import ROWS, lookups

of_a_table = pytest.mark.parametrize("name", [mapper.name for mapper in MAPPERS if mapper.table not in DERIVED_TABLES])


@cache
def recorded(row_type: type[Any]) -> tuple[type[Any], set[str]]:
    """Return a row type whose rows note which columns are read."""
    read: set[str] = set()
    names = {each.name for each in dataclasses.fields(row_type)}

    def note(row: Any, name: str) -> Any:
        if name in names:
            read.add(name)
        return object.__getattribute__(row, name)

    return type(row_type.__name__, (row_type,), {"__slots__": (), "__getattribute__": note}), read


def columns_read(mapper: ResourceMapper, row: Any) -> set[str]:
    """Return the columns that rendering a row reads."""
    own_type: Any = type(row)
    row_type, read = recorded(own_type)
    noted = row_type(**{each.name: getattr(row, each.name) for each in dataclasses.fields(row)})
    read.clear()
    for part in mapper.parts(noted, lookups()):
        mapper.resource_id(noted, part)
        mapper.render(noted, part, lookups())
    if mapper.pace is not None:
        mapper.pace(noted)
    return set(read)


@of_a_table
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mapper_reads_what_it_says(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    row = data.draw(ROWS[name])
    needed = {*needed_by(mapper).get(mapper.table, ()), *mapper.children, *STAMPS, "id", "organization_id"}
    assert columns_read(mapper, row) <= needed
