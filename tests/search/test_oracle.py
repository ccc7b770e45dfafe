"""Law: a search finds what an interpreter of the same tree finds in the plain resources, on both engines.

The same resources, in the same order, with the same total and the same resources included. `SEARCH_EXAMPLES` says how
many worlds are drawn (40 searches each); a nightly run may take thousands.
"""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from storage.engine import Database
from tests.search.library import NOW, Library
from tests.search.oracle import Resource, World
from tests.search.worlds import Draw

EXAMPLES: Final = int(os.environ.get("SEARCH_EXAMPLES", "8"))

LAW: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller seed is no simpler world
)


async def compare(library: Library, world: World, query: str, asked: str, access: Any = None) -> None:
    """Compare one search: ids in order over pages of three, the total, and what a page of all includes."""
    search = library.parse(f"{query}{asked}")
    expected = world.search(search)
    assert await there(library, f"{query}{asked}&_count=3", access) == expected, f"{query}{asked}"
    whole = await library.page(f"{query}{asked}&_count=200", access)
    assert {str(version.key) for version in whole.includes} == world.included(
        search, [str(version.key) for version in whole.matches]
    ), f"{query}{asked}"
    counted = await library.page(f"{query}&_total=accurate&_count=1", access)
    assert counted.total == len(expected), query


async def there(library: Library, query: str, access: Any) -> list[str]:
    """Return the ids of all pages; the page before the last one is the same backwards."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await library.page(query, access, cursor)
        pages.append([version.key.id for version in page.matches])
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    if page.previous_cursor is not None:
        before = await library.page(query, access, page.previous_cursor)
        assert [version.key.id for version in before.matches] == pages[-2], query
    return [each for ids in pages for each in ids]


@LAW
@given(seed=st.integers(0, 2**32))
@example(seed=124202977)  # the text of a concept is no string of code-value-string
async def test_searches_find_what_the_oracle_finds(database: Database, seed: int) -> None:
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    world = World(resources, NOW * 1000, await written_at(library))
    for _ in range(40):
        query = draw.query()
        await compare(library, world, query, draw.order(query) + draw.includes(query))


@LAW
@given(seed=st.integers(0, 2**32))
async def test_security_AZ2_a_patient_finds_what_a_world_of_its_compartment_alone_would_give(
    database: Database, seed: int
) -> None:
    """Chains, reverse chains, includes, order and totals see nothing outside the compartment either."""
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    access = library.patient_access("p1")
    own = World([each for each in resources if in_compartment(each, "p1")], NOW * 1000, await written_at(library))
    for _ in range(25):
        query = draw.query(terminology=False)
        await compare(library, own, query, draw.order(query) + draw.includes(query), access)


async def written_at(library: Library) -> int:
    """Return when the resources of a library were written, in milliseconds."""
    (version,) = (await library.page("Group?_id=g1")).matches
    return version.last_updated


def in_compartment(resource: Resource, patient: str) -> bool:
    """Say whether a resource of a drawn world is the patient's (CompartmentDefinition/patient, smart.md E11).

    What is about a patient is that patient's alone, whoever performed it.
    """
    if resource["resourceType"] == "Patient":
        return bool(resource["id"] == patient)
    places = {
        "Observation": ("performer",),
        "Encounter": (),
        "Condition": ("asserter",),
        "ServiceRequest": (),
        "ChargeItem": (),
    }
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
