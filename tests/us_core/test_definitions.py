"""The sample data against the StructureDefinitions of US Core: it follows them, and has all that is must-support."""

from __future__ import annotations

from typing import Any

import pytest

from capability.profiles import PROFILES, find_profile
from tests.us_core.definitions import errors, missing
from tests.us_core.groups import GROUPS, US_CORE, sample_resources

ABSTRACT = "us-core-vital-signs"
OWN: dict[str, dict[str, Any]] = {f"{each['resourceType']}/{each['id']}": each for each in sample_resources()}
CANONICALS = sorted(
    canonical
    for canonical, profile in PROFILES.items()
    if canonical.startswith(US_CORE) and "|" in canonical and profile.type != "Extension" and ABSTRACT not in canonical
)
SERVED = {each["resourceType"] for each in OWN.values()}


def claiming(url: str) -> list[dict[str, Any]]:
    """Return the resources that claim a profile."""
    return [each for each in OWN.values() if url in each.get("meta", {}).get("profile", [])]


@pytest.mark.parametrize("canonical", [each for each in CANONICALS if PROFILES[each].type in SERVED])
def test_uscore_M1_every_must_support_element_of_the_definition_occurs(canonical: str):
    profile = PROFILES[canonical]
    assert missing(profile, claiming(profile.url), OWN) == []


@pytest.mark.parametrize("reference", sorted(OWN))
def test_uscore_C6_sample_resources_follow_the_profiles_that_they_claim(reference: str):
    resource = OWN[reference]
    for url in resource.get("meta", {}).get("profile", []):
        profile = find_profile(url)
        assert profile is not None
        assert errors(resource, profile) == []


@pytest.mark.parametrize(
    "group", [pytest.param(group, id=group.name) for group in GROUPS if group.version in {"7.0.0", "6.1.0"}]
)
def test_uscore_8_sample_resources_follow_the_profile_of_their_code_whatever_they_claim(group: Any):
    profile = find_profile(f"{US_CORE}{group.profile}|{group.version}")
    assert profile is not None
    assert {each["id"]: found for each in OWN.values() if group.has(each) and (found := errors(each, profile))} == {}
