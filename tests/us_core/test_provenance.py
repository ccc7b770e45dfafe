"""`_revinclude=Provenance:target` with every first search (us_core.md G14, §9 Provenance)."""

from __future__ import annotations

import pytest

from capability.profiles import find_profile
from tests.us_core.conftest import Kit
from tests.us_core.definitions import errors
from tests.us_core.groups import GROUPS, US_CORE, Group
from tests.us_core.test_searches import drawn


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, id=group.name)
        for group in GROUPS
        if group.combinations and any({"patient", "_id"} & set(each) for each in group.combinations)
    ],
)
def test_uscore_G14_the_provenance_of_every_profile_comes_with_a_search(kit: Kit, group: Group):
    combination = next(each for each in group.combinations if {"patient", "_id"} & set(each))
    for _, known in drawn(kit, group, combination)[:1]:
        asked = {name: texts[0] for name, texts in known.items()} | {"_revinclude": "Provenance:target"}
        for method in ("GET", "POST"):
            entries = kit.search(group.type, asked, method)
            matched = {
                f"{group.type}/{each['resource']['id']}" for each in entries if each["search"]["mode"] == "match"
            }
            found = [each["resource"] for each in entries if each["search"]["mode"] == "include"]
            assert {each["resourceType"] for each in found} == {"Provenance"}
            targets = {"/".join(target["reference"].split("/")[:2]) for each in found for target in each["target"]}
            assert matched <= targets


@pytest.mark.parametrize("version", ["7.0.0", "6.1.0"])
def test_uscore_G14_the_provenance_of_versions_follows_its_profile(kit: Kit, version: str):
    profile = find_profile(f"{US_CORE}us-core-provenance|{version}")
    assert profile is not None
    entries = kit.search("Observation", {"patient": "us-core-mara", "_revinclude": "Provenance:target"})
    found = [each["resource"] for each in entries if each["search"]["mode"] == "include"]
    assert found
    assert [fault for each in found for fault in errors(each, profile)] == []


def test_uscore_G17_whoever_wrote_a_version_can_be_read(kit: Kit):
    entries = kit.search("CarePlan", {"patient": "us-core-mara", "_revinclude": "Provenance:target"})
    for provenance in (each["resource"] for each in entries if each["search"]["mode"] == "include"):
        agents = {coding["code"]: agent for agent in provenance["agent"] for coding in agent["type"]["coding"]}
        assert set(agents) >= {"author", "transmitter"}
        named = [agent[role] for agent in agents.values() for role in ("who", "onBehalfOf") if role in agent]
        for reference in (each["reference"] for each in named if "reference" in each):
            assert kit.client.get(reference).status_code == 200
        assert kit.client.get(provenance["target"][0]["reference"]).status_code == 200
