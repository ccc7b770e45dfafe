"""Patient.link shows the same person's other records in the organization (mapping.md Patient, settled §1.12)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mappers.care_rows import Patient
from mappers.hub_rows import Profile
from mappers.lens import Absorbed
from mappers.lookups import NO_LOOKUPS, Lookups, PersonLink
from mappers.registry import mapper_named
from mappers.rows import CustomerProfile

OTHERS = (PersonLink("seealso", "patients", "p1"), PersonLink("seealso", "profiles", "f/1"))
SAME = [
    {"other": {"reference": "Patient/p1"}, "type": "seealso"},
    {"other": {"reference": "Patient/chosen"}, "type": "seealso"},
]


def linking(table: str, key: str, others: tuple[PersonLink, ...] = OTHERS) -> Lookups:
    """What is looked up where a row's person has other records."""
    return Lookups(links={(table, key): others}, resource_ids={("Patient", "profiles", "f/1"): "chosen"})


ROWS: dict[str, Any] = {
    "customer_profile": CustomerProfile("c1", "loop-health", "user_1", "ada@example.org"),
    "patient": Patient("a1", "loop-health", "Ada", "Quimby", datetime(1970, 1, 1, tzinfo=UTC)),
    "hub_profile": Profile("f1", "loop-health", "user_1", "Me"),
}


@pytest.fixture(params=sorted(ROWS))
def named(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A Patient mapper of each system, and a row."""
    return mapper_named(request.param), ROWS[request.param]


def test_map_the_records_of_one_person_are_linked(named: tuple[Any, Any]):
    mapper, row = named
    assert mapper.render(row, "", linking(mapper.table, row.id))["link"] == SAME
    assert "link" not in mapper.render(row, "", NO_LOOKUPS)


def test_map_a_clients_own_link_is_kept_beside_them_and_theirs_come_and_go(named: tuple[Any, Any]):
    mapper, row = named
    own = {"other": {"reference": "Patient/older"}, "type": "replaces"}
    shown = mapper.render(row, "", linking(mapper.table, row.id))
    written = mapper.absorb({**shown, "link": [*SAME, own]}, linking(mapper.table, row.id), row)
    assert isinstance(written, Absorbed)
    assert written.row == row
    assert mapper.render(row, "", linking(mapper.table, row.id), written.residual)["link"] == [*SAME, own]
    later = mapper.render(row, "", linking(mapper.table, row.id, OTHERS[:1]), written.residual)
    assert later["link"] == [SAME[0], own]
    assert mapper.render(row, "", NO_LOOKUPS, written.residual)["link"] == [own]


def test_map_a_merge_is_shown_on_both_sides_and_ends_without_a_trace(named: tuple[Any, Any]):
    mapper, row = named
    merges = (PersonLink("replaces", "patients", "old"), PersonLink("replaced-by", "customer_profiles", "new"))
    shown = mapper.render(row, "", linking(mapper.table, row.id, (*OTHERS, *merges)))
    replaces = {"other": {"reference": "Patient/old"}, "type": "replaces"}
    replaced = {"other": {"reference": "Patient/new"}, "type": "replaced-by"}
    assert shown["link"] == [*SAME, replaces, replaced]
    written = mapper.absorb(shown, linking(mapper.table, row.id, (*OTHERS, *merges)), row)
    assert isinstance(written, Absorbed)
    assert written.row == row
    assert mapper.render(row, "", NO_LOOKUPS, written.residual) == {
        name: value for name, value in shown.items() if name != "link"
    }
