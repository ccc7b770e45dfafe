"""The laws of the mapping (mapping.md "Laws", settled §1), for every mapper, with generated rows and resources."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import fhirkit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappers.json_values import ABSENT, decode, encode, same
from mappers.lens import Absorbed, ResourceMapper
from mappers.paths import shown_at, take
from mappers.registry import MAPPERS, mapper_named
from mappers.residual import NOTHING, Residual
from tests.builders import ROWS, edited, lookups

every_mapper = pytest.mark.parametrize("name", [mapper.name for mapper in MAPPERS])
writable = pytest.mark.parametrize("name", [mapper.name for mapper in MAPPERS if not mapper.read_only])
LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def comparable(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource without what law 1 leaves out: id and the store's meta."""
    out = {key: value for key, value in copy.deepcopy(resource).items() if key != "id"}
    meta = {key: value for key, value in out.pop("meta", {}).items() if key not in {"versionId", "lastUpdated"}}
    return {**out, "meta": meta} if meta else out


def a_part(data: Any, mapper: ResourceMapper) -> tuple[Any, str]:
    """A generated row that has at least one resource, and one of its parts."""
    row = data.draw(ROWS[mapper.name].filter(lambda row: mapper.parts(row, lookups())))
    return row, data.draw(st.sampled_from(mapper.parts(row, lookups())))


def absorbed(data: Any, mapper: ResourceMapper) -> tuple[Any, str, dict[str, Any], Absorbed | None]:
    """A row, its part, a resource that a client made of it, and what became of that."""
    row, part = a_part(data, mapper)
    written = data.draw(edited(mapper.render(row, part, lookups())))
    current = row if not mapper.creatable or data.draw(st.booleans()) else None
    outcome = mapper.absorb(written, lookups(), current, part)
    return row, part, written, outcome if isinstance(outcome, Absorbed) else None


@writable
@LAW
@given(data=st.data())
def test_law_1_what_a_mapper_claims_is_rendered_as_it_was_written(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    _, part, written, outcome = absorbed(data, mapper)
    if outcome is not None:
        stored = Residual.from_json(decode(encode(outcome.residual.to_json())))
        rendered = mapper.render(outcome.row, part, lookups(), stored)
        assert same(comparable(rendered), comparable(written))


@writable
@LAW
@given(data=st.data())
def test_law_2_absorbing_what_a_row_renders_gives_that_row(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    row, part = a_part(data, mapper)
    outcome = mapper.absorb(mapper.render(row, part, lookups()), lookups(), row, part)
    assert outcome == Absorbed(row, NOTHING)


@writable
@LAW
@given(data=st.data())
def test_law_3_writing_back_what_was_read_changes_nothing(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    _, part, _, outcome = absorbed(data, mapper)
    if outcome is not None:
        read = mapper.render(outcome.row, part, lookups(), outcome.residual)
        again = mapper.absorb(read, lookups(), outcome.row, part)
        assert isinstance(again, Absorbed)
        assert again.row == outcome.row
        assert same(mapper.render(again.row, part, lookups(), again.residual), read)


@writable
@LAW
@given(data=st.data())
def test_law_4_a_column_changed_behind_fhir_wins_over_the_residual(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    _, part, _, outcome = absorbed(data, mapper)
    if outcome is None:
        return
    other = data.draw(ROWS[mapper.name])
    columns = sorted({column for item in mapper.fields for column in item.columns} & set(mapper._columns) - {"id"})
    column = data.draw(st.sampled_from(columns))
    changed = dataclasses.replace(outcome.row, **{column: getattr(other, column)})
    if part not in mapper.parts(changed, lookups()):
        return
    bare = outcome.residual.bare
    before = mapper._base(mapper._view(outcome.row, part), part, lookups(), bare)
    after = mapper._base(mapper._view(changed, part), part, lookups(), bare)
    shown = mapper.render(changed, part, lookups(), outcome.residual)
    for _, places in mapper._places:
        for place in places:
            now = shown_at(after, place)
            if now is not ABSENT and not same(now, shown_at(before, place)) and not place[-1].slot:
                assert same(take(shown, place, after), now)


@every_mapper
@LAW
@given(data=st.data())
def test_law_5_ids_are_a_function_of_the_row(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    row, _ = a_part(data, mapper)
    mapper = mapper.of(row)
    ids = [mapper.resource_id(row, part) for part in mapper.parts(row, lookups())]
    assert len(set(ids)) == len(ids)
    assert [mapper.render(row, part, lookups())["id"] for part in mapper.parts(copy.deepcopy(row), lookups())] == ids


@every_mapper
@LAW
@given(data=st.data())
def test_law_6_every_element_names_its_source(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    if mapper.read_only:
        row, part = a_part(data, mapper)
        residual = NOTHING
    else:
        _, part, _, outcome = absorbed(data, mapper)
        if outcome is None:
            return
        row, residual = outcome.row, outcome.residual
    mapper = mapper.of(row)
    lineage = mapper.lineage(row, part, lookups(), residual)
    leaves = set(expressions(mapper.render(row, part, lookups(), residual), mapper.resource_type))
    assert set(lineage) == leaves
    assert all(source in {"residual", "constant"} or f"{mapper.table}." in source for source in lineage.values())


@every_mapper
@LAW
@given(data=st.data())
def test_what_a_row_renders_is_a_valid_resource(name: str, data: Any) -> None:
    mapper = mapper_named(name)
    row, part = a_part(data, mapper)
    assert fhirkit.validate(encode(mapper.of(row).render(row, part, lookups())).decode()) == []


def expressions(value: Any, path: str) -> list[str]:
    """FHIRPath of every leaf but the resource's own type."""
    if isinstance(value, dict):
        members = [item for item in value.items() if item[0] != "resourceType" or "." in path]
        return [found for key, item in members for found in expressions(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in expressions(item, f"{path}[{i}]")]
    return [path]
