"""Laws of profile validation, on resources that were changed at random."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from capability.profiles import Profile
from fhir_server.fhir.json_body import encode_json
from fhir_server.validation.profiles import extension_issues, profile_issues
from fhir_server.validation.validate import resource_issues
from tests.validation.profile_samples import SAMPLES, versioned

Spot = tuple[Any, Any]


def spots(value: Any) -> list[Spot]:
    """Return every member of an object or list, with what holds it."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [spot for key in keys for spot in ((value, key), *spots(value[key]))]


PROFILES_OF: dict[str, list[Profile]] = defaultdict(list)
for each in versioned():
    PROFILES_OF[each.type].append(each)
VALUES: dict[str, list[Any]] = defaultdict(list)
for resource in SAMPLES.values():
    for holder, name in spots(resource):
        if isinstance(name, str) and name != "resourceType" and holder[name] not in VALUES[name]:
            VALUES[name].append(holder[name])
EXTENSION = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}


@st.composite
def changed_samples(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a sample in which elements are missing, taken from elsewhere, added, doubled or absent for a reason."""
    resource = copy.deepcopy(draw(st.sampled_from(list(SAMPLES.values()))))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(spots(resource)))
        match draw(st.integers(0, 4)):
            case _ if key == "resourceType":
                continue
            case 0:
                del holder[key]
            case 1 if isinstance(key, str):
                holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES[key.removeprefix("_")] or [holder[key]])))
            case 2 if isinstance(holder, dict):
                name = draw(st.sampled_from(sorted(VALUES)))
                holder[name] = copy.deepcopy(draw(st.sampled_from(VALUES[name])))
            case 3 if isinstance(key, str) and isinstance(holder[key], str):
                holder[f"_{key}"] = copy.deepcopy(EXTENSION)
                del holder[key]
            case _ if isinstance(holder[key], list):
                holder[key] = [*holder[key], *copy.deepcopy(holder[key])]
    return resource


@settings(max_examples=300, deadline=None)
@given(changed_samples(), st.data())
def test_fhir_C6_every_resource_of_r4_can_be_checked_against_every_profile_of_its_type(
    resource: dict[str, Any], data: st.DataObject
) -> None:
    assume(all(each.breaks_rule for each in resource_issues(resource)))
    profile = data.draw(st.sampled_from(PROFILES_OF[resource["resourceType"]]))
    before = encode_json(resource)
    found = profile_issues(resource, profile)
    assert encode_json(resource) == before
    if b'"_' not in before:  # the library knows no strings without a value
        assert not [each for each in found if "could not be evaluated" in each.diagnostics]
    assert len(set(found)) == len(found)
    errors = {each for each in found if each.severity == "error"}
    assert set(profile_issues(resource, profile, thorough=False)) == errors
    assert {each for each in extension_issues(resource) if each.profile.endswith("7.0.0")} <= set(
        profile_issues(resource, profile)
    ) or profile.version != "7.0.0"
