"""What lineage says of columns is true: another value of a column changes elements that name it, and no others."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mappers.json_values import Json, encode
from mappers.leaves import leaves
from mappers.lens import ResourceMapper
from mappers.registry import mapper_named
from mappers.residual import NOTHING
from tests.builders import ROWS, lookups
from tests.laws.test_mapping_laws import a_part, every_mapper

KEYS = frozenset({"id", "organization_id"})
DOCUMENTS = {"profile_fhir_resources_clean": frozenset({"resource_type", "clean_json"})}
"""Columns that say one thing together: only one of them from another row would be no row."""


@every_mapper
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(data=st.data())
def test_lineage_names_the_column_behind_every_element_that_it_changes(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    row, part = a_part(data, mapper)
    other = data.draw(ROWS[name])
    fixed = KEYS | DOCUMENTS.get(mapper.table, frozenset())
    for column in (each.name for each in dataclasses.fields(row) if each.name not in fixed):
        changed = dataclasses.replace(row, **{column: getattr(other, column)})
        if part in mapper.parts(changed, lookups()):
            assert unnamed(mapper.of(row), column, (row, changed), part) == []


def unnamed(mapper: ResourceMapper, column: str, rows: tuple[Any, Any], part: str) -> list[str]:
    """Return the elements that only one of two rows shows, and whose source is another column than the one changed.

    A constant (the system of an identifier) comes and goes with what it belongs to. Elements of a list are the same
    wherever they stand in it.
    """
    source = f"{mapper.table}.{column}"
    shown = [leaves(mapper.render(row, part, lookups())) for row in rows]
    told = [mapper.lineage(row, part, lookups(), NOTHING) for row in rows]
    bags = [Counter(_content(path, value) for path, value in each.items()) for each in shown]
    found: list[str] = []
    for at in (0, 1):
        for content in bags[at] - bags[1 - at]:
            sources = _sources(content, shown[at], told[at])
            if not any(source in each.split(", ") or each == "constant" for each in sources):
                found.append(content[0])
    return found


def _content(path: str, value: Json) -> tuple[str, bytes]:
    return re.sub(r"\[\d+\]", "", path), encode(value)


def _sources(content: tuple[str, bytes], shown: Mapping[str, Json], told: Mapping[str, str]) -> list[str]:
    return [told[path] for path, value in shown.items() if _content(path, value) == content]
