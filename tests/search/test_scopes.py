"""Laws of searches in a scope: a compartment narrows, several types unite; decided by the oracle, on both engines."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.fhir.parse.search import Scope, parse_pairs, parse_search
from storage.access import Access
from storage.engine import Database
from storage.search.query import InPatient, Search
from tests.search.library import BASE, NOW, Library
from tests.search.oracle import World
from tests.search.test_oracle import LAW, in_compartment, written_at
from tests.search.worlds import Draw

COMMON = (
    "",
    "patient=p1",
    "patient=p1,p2",
    "patient:missing=true",
    "_id=o1,e1,c1,x",
    "subject=Patient/p2",
    "date=2020",
)


async def shown(library: Library, search: Search, access: Access) -> list[str]:
    """Return `Type/id` of all pages, after comparing the total with them."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await library.searcher.search(replace(search, cursor=cursor), access)
        found += [str(version.key) for version in page.matches]
        cursor = page.next_cursor
        if cursor is None:
            break
    counted = await library.searcher.search(replace(search, count=0), access)
    assert counted.total == len(found)
    return sorted(found)


@LAW
@given(seed=st.integers(0, 2**32), bound=st.booleans())
async def test_fhir_S1_a_compartment_narrows_every_search_to_what_access_would_show(
    database: Database, seed: int, bound: bool
) -> None:
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    own = {f"{each['resourceType']}/{each['id']}" for each in resources if in_compartment(each, "p1")}
    seen = [each for each in resources if in_compartment(each, "p1")] if bound else resources
    world = World(seen, NOW * 1000, await written_at(library))
    access = library.patient_access("p1") if bound else library.access
    for _ in range(20):
        kind, _, query = draw.query(terminology=not bound).partition("?")
        scope = Scope((kind,), f"Patient/p1/{kind}", {kind: InPatient("p1")})
        search = parse_search(scope, parse_pairs(f"{query}&_count=3"), strict=True, base_url=BASE).search
        alone = parse_search(kind, parse_pairs(query), strict=True, base_url=BASE).search
        found = {f"{kind}/{each}" for each in world.find(kind, alone.criteria)}
        assert await shown(library, search, access) == sorted(found & own), query


@LAW
@given(seed=st.integers(0, 2**32), query=st.sampled_from(COMMON), bound=st.booleans(), within=st.booleans())
async def test_fhir_S1_a_search_over_types_finds_what_searches_of_each_would(
    database: Database, seed: int, query: str, bound: bool, within: bool
) -> None:
    library, draw = Library(database), Draw(seed)
    resources = draw.world()
    await library.add(*resources)
    own = {f"{each['resourceType']}/{each['id']}" for each in resources if in_compartment(each, "p1")}
    world = World(resources, NOW * 1000, await written_at(library))
    access = library.patient_access("p1") if bound else library.access
    types = ("Observation", "Encounter") if "date" in query else ("Observation", "Encounter", "Condition")
    scope = Scope(types, "", dict.fromkeys(types, InPatient("p1")) if within else {})
    search = parse_search(scope, parse_pairs(f"{query}&_count=3"), strict=True, base_url=BASE).search
    expected: set[str] = set()
    for kind in types:
        alone = parse_search(kind, parse_pairs(query), strict=True, base_url=BASE).search
        expected |= {f"{kind}/{each}" for each in world.find(kind, alone.criteria)}
    assert await shown(library, search, access) == sorted(expected & own if bound or within else expected)
