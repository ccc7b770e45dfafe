"""Pages: keyset cursors, order, totals (fhir_rest.md §9; security AZ-10)."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from fhir_server.fhir.parse.search import Scope, parse_search
from storage.errors import CursorExpired, CursorInvalid
from storage.search.cursor import LIFETIME_MILLISECONDS
from storage.search.page import Page
from storage.search.searcher import Searcher
from tests.search.library import BASE, NOW, SECRET, Library

SORTS = (
    "",
    "_sort=date",
    "_sort=-date",
    "_sort=_id",
    "_sort=-_lastUpdated,_id",
    "_sort=value-quantity,-date",
    "_sort=-value-string",
    "_sort=value-date",
)


def observation(number: int, random: Random) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"o{number:02}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1-1"}, {"code": "1-1"}]},
    }
    if random.random() < 0.8:
        found["subject"] = {"reference": f"Patient/p{random.randint(1, 2)}"}
    if random.random() < 0.7:
        found["effectiveDateTime"] = f"2020-01-0{random.randint(1, 5)}"
    value = random.random()
    if value < 0.4:
        found["valueQuantity"] = {"value": random.randint(-3, 3), "unit": "mg"}
    elif value < 0.6:
        found["valueString"] = random.choice(["", "a", "B", "ä"])
    elif value < 0.8:
        found["valueDateTime"] = f"201{random.randint(0, 3)}"
    return {name: each for name, each in found.items() if each != ""}


@pytest.mark.parametrize("criteria", ["", "code=1-1", "code=1-1&patient=p1", "patient=p1,p2", "subject:missing=true"])
@pytest.mark.parametrize("sort", SORTS)
async def test_fhir_Q3_pages_put_together_are_the_whole_result_in_its_order(
    library: Library, criteria: str, sort: str
) -> None:
    random = Random(7)
    await library.add(*(observation(number, random) for number in range(30)))
    query = f"Observation?{criteria}&{sort}"
    whole = await library.ids(f"{query}&_count=1000")
    assert len(whole) == len(set(whole)) > 3
    assert await library.everything(f"{query}&_count=4") == whole


@pytest.mark.parametrize("sort", SORTS)
async def test_fhir_Q3_no_row_comes_twice_or_is_lost_while_others_are_written(library: Library, sort: str) -> None:
    random = Random(11)
    untouched = [observation(number, random) for number in range(0, 60, 2)]
    touched = [observation(number, random) for number in range(1, 60, 2)]
    for pair in zip(untouched, touched, strict=True):
        await library.add(*pair)
    found: list[str] = []
    cursor: str | None = None
    for step in range(20):
        page = await library.page(f"Observation?code=1-1&{sort}&_count=5", cursor=cursor)
        found.extend(version.key.id for version in page.matches)
        cursor = page.next_cursor
        if cursor is None:
            break
        changed = touched[step % len(touched)]
        await library.add({**observation(99, random), "id": changed["id"]}, observation(100 + step, random))
        await library.delete(f"Observation/{touched[(step + 7) % len(touched)]['id']}")
    kept = [each["id"] for each in untouched]
    assert sorted(each for each in found if each in kept) == kept


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("family", ["p2", "p1", "p3"]),  # lowest family of p1 is Baker, p3 has none
        ("-family", ["p1", "p2", "p3"]),  # highest family of p1 is Zorn
        ("birthdate", ["p2", "p1", "p3"]),
        ("-birthdate", ["p1", "p2", "p3"]),
        ("_id", ["p1", "p2", "p3"]),
        ("-_id", ["p3", "p2", "p1"]),
        ("_lastUpdated,_id", ["p1", "p2", "p3"]),
        ("", ["p3", "p2", "p1"]),  # newest first
    ],
)
async def test_fhir_Q2_patients_are_sorted_by(library: Library, sort: str, order: list[str]) -> None:
    await library.add(
        {"resourceType": "Patient", "id": "p1", "name": [{"family": "Zorn"}, {"family": "Baker"}], "birthDate": "2001"},
        {"resourceType": "Patient", "id": "p2", "name": [{"family": "Abel"}], "birthDate": "2000-05"},
        {"resourceType": "Patient", "id": "p3"},
    )
    assert await library.ids(f"Patient?{f'_sort={sort}' if sort else ''}") == order


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("Patient?_count=5", 3),  # one page holds all: the total is free
        ("Patient?_count=2", None),
        ("Patient?_count=2&_total=accurate", 3),
        ("Patient?_count=2&_total=estimate", 3),
        ("Patient?_count=5&_total=none", None),
        ("Patient?_summary=count", 3),
        ("Patient?_count=0", 3),
        ("Patient?gender=male&_count=0", 1),
    ],
)
async def test_fhir_Q4_the_total_is_given_when_it_is_free_or_asked_for(
    library: Library, query: str, total: int | None
) -> None:
    await library.add(*({"resourceType": "Patient", "id": f"p{n}"} for n in range(2)))
    await library.add({"resourceType": "Patient", "id": "m", "gender": "male"})
    page = await library.page(query)
    assert page.total == total
    if "count=0" in query or "summary" in query:
        assert page.matches == []


async def three_pages(library: Library) -> str:
    await library.add(*({"resourceType": "Patient", "id": f"p{n}"} for n in range(3)))
    cursor = (await library.page("Patient?_count=1")).next_cursor
    assert cursor is not None
    return cursor


@pytest.mark.parametrize("at", [0, 5, -1])
async def test_security_AZ10_an_altered_cursor_is_refused(library: Library, at: int) -> None:
    cursor = await three_pages(library)
    letters = list(cursor)
    letters[at] = "A" if letters[at] != "A" else "B"
    for broken in ("".join(letters), cursor[:-3], "x", "é", "." * 5000):
        with pytest.raises(CursorInvalid):
            await library.page("Patient?_count=1", cursor=broken)


@pytest.mark.parametrize("change", ["actor", "client_id", "patient", "organization_id"])
async def test_security_AZ10_a_cursor_of_someone_else_is_refused(library: Library, change: str) -> None:
    cursor = await three_pages(library)
    other = replace(library.access, **{change: "another"})
    with pytest.raises(CursorInvalid):
        await library.page("Patient?_count=1", other, cursor)


@pytest.mark.parametrize("query", ["Patient?_count=2", "Patient?_count=1&gender=male", "Practitioner?_count=1"])
async def test_security_AZ10_a_cursor_of_another_search_is_refused(library: Library, query: str) -> None:
    cursor = await three_pages(library)
    with pytest.raises(CursorInvalid):
        await library.page(query, cursor=cursor)


async def test_security_AZ10_a_cursor_survives_a_new_token_and_expires_after_half_an_hour(library: Library) -> None:
    cursor = await three_pages(library)
    newer = replace(library.access, grant="another access token")
    library.now = NOW + 30 * 60 * 1000
    assert len((await library.page("Patient?_count=1", newer, cursor)).matches) == 1
    library.now += 1
    with pytest.raises(CursorExpired):
        await library.page("Patient?_count=1", cursor=cursor)


async def test_fhir_Q3_a_place_survives_a_restart_and_ends_after_half_an_hour_whatever_is_searched(
    library: Library,
) -> None:
    await library.add(*({"resourceType": "Patient", "id": f"p{n}"} for n in range(3)))
    scope = Scope(("Patient", "Group"), "")
    pairs = (("_count", "1"),)

    async def page(searcher: Searcher, cursor: str | None) -> Page:
        asked = pairs + ((("_cursor", cursor),) if cursor else ())
        return await searcher.search(parse_search(scope, asked, strict=True, base_url=BASE).search, library.access)

    first = await page(library.searcher, None)
    restarted = Searcher(library.database, SECRET, lambda: library.now)
    second = await page(restarted, first.next_cursor)
    assert [version.key.id for version in second.matches] == ["p1"]
    library.now += LIFETIME_MILLISECONDS
    assert [version.key.id for version in (await page(restarted, second.previous_cursor)).matches] == ["p2"]
    library.now += 1
    with pytest.raises(CursorExpired):
        await page(restarted, first.next_cursor)
