"""Laws of pages (fhir_rest Q3): while others write, what stays comes once and nothing comes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.fhir.parse.search import Scope, parse_pairs, parse_search
from storage.access import Access
from storage.engine import Database
from storage.search.page import Page
from storage.search.query import InPatient
from tests.search.library import BASE, Library

SORTS = ("", "date", "-date", "_id", "-_id", "-_lastUpdated", "code,_id", "-date,_lastUpdated", "-_lastUpdated,date")
RISING = ("_lastUpdated", "_lastUpdated,-date")
"""The order of changes: what is changed meanwhile comes again at its end."""
OF_ONE_TYPE = ("value-quantity,date", "-value-quantity", "-value-string,_id", "status,-date")
WRITTEN = 20
"""Pages between which others write: where what is changed comes again, there would be no end of it."""
TYPES = ("Observation", "Condition", "Encounter")


def having(sort: str) -> tuple[str, ...]:
    """Return types that have the keys of an order."""
    if "code" in sort:
        return ("Observation", "Condition")
    return ("Observation", "Encounter") if "date" in sort.replace("_lastUpdated", "") else TYPES


def resource(kind: str, number: int, random: Random) -> dict[str, Any]:
    """Return one of the resources: most are about one of two patients, some have no date."""
    found: dict[str, Any] = {"resourceType": kind, "id": f"x{number:02}"}
    found["subject"] = {"reference": f"Patient/p{random.choice([1, 1, 1, 2])}"}
    day = f"2020-01-0{random.randint(1, 5)}"
    dated = random.random() < 0.8
    if kind == "Observation":
        found |= {"status": random.choice(["final", "amended"]), "code": {"coding": [{"code": random.choice("abc")}]}}
        if dated:
            found["effectiveDateTime"] = day
        if random.random() < 0.6:
            found["valueQuantity"] = {"value": random.randint(-2, 2), "unit": "mg"}
        elif random.random() < 0.5:
            found["valueString"] = random.choice(["a", "B", "ä"])
    elif kind == "Condition":
        found["code"] = {"coding": [{"code": random.choice("abc")}]}
        if dated:
            found["recordedDate"] = found["onsetDateTime"] = day
    else:
        found |= {"status": "finished", "class": {"code": "AMB"}}
        if dated:
            found["period"] = {"start": day}
    return found


class Pages:
    """The pages of one search, whatever its kind, one after the other."""

    def __init__(self, library: Library, where: str | Scope, query: str, access: Access) -> None:
        self.library, self.where, self.query, self.access = library, where, query, access

    async def page(self, cursor: str | None) -> Page:
        pairs = parse_pairs(self.query) + ((("_cursor", cursor),) if cursor else ())
        parsed = parse_search(self.where, pairs, strict=True, base_url=BASE)
        return await self.library.searcher.search(parsed.search, self.access)


async def written_between(library: Library, touched: list[tuple[str, int]], random: Random, counter: list[int]) -> None:
    """Change, delete and add some resources as somebody else would."""
    for kind, number in random.sample(touched, k=min(3, len(touched))):
        await library.add(resource(kind, number, random))
    kind, number = random.choice(touched)
    if random.random() < 0.5:
        await library.add(resource(kind, number, random))
        await library.delete(f"{kind}/x{number:02}")
    counter[0] += 1
    await library.add(resource(random.choice(TYPES), 100 + counter[0], random))


def names(page: Page) -> list[str]:
    return [str(version.key) for version in page.matches]


async def walked(pages: Pages, touched: list[tuple[str, int]], random: Random) -> list[str]:
    """Return what all pages show while others write."""
    found: list[str] = []
    cursor: str | None = None
    counter = [0]
    for number in range(200):
        page = await pages.page(cursor)
        found += names(page)
        cursor = page.next_cursor
        if cursor is None:
            return found
        if number < WRITTEN:
            await written_between(pages.library, touched, random, counter)
    raise AssertionError("the pages do not end")


def scopes(types: tuple[str, ...]) -> Mapping[str, str | Scope]:
    within = {each: InPatient("p1") for each in types}
    return {
        "type": "Observation",
        "types": Scope(types, ""),
        "compartment": Scope(("Observation",), "Patient/p1/Observation", {"Observation": InPatient("p1")}),
        "compartment of all": Scope(types, "Patient/p1/*", within),
    }


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(sorted(scopes(TYPES))),
    sort=st.sampled_from((*SORTS, *RISING, *OF_ONE_TYPE)),
    count=st.integers(1, 7),
    bound=st.booleans(),
)
async def test_fhir_Q3_what_stays_comes_once_and_nothing_comes_twice(
    database: Database, seed: int, kind: str, sort: str, count: int, bound: bool
) -> None:
    """A search of one type, of several, in a compartment; by one who sees all, or one patient's compartment."""
    library, random = Library(database), Random(seed)
    several = kind in {"types", "compartment of all"}
    if several and sort in OF_ONE_TYPE:
        sort = ""
    types = having(sort)
    everything = [(random.choice(TYPES), number) for number in range(24)]
    untouched, touched = everything[::2], everything[1::2]
    bodies = {key: resource(*key, random) for key in everything}
    for start in range(0, len(everything), 4):
        await library.add(*(bodies[key] for key in everything[start : start + 4]))
    access = library.patient_access("p1") if bound else library.access
    query = f"_count={count}" + (f"&_sort={sort}" if sort else "")
    pages = Pages(library, scopes(types)[kind], query, access)
    found = await walked(pages, touched, random)
    wanted = types if several else ("Observation",)
    own = bound or "compartment" in kind
    expected = sorted(
        f"{name}/x{number:02}"
        for name, number in untouched
        if name in wanted and (not own or bodies[name, number]["subject"]["reference"] == "Patient/p1")
    )
    stayed = {f"{name}/x{number:02}" for name, number in untouched}
    assert sorted(each for each in found if each in stayed) == expected
    if sort not in RISING:
        assert [each for each, times in Counter(found).items() if times > 1] == []


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), sort=st.sampled_from((*SORTS, *RISING)), count=st.integers(1, 7))
async def test_fhir_S2_previous_pages_are_the_same_backwards(
    database: Database, seed: int, sort: str, count: int
) -> None:
    library, random = Library(database), Random(seed)
    types = having(sort)
    drawn = [resource(random.choice(types), number, random) for number in range(16)]
    for start in range(0, len(drawn), 4):
        await library.add(*drawn[start : start + 4])
    pages = Pages(library, Scope(types, ""), f"_count={count}" + (f"&_sort={sort}" if sort else ""), library.access)
    there: list[list[str]] = []
    page = await pages.page(None)
    assert page.previous_cursor is None
    there.append(names(page))
    while page.next_cursor is not None:
        page = await pages.page(page.next_cursor)
        there.append(names(page))
    back = [names(page)]
    while page.previous_cursor is not None:
        page = await pages.page(page.previous_cursor)
        back.append(names(page))
    assert back == there[::-1]
    assert sorted(each for every in there for each in every) == sorted({each for every in there for each in every})


async def test_fhir_Q3_a_row_that_moves_behind_the_place_does_not_come_again(library: Library) -> None:
    for number in range(6):
        body = {"resourceType": "Observation", "id": f"o{number}", "status": "final", "code": {"text": "x"}}
        await library.add({**body, "effectiveDateTime": f"2020-01-0{number + 1}"})
    first = await library.page("Observation?_sort=date&_count=2")
    assert [version.key.id for version in first.matches] == ["o0", "o1"]
    moved = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "effectiveDateTime": "2020-02-01"}
    await library.add(*({**moved, "id": f"o{number}"} for number in (0, 2, 3)))
    second = await library.page("Observation?_sort=date&_count=2", cursor=first.next_cursor)
    assert [version.key.id for version in second.matches] == ["o4", "o5"]
    assert second.next_cursor is not None
    third = await library.page("Observation?_sort=date&_count=2", cursor=second.next_cursor)
    assert (third.matches, third.next_cursor) == ([], None)
    again = await library.page("Observation?_sort=date&_count=10")
    assert [version.key.id for version in again.matches][:3] == ["o1", "o4", "o5"]
