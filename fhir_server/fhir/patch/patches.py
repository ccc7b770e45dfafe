"""From what a PATCH sends to the resource that it makes of a stored one (FHIR R4 http.html#patch; fhir_rest P1, P2)."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fhir_server.errors import BodyTooComplex, BodyTooLarge, ElementFixed, PatchFailed, UnsupportedPatch
from fhir_server.fhir.json_body import JsonLimits, encode_json, parse_json
from fhir_server.fhir.negotiation import is_json_patch
from fhir_server.fhir.patch.fhirpath_patch import FhirPathPatch
from fhir_server.fhir.patch.json_patch import JsonPatchDocument
from fhir_server.fhir.whole import require_whole
from fhir_server.validation.validate import validate_resource

_FIXED: Final = (("resourceType",), ("id",), ("meta", "versionId"), ("meta", "lastUpdated"))
_KEPT: Final = ("tag", "security", "profile")


class Patch(Protocol):
    """One of the kinds of patch."""

    @property
    def size(self) -> int:
        """How many operations it has."""
        ...

    @property
    def asks(self) -> bool:
        """Whether it succeeds or fails by what is stored, beyond which elements are there."""
        ...

    def apply(self, resource: dict[str, Any]) -> Any:
        """Return what becomes of a resource, which may be changed on the way; raises PatchFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a patched resource has to keep within: bytes, levels and values, and the profiles that it claims."""

    size: int
    json: JsonLimits
    claims: bool = True


def json_patch(document: Any) -> Patch:
    """Return a JSON Patch; raises MalformedBody, BodyTooComplex and PatchFailed."""
    return JsonPatchDocument(document)


def fhirpath_patch(parameters: Any, data: bytes | None = None) -> Patch:
    """Return the FHIRPath Patch of a Parameters resource; raises also what is wrong with the resource."""
    validate_resource(parameters, data, expected_type="Parameters")
    return FhirPathPatch(parameters)


def entry_patch(resource: Any, limits: JsonLimits) -> Patch:
    """Return the patch of a bundle's entry: a Binary with a JSON Patch, or Parameters (B13).

    Raises UnsupportedPatch for a Binary with something else, and what the kinds raise.
    """
    if not isinstance(resource, dict) or resource.get("resourceType") != "Binary":
        return fhirpath_patch(resource)
    validate_resource(resource, expected_type="Binary")
    if not is_json_patch(resource["contentType"]):
        raise UnsupportedPatch
    try:
        data = b64decode("".join(resource.get("data", "").split()), validate=True)
    except binascii.Error:
        raise PatchFailed("The data of the Binary is not base64.") from None
    return json_patch(parse_json(data, limits))


def patched(patch: Patch, stored: bytes, bounds: Bounds) -> dict[str, Any]:
    """Return the validated resource that a patch makes of stored bytes.

    Raises PatchFailed, ElementFixed, BodyTooLarge, BodyTooComplex and what is wrong with the resource.
    """
    before = parse_json(stored)
    result = patch.apply(parse_json(stored))
    if not isinstance(result, dict):
        raise PatchFailed("The patch leaves no resource.")
    _require_fixed(before, result)
    try:
        data = encode_json(result)
    except RecursionError:
        raise BodyTooComplex("levels of nesting", bounds.json.depth) from None
    if len(data) > bounds.size:
        raise BodyTooLarge(bounds.size)
    resource: dict[str, Any] = parse_json(data, bounds.json)
    validate_resource(resource, data, expected_type=before["resourceType"], claimed=bounds.claims)
    require_whole(resource)
    _require_kept(before, resource)
    return resource


def _require_fixed(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse changes of what makes the resource what it is."""
    for path in _FIXED:
        if _at(before, path) != _at(after, path):
            raise ElementFixed("A patch cannot change this element.", ".".join((before["resourceType"], *path)))


def _at(resource: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        resource = resource.get(name) if isinstance(resource, dict) else None
    return resource


def _require_kept(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Refuse to take labels away, which writes keep: a patch shall not be answered with what it did not do (U5)."""
    for name in _KEPT:
        kept = after.get("meta", {}).get(name, [])
        if any(each not in kept for each in before.get("meta", {}).get(name, [])):
            place = f"{before['resourceType']}.meta.{name}"
            raise ElementFixed("Tags, labels and profiles go by $meta-delete only.", place)
