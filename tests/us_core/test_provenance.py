"""`_revinclude=Provenance:target` with every first search (us_core.md G14, §9 Provenance)."""

from __future__ import annotations

import pytest

from tests.us_core.conftest import Kit
from tests.us_core.groups import GROUPS, Group
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
