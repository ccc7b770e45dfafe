"""Law: a search finds what an interpreter of the same tree finds in the plain resources, on both engines."""

from __future__ import annotations

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
    """Say whether a resource of a drawn world is in the compartment (CompartmentDefinition/patient)."""
    if resource["resourceType"] == "Patient":
        return bool(resource["id"] == patient)
    places = {"Observation": ("subject", "performer"), "Encounter": ("subject",), "Condition": ("subject", "asserter")}
    found = [resource.get(place, []) for place in places.get(resource["resourceType"], ())]
    references = [each for place in found for each in (place if isinstance(place, list) else [place])]
    return any(each.get("reference", "").partition("/_history/")[0] == f"Patient/{patient}" for each in references)
