"""A small valid resource of every R4 type: the validator tells what is missing, the definitions what it may be."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from capability.elements import REFERENCE_TARGETS, RESOURCE_TYPES, element, is_type
from capability.validation_tables import BINDINGS
from fhir_server.errors import Issue
from fhir_server.validation.validate import resource_issues

_STEP = re.compile(r"([A-Za-z0-9]+)(?:\[(\d+)\])?\Z")
_PRIMITIVES: dict[str, Any] = {
    "base64Binary": "YQ==",
    "boolean": True,
    "canonical": "http://example.org/canonical",
    "date": "2020-01-01",
    "dateTime": "2020-01-01T10:00:00Z",
    "decimal": 1,
    "instant": "2020-01-01T10:00:00Z",
    "integer": 1,
    "oid": "urn:oid:1.2.3",
    "positiveInt": 1,
    "time": "10:00:00",
    "unsignedInt": 1,
    "uri": "http://example.org/uri",
    "url": "http://example.org/url",
    "uuid": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>',
}
_COMPLEX: dict[str, dict[str, Any]] = {
    "CodeableConcept": {"text": "x"},
    "Coding": {"system": "http://example.org/codes", "code": "x"},
    "Identifier": {"system": "urn:example", "value": "1"},
    "Period": {"start": "2020-01-01"},
    "Quantity": {"value": 1},
    "SimpleQuantity": {"value": 1},
    "Money": {"value": 1, "currency": "USD"},
    "Duration": {"value": 1, "unit": "h", "system": "http://unitsofmeasure.org", "code": "h"},
    "Attachment": {"url": "http://example.org/url"},
    "Annotation": {"text": "x"},
    "HumanName": {"family": "Minimal"},
    "Address": {"city": "x"},
    "ContactPoint": {"system": "phone", "value": "1"},
    "Expression": {"language": "text/fhirpath", "expression": "true"},
    "Meta": {"source": "http://example.org/uri"},
    "Extension": {"url": "http://example.org/extension", "valueBoolean": True},
}
BY_HAND: dict[str, dict[str, Any]] = {
    "AllergyIntolerance": {
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"}
            ]
        }
    },
    "Consent": {"policyRule": {"text": "x"}},
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "x"}]},
    "Organization": {"name": "x"},
    "Patient": {"name": [{"family": "Minimal"}]},
}
"""What invariants want that neither a cardinality nor a binding tells."""


def _value(path: str, datatype: str) -> Any:
    """Return a value for an element of a type; what is still missing inside comes in the next round."""
    if datatype in _PRIMITIVES:
        return _PRIMITIVES[datatype]
    if datatype == "Reference":
        targets = REFERENCE_TARGETS.get(path, ())
        target = next((each for each in targets if each in RESOURCE_TYPES), "Patient")
        return {"reference": f"{target}/example"}
    if datatype == "Resource":
        return {"resourceType": "Basic", "code": {"text": "x"}}
    if datatype in _COMPLEX:
        return dict(_COMPLEX[datatype])
    if is_type(datatype) and not datatype.islower() and "." in datatype:
        return {}
    binding = BINDINGS.get(path)
    if datatype == "code":
        return min(code for codes in binding.codes.values() for code in codes) if binding else "x"
    return "x" if datatype in {"string", "markdown", "id"} else {}


def _mend(resource: dict[str, Any], issue: Issue) -> None:
    """Add what an issue says is missing, or take another code."""
    root, *steps = issue.expression.split(".")
    node: Any = resource
    datatype = root
    for step in steps[:-1]:
        match = _STEP.match(step)
        assert match is not None, issue
        known = element(datatype, match[1]) or _chosen(datatype, match[1])
        assert known is not None, issue
        node = node[match[1]]
        node = node[int(match[2] or 0)] if isinstance(node, list) else node
        datatype = known.datatypes[0]
    match = _STEP.match(steps[-1]) if steps else None
    if match is None:
        return
    name = match[1]
    known = element(datatype, name)
    if known is None:
        return
    chosen = known.datatypes[0]
    key = f"{name}{chosen[0].upper()}{chosen[1:]}" if known.choice else name
    value = _value(f"{datatype}.{name}", chosen)
    if issue.code == "code-invalid" and chosen == "CodeableConcept":
        binding = BINDINGS[f"{datatype}.{name}"]
        system, codes = next(iter(binding.codes.items()))
        value = {"coding": [{"system": system, "code": min(codes)} if system else {"code": min(codes)}]}
    node[key] = [value] if known.repeats else value


def _chosen(datatype: str, key: str) -> Any:
    """Return the element of which a key is one choice."""
    for cut in range(len(key) - 1, 0, -1):
        known = element(datatype, key[:cut])
        if known is not None and known.choice:
            return known
    return None


@cache
def _made(resource_type: str) -> str:
    resource: dict[str, Any] = {"resourceType": resource_type, **BY_HAND.get(resource_type, {})}
    issues: list[Issue] = []
    for _ in range(12):
        issues = [issue for issue in resource_issues(resource) if issue.severity == "error"]
        if not issues:
            return json.dumps(resource)
        for issue in issues:
            if issue.code in {"required", "code-invalid"}:
                _mend(resource, issue)
    told = [(issue.code, issue.expression, issue.diagnostics) for issue in issues]
    raise AssertionError(f"{resource_type}: {told} {resource}")


def minimal(resource_type: str, **more: Any) -> dict[str, Any]:
    """Return a new minimal resource of a type, with more elements."""
    made: dict[str, Any] = json.loads(_made(resource_type))
    return made | more
