"""Groups of the newest Observations (FHIR R4 observation-operation-lastn.html): reading in parts changes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from storage.resources import ResourceKey, Version
from storage.search.latest import Latest

SYSTEM = "urn:codes"
codes = st.sets(st.sampled_from("abcde"), min_size=1, max_size=2)
times = st.integers(0, 6)
minutes = st.one_of(st.none(), st.integers(0, 2))


@st.composite
def rows(draw: Any, codes: Any = codes) -> list[tuple[Version, int]]:
    """Observations as the index gives them: newest first by effective time."""
    facts = draw(st.lists(st.tuples(codes, times, minutes), max_size=25))
    facts.sort(key=lambda each: each[1], reverse=True)
    return [(observation(f"o{at}", *each[::2]), each[1]) for at, each in enumerate(facts)]


def observation(name: str, found: set[str], minute: int | None) -> Version:
    coding = [{"system": SYSTEM, "code": code} for code in sorted(found)]
    body: dict[str, Any] = {"resourceType": "Observation", "id": name, "code": {"coding": coding}}
    if minute is not None:
        body["issued"] = f"2020-01-01T00:0{minute}:00Z"
    return Version(ResourceKey("Observation", name), 1, 0, deleted=False, body=msgspec.json.encode(body))


def codings(version: Version) -> set[tuple[str, str]]:
    return {(SYSTEM, each["code"]) for each in msgspec.json.decode(version.body)["code"]["coding"]}


def names(latest: Latest) -> list[str]:
    return [version.key.id for version in latest.versions()]


@given(rows(), st.integers(1, 3), st.integers(1, 6))
def test_fhir_lastn_leaving_out_codes_that_have_their_members_changes_nothing(found, most, batch) -> None:
    whole, parts = Latest(most), Latest(most)
    for version, effective in found:
        whole.add(version, effective)
    left = found
    while left:
        for version, effective in left[:batch]:
            parts.add(version, effective)
        left = [each for each in left[batch:] if not codings(each[0]) & set(parts.closed)]
    assert names(parts) == names(whole)


@given(rows(codes=st.sampled_from(["a", "b", "c"]).map(lambda code: {code})), st.integers(1, 3))
def test_fhir_lastn_each_code_has_its_newest_and_what_ties_with_the_last(found, most) -> None:
    latest = Latest(most)
    times: dict[str, list[tuple[tuple[int, str], str]]] = defaultdict(list)
    for version, effective in found:
        latest.add(version, effective)
        body = msgspec.json.decode(version.body)
        times[body["code"]["coding"][0]["code"]].append(((effective, body.get("issued", "")), version.key.id))
    expected = set()
    for each in times.values():
        last = sorted((time for time, _ in each), reverse=True)[:most][-1]
        expected |= {name for time, name in each if time >= last}
    assert set(names(latest)) == expected


def test_fhir_lastn_observations_without_coding_go_by_their_text() -> None:
    latest = Latest(1)
    for name, text, effective in (("new", "Grip", 3), ("old", "grip", 2), ("other", "Gait", 1)):
        body = msgspec.json.encode({"resourceType": "Observation", "code": {"text": text}})
        latest.add(Version(ResourceKey("Observation", name), 1, 0, deleted=False, body=body), effective)
    assert names(latest) == ["new", "other"]
    assert latest.closed == []
