"""The door: what passes here is a valid R4 resource; mappers, index and store trust it (design Decision 2)."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import Issue, TypeMismatch, invalid_resource
from fhir_server.fhir.json_body import encode_json, root_name
from fhir_server.validation.places import from_json_names
from fhir_server.validation.structure import structure_issues
from fhir_server.validation.walk import Walk, walk_resource


def validate_resource(
    resource: Any, data: bytes | None = None, *, expected_type: str | None = None, in_transaction: bool = False
) -> None:
    """Check a resource that `parse_json` gave; `data` are its bytes where they are at hand.

    Raises TypeMismatch when it is of another type than `expected_type`, else InvalidResource or RuleBroken with all
    faults at once. In a transaction `Type?criteria` is a reference, too: it is resolved when the entries are.
    """
    if expected_type is not None and isinstance(resource, dict) and "resourceType" in resource:
        found = resource["resourceType"]
        if isinstance(found, str) and found != expected_type:
            raise TypeMismatch(expected_type, root_name(resource))
    issues = resource_issues(resource, data, in_transaction=in_transaction)
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


def _with_fhirpath(issue: Issue, resource: dict[str, Any]) -> Issue:
    return Issue(issue.code, issue.diagnostics, from_json_names(issue.expression, resource), issue.severity)
