"""The door: what passes here is a valid R4 resource; mappers, index and store trust it (design Decision 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from capability.profiles import find_profile
from fhir_server.errors import Issue, TypeMismatch, invalid_resource
from fhir_server.fhir.json_body import encode_json, root_name
from fhir_server.fhir.request import BIG
from fhir_server.validation.places import from_json_names
from fhir_server.validation.profiles import profile_issues
from fhir_server.validation.structure import structure_issues
from fhir_server.validation.walk import Walk, walk_resource

BIG_CLAIMS: Final = 32 * 1024
"""Where profiles are claimed it is bodies above this that are validated off the event loop."""


def validate_resource(
    resource: Any,
    data: bytes | None = None,
    *,
    expected_type: str | None = None,
    in_transaction: bool = False,
    claimed: bool = True,
) -> None:
    """Check a resource that `parse_json` gave; `data` are its bytes where they are at hand.

    Raises TypeMismatch when it is of another type than `expected_type`, else InvalidResource or RuleBroken with all
    faults at once. In a transaction `Type?criteria` is a reference, too: it is resolved when the entries are. With
    `claimed` it also has to follow the profiles that it claims and that are known (fhir_rest C6).
    """
    if expected_type is not None and isinstance(resource, dict) and "resourceType" in resource:
        found = resource["resourceType"]
        if isinstance(found, str) and found != expected_type:
            raise TypeMismatch(expected_type, root_name(resource))
    issues = resource_issues(resource, data, in_transaction=in_transaction)
    if claimed and not issues:
        issues = claimed_issues(resource)
    if any(issue.severity == "error" for issue in issues):
        raise invalid_resource(issues)


def resource_issues(resource: Any, data: bytes | None = None, *, in_transaction: bool = False) -> list[Issue]:
    """Return everything that is wrong with a resource, in the order of faults of structure, then all others.

    Invariants are looked at only when the structure is right: they are about elements that are what they should be.
    """
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        return [Issue("structure", "The body is no resource: send an object with a resourceType.", "")]
    found = structure_issues(encode_json(resource) if data is None else data)
    issues = [_with_fhirpath(issue, resource) for issue in found] if found else []
    walk = Walk(resource, rules=not issues, in_transaction=in_transaction, issues=issues)
    walk_resource((None, resource["resourceType"]), walk)
    return walk.issues


def claims(resource: dict[str, Any]) -> list[str]:
    """Return the canonicals of the profiles that a valid resource claims to follow (resource.html#Meta)."""
    meta = resource.get("meta")
    return [each for each in meta.get("profile", ()) if each] if meta else []


def takes_long(resources: Iterable[Any], size: int, *, claimed: bool) -> bool:
    """Say whether to validate resources that came in `size` bytes off the event loop (security IN-2)."""
    return size > BIG or (claimed and size > BIG_CLAIMS and any(map(_may_claim, resources)))


def _may_claim(resource: Any) -> bool:
    """Say quickly whether a resource that nobody has validated may claim profiles, or hold others that do."""
    if not isinstance(resource, dict):
        return False
    meta = resource.get("meta")
    return (isinstance(meta, dict) and "profile" in meta) or resource.get("resourceType") == "Bundle"


def claimed_issues(resource: dict[str, Any], *, thorough: bool = False) -> list[Issue]:
    """Return what of the known profiles that they claim a valid resource, and those in its entries, do not follow.

    A claim without version means the newest at hand; a profile that is not known is not looked at. `thorough` is as in
    `profile_issues`.
    """
    issues: list[Issue] = []
    for where, each in _claimants(resource):
        for canonical in claims(each):
            profile = find_profile(canonical)
            if profile is not None:
                issues += [_moved(issue, where) for issue in profile_issues(each, profile, thorough=thorough)]
    return issues


def _claimants(resource: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a resource and, of a Bundle, the resources of its entries, with their places."""
    yield where, resource
    if resource["resourceType"] == "Bundle":
        place = where or "Bundle"
        for index, entry in enumerate(resource.get("entry", ())):
            if "resource" in entry:
                yield from _claimants(entry["resource"], f"{place}.entry[{index}].resource")


def _moved(issue: Issue, where: str) -> Issue:
    if not where:
        return issue
    _, dot, rest = issue.expression.partition(".")
    return replace(issue, expression=f"{where}{dot}{rest}")


def _with_fhirpath(issue: Issue, resource: dict[str, Any]) -> Issue:
    return Issue(issue.code, issue.diagnostics, from_json_names(issue.expression, resource), issue.severity)
