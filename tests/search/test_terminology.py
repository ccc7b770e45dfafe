"""`:in`, `:not-in`, `:above` and `:below`: value sets and hierarchies (fhir_rest.md §8.4; search.html#token)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from storage.access import Access, Reach, Right
from storage.errors import HierarchyUnknown, SearchTooCostly, ValueSetUnknown
from storage.search import terminology
from tests.search.library import Library

COLOURS: Final = "http://example.org/colours"
SET: Final = "http://example.org/ValueSet/some"
REDS: Final = "http://example.org/ValueSet/reds"


def observation(name: str, code: str, system: str = COLOURS) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/p"},
    }


def value_set(name: str, url: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "id": name, "url": url, "status": "active", **elements}


def selected(*parts: dict[str, Any], exclude: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"compose": {"include": list(parts)} | ({"exclude": list(exclude)} if exclude else {})}


def concepts(*codes: str) -> dict[str, Any]:
    return {"system": COLOURS, "concept": [{"code": code} for code in codes]}


def colour(code: str) -> dict[str, Any]:
    return {"system": COLOURS, "code": code}


def filtered(operator: str) -> dict[str, Any]:
    return {"system": COLOURS, "filter": [{"property": "concept", "op": operator, "value": "red"}]}


def expanded(*contains: dict[str, Any], **elements: Any) -> dict[str, Any]:
    return {"expansion": {"contains": list(contains), **elements}}


CODE_SYSTEM: Final = {
    "resourceType": "CodeSystem",
    "id": "colours",
    "url": COLOURS,
    "status": "active",
    "content": "complete",
    "concept": [
        {"code": "red", "concept": [{"code": "crimson", "concept": [{"code": "dark-crimson"}]}]},
        {"code": "blue"},
        {"code": "navy", "property": [{"code": "parent", "valueCode": "blue"}]},
    ],
}


@pytest.fixture
async def colours(library: Library) -> Library:
    await library.add(
        {"resourceType": "Patient", "id": "p"},
        observation("r", "red"),
        observation("c", "crimson"),
        observation("d", "Dark-Crimson"),
        observation("n", "navy"),
        observation("o", "red", "http://other"),
        {"resourceType": "Observation", "id": "x", "status": "final", "code": {"text": "none"}},
        CODE_SYSTEM,
    )
    return library


@pytest.mark.parametrize(
    ("definition", "inside"),
    [
        (selected(concepts("red", "navy")), {"r", "n"}),
        (selected(concepts("red"), concepts("crimson")), {"r", "c"}),
        (selected(concepts("red", "navy"), exclude=(concepts("navy"),)), {"r"}),
        (selected({"system": COLOURS}), {"r", "c", "d", "n"}),  # the whole system
        (selected({"system": COLOURS}, {"system": "http://other"}), {"r", "c", "d", "n", "o"}),
        (selected(filtered("is-a")), {"r", "c", "d"}),
        (selected(filtered("descendent-of")), {"c", "d"}),
        (selected({"valueSet": [REDS]}), {"r", "c"}),
        (selected({"valueSet": [REDS], **concepts("red", "navy")}), {"r"}),  # both conditions hold
        (selected({"valueSet": [REDS], "system": COLOURS}), {"r", "c"}),
        (expanded({**colour("red"), "abstract": True, "contains": [colour("crimson")]}), {"c"}),
        (expanded(colour("red"), total=5) | selected(concepts("navy")), {"n"}),  # the expansion is a part only
        (expanded(), set()),
    ],
)  # fmt: skip
async def test_fhir_8_4_in_finds_members_of_a_value_set(
    colours: Library, definition: dict[str, Any], inside: set[str]
) -> None:
    await colours.add(
        value_set("some", SET, **definition), value_set("reds", REDS, **selected(concepts("red", "crimson")))
    )
    assert set(await colours.ids(f"Observation?code:in={SET}")) == inside
    assert set(await colours.ids(f"Observation?code:not-in={SET}")) == {"r", "c", "d", "n", "o", "x"} - inside
    assert set(await colours.ids(f"Observation?patient=p&code:in={SET}")) == inside
    assert set(await colours.ids(f"Patient?_has:Observation:patient:code:in={SET}")) == ({"p"} if inside else set())
    assert (await colours.page(f"Observation?code:in={SET}&_summary=count")).total == len(inside)
    assert set(await colours.ids("Observation?code:in=ValueSet/some")) == inside


async def test_fhir_8_4_a_version_chooses_among_value_sets_and_the_newest_is_taken_without(colours: Library) -> None:
    await colours.add(value_set("one", SET, version="1", **selected(concepts("red"))))
    await colours.add(value_set("two", SET, version="2", **selected(concepts("navy"))))
    assert await colours.ids(f"Observation?code:in={SET}|1") == ["r"]
    assert await colours.ids(f"Observation?code:in={SET}|2") == ["n"]
    assert await colours.ids(f"Observation?code:in={SET}") == ["n"]
    assert await colours.ids(f"Observation?code:in={SET}|1,{SET}|2&_sort=_id") == ["n", "r"]
    with pytest.raises(ValueSetUnknown):
        await colours.ids(f"Observation?code:in={SET}|3")


async def test_fhir_8_4_value_sets_of_the_definitions_need_not_be_stored(colours: Library) -> None:
    known = "http://hl7.org/fhir/ValueSet/administrative-gender"
    await colours.add({"resourceType": "Patient", "id": "f", "gender": "female"})
    assert await colours.ids(f"Patient?gender:in={known}") == ["f"]
    assert await colours.ids(f"Patient?gender:in={known}|4.0.1") == ["f"]
    assert await colours.ids(f"Patient?gender:not-in={known}") == ["p"]
    assert set(await colours.ids(f"Observation?patient.gender:not-in={known}")) == {"r", "c", "d", "n", "o"}


@pytest.mark.parametrize(
    "definition",
    [
        {},
        selected({"system": COLOURS, "filter": [{"property": "colour", "op": "=", "value": "x"}]}),
        selected({"valueSet": ["http://example.org/ValueSet/unknown"]}),
        selected({"valueSet": [SET]}),  # itself
        selected({"system": COLOURS}, exclude=(concepts("red"),)),
        None,
    ],
)
async def test_fhir_8_4_an_unknown_value_set_is_refused(colours: Library, definition: dict[str, Any] | None) -> None:
    if definition is not None:
        await colours.add(value_set("some", SET, **definition))
    with pytest.raises(ValueSetUnknown):
        await colours.ids(f"Observation?code:in={SET}")


async def test_security_AZ2_a_value_set_out_of_reach_is_unknown(colours: Library) -> None:
    await colours.add(value_set("some", SET, **selected(concepts("red"))))
    everything = dict.fromkeys(Right, Reach.ORGANIZATION)
    narrow = Access(colours.organization, "u", "R", "c", {"Observation": everything})
    with pytest.raises(ValueSetUnknown):
        await colours.ids(f"Observation?code:in={SET}", narrow)
    wide = Access(colours.organization, "u", "R", "c", {"Observation": everything, "ValueSet": everything})
    assert await colours.ids(f"Observation?code:in={SET}", wide) == ["r"]
    other = Library(colours.database)
    with pytest.raises(ValueSetUnknown):
        await other.ids(f"Observation?code:in={SET}")


async def test_fhir_8_4_a_value_set_may_not_be_endless(colours: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminology, "MOST_CODES", 2)
    await colours.add(value_set("some", SET, **selected(concepts("a", "b", "c"))))
    with pytest.raises(SearchTooCostly):
        await colours.ids(f"Observation?code:in={SET}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"code:below={COLOURS}|red", {"r", "c", "d"}),
        (f"code:below={COLOURS}|crimson", {"c", "d"}),
        (f"code:below={COLOURS}|blue", {"n"}),  # by the property `parent`
        (f"code:below={COLOURS}|unknown", set()),
        (f"code:above={COLOURS}|dark-crimson", {"r", "c", "d"}),
        (f"code:above={COLOURS}|red", {"r"}),
        (f"patient=p&code:below={COLOURS}|red", {"r", "c", "d"}),
    ],
)
async def test_fhir_8_4_above_and_below_follow_a_stored_hierarchy(
    colours: Library, query: str, found: set[str]
) -> None:
    assert set(await colours.ids(f"Observation?{query}")) == found


async def test_fhir_8_4_an_unknown_hierarchy_is_refused(colours: Library) -> None:
    with pytest.raises(HierarchyUnknown):
        await colours.ids("Observation?code:below=http://snomed.info/sct|1")


@pytest.mark.parametrize(
    ("stored", "asked", "found"),
    [
        ("http://a.example/b", "http://a.example/b/c", True),
        ("http://a.example/b/", "http://a.example/b/c", True),
        ("http://a.example/b/c", "http://a.example/b/c", True),
        ("http://a.example", "http://a.example/b/c", True),
        ("http://a.example/b/c/d", "http://a.example/b/c", False),
        ("http://a.example/bb", "http://a.example/b/c", False),
        ("http://a.example/b", "http://a.example/bc", False),
    ],
)
async def test_fhir_8_6_uris_above_are_those_it_lies_below(
    library: Library, stored: str, asked: str, found: bool
) -> None:
    await library.add({"resourceType": "Patient", "id": "p", "meta": {"source": stored, "profile": [f"{stored}|1"]}})
    assert (await library.ids(f"Patient?_source:above={asked}") == ["p"]) is found
    assert (await library.ids(f"Patient?_profile:above={asked}") == ["p"]) is found
    assert await library.ids(f"Patient?_source:below={stored}") == ["p"]
