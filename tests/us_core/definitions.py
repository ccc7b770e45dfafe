"""Finds what the StructureDefinitions of US Core call must-support in plain JSON (us_core.md M1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from capability.profiles import ElementRule, MustSupport, Profile, must_support
from fhir_server.validation.instances import Item, items, root_item
from fhir_server.validation.profiles import profile_issues
from fhir_server.validation.slicing import Context, belongs

_MEASURED_IN_PARTS = ("us-core-blood-pressure", "us-core-average-blood-pressure", "us-core-pulse-oximetry")


def left_out(profile: Profile, path: str) -> bool:
    """Whether the kits leave out an element: what no vital sign of the kind has, and what the store writes."""
    name = profile.url.rpartition("/")[2]
    if path == "Observation.dataAbsentReason" or path.endswith(".meta.lastUpdated"):
        return True
    if name in _MEASURED_IN_PARTS:
        return name != "us-core-pulse-oximetry" and path == "Observation.value[x]"
    return path.startswith(("Observation.component.", "Observation.component ")) or path == "Observation.component"


def missing(profile: Profile, resources: list[dict[str, Any]], everything: dict[str, dict[str, Any]]) -> list[str]:
    """Return the must-support elements, and types of them, that none of the resources has.

    `everything` are resources by `Type/id`: what references reach.
    """
    out = []
    for element in must_support(profile):
        if left_out(profile, element.path):
            continue
        values = [item for resource in resources for item in _found(resource, element, profile)]
        if not values:
            out.append(element.path)
        out += [f"{element.path} as {name}" for name in element.types if not _has_type(name, values, everything)]
    return out


def _found(resource: dict[str, Any], element: MustSupport, profile: Profile) -> Iterable[Item]:
    context = Context(profile, resource, lambda _item, _url: True)
    found: list[Item] = [root_item(resource)]
    rule: ElementRule | None = profile.root
    for step in element.path.split(".")[1:]:
        name, _, slice_name = step.partition(":")
        found = [inner for each in found for inner in items(each, name.removesuffix("[x]"))]
        rule = None if rule is None else rule.child(name.removesuffix("[x]"))
        if slice_name and rule is not None:
            sliced = next(each for each in rule.slices if each.slice_name == slice_name)
            found = [each for each in found if belongs(each, sliced, rule.discriminators, context)]
            rule = sliced
    return found


def _has_type(name: str, values: list[Item], everything: dict[str, dict[str, Any]]) -> bool:
    """Whether a value has a data type, or refers to a resource that claims a profile or is of a type of R4."""
    if "/" not in name:
        return any(each.datatype == name for each in values)
    reached = [everything.get(each.value.get("reference", "")) for each in values if isinstance(each.value, dict)]
    if name.startswith("http://hl7.org/fhir/StructureDefinition/"):
        return any(each is not None and each["resourceType"] == name.rpartition("/")[2] for each in reached)
    return any(each is not None and name in each["meta"].get("profile", []) for each in reached)


def errors(resource: dict[str, Any], profile: Profile) -> list[str]:
    """Return what of a profile a resource breaks."""
    return [
        f"{issue.expression}: {issue.diagnostics}"
        for issue in profile_issues(resource, profile, thorough=False)
        if issue.severity == "error"
    ]
