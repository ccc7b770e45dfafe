"""Law: a search finds what an interpreter of the same tree finds in the plain resources, on both engines."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.engine import Database
from tests.search.library import NOW, Library
from tests.search.oracle import Resource, World
from tests.search.worlds import Draw


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
async def test_searches_find_what_the_oracle_finds(database: Database, seed: int) -> None:
    library, draw = Library(database), Draw(seed)
    world = World(draw.world(), NOW * 1000)
    await library.add(*world.resources)
    for _ in range(60):
        query = draw.query()
        search = library.parse(query)
        expected = world.find(search.resource_type, search.criteria)
        found = await library.everything(f"{query}&_count=3")
        assert sorted(found) == sorted(expected), query
        page = await library.page(f"{query}&_summary=count")
        assert page.total == len(expected), query


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
async def test_sec_AZ_2_a_patient_finds_what_a_world_of_its_compartment_alone_would_give(
    database: Database, seed: int
) -> None:
    """Chains, reverse chains and totals see nothing outside the compartment either."""
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    access = library.patient_access("p1")
    own = World([each for each in resources if in_compartment(each, "p1")], NOW * 1000)
    for _ in range(40):
        query = draw.query()
        search = library.parse(query)
        expected = own.find(search.resource_type, search.criteria)
        assert sorted(await library.everything(f"{query}&_count=3", access)) == sorted(expected), query
        page = await library.page(f"{query}&_summary=count", access)
        assert page.total == len(expected), query


def in_compartment(resource: Resource, patient: str) -> bool:
    """Say whether a resource of a drawn world is the patient's (CompartmentDefinition/patient, smart.md E11).

    What is about a patient is that patient's alone, whoever performed it.
    """
    if resource["resourceType"] == "Patient":
        return bool(resource["id"] == patient)
    places = {"Observation": ("performer",), "Encounter": (), "Condition": ("asserter",)}
    if resource["resourceType"] not in places:
        return False
    subjects = _patients(resource.get("subject"))
    others = [name for place in places[resource["resourceType"]] for name in _patients(resource.get(place))]
    return f"Patient/{patient}" in (subjects or others)


def _patients(place: Any) -> list[str]:
    """Return the patients that an element refers to, whatever version is named."""
    values = place if isinstance(place, list) else [place or {}]
    names = [each.get("reference", "").partition("/_history/")[0] for each in values]
    return [name for name in names if name.startswith("Patient/")]
