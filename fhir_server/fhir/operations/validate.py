"""$validate: what is wrong with a resource, as a type, for a profile or for an interaction (fhir_rest §13; R4
resource-operation-validate.html).

The answer is 200 with an OperationOutcome, whatever is found, and nothing is stored: with a mode, the interaction is
done and undone, so that all that can refuse it has its say.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from capability.profiles import find_profile
from fhir_server.access import access_for_read
from fhir_server.errors import InvalidParameter, InvalidResource, Issue, MalformedBody
from fhir_server.fhir.json_body import encode_json, parse_json
from fhir_server.fhir.operations.parameters import Parameters, has_no_body, operation_parameters, queried_parameters
from fhir_server.fhir.rendered import read_rendered
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, Touched, patients_of
from fhir_server.fhir.routing import Route
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import change_of
from fhir_server.outcome import operation_outcome, rendering
from fhir_server.validation.profiles import extension_issues, profile_issues
from fhir_server.validation.validate import BIG_CLAIMS, claimed_issues, claims, resource_issues
from storage.access import Reach, Right
from storage.engine import NeededFirst
from storage.errors import InteractionForbidden, ResourceNotFound
from storage.resources import ResourceKey, Write


class Mode(StrEnum):
    """What the resource is checked for (valueset-resource-validation-mode)."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    PROFILE = "profile"


_RIGHTS: Final = {Mode.CREATE: Right.CREATE, Mode.UPDATE: Right.UPDATE, Mode.DELETE: Right.DELETE}
_ENOUGH: Final = (Right.READ, Right.CREATE, Right.UPDATE)
"""Whoever may read or write resources of a type may have them checked."""
_VALID: Final = Issue("informational", "No fault was found.", "", "information")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What shall be checked. `data` are the bytes of a resource that came as the body."""

    resource: Any
    data: bytes | None
    mode: Mode | None
    profiles: tuple[str, ...]


class _Undone(Exception):
    """Ends a unit of work that was only tried."""


async def validate(request: FhirRequest, service: Service) -> Response:
    """Answer with everything that is wrong with the resource that came, or with the one that the address names.

    Raises InteractionForbidden, ResourceNotFound and ResourceGone as a read does, and what is wrong with the call.
    """
    route = request.route
    asked = await _ask(request, service)
    touched = Touched(route.resource_type)
    if asked.resource is None:
        body, touched = await _stored(request, service)
        asked = _Asked(parse_json(body, service.limits), body, asked.mode, asked.profiles)
    if asked.mode is Mode.DELETE:
        issues: list[Issue] = []
    elif len(asked.data or encode_json(asked.resource)) > BIG_CLAIMS:
        issues = await asyncio.to_thread(_faults, asked, route)
    else:
        issues = _faults(asked, route)
    found = list(_outcome_issues(issues, request))
    if asked.mode in _RIGHTS and not _has_error(found):
        found += await _tried(asked, request, service)
    if not _has_error(found):
        found += _outcome_issues([_VALID], request)
    return Response(200, encode_json({"resourceType": "OperationOutcome", "issue": found}), touched=touched)


def _require_right(request: FhirRequest) -> None:
    resource_type = request.route.resource_type
    access = access_for_read(request.access, resource_type, request.route.id)
    if not any(access.reach(resource_type, right) is not Reach.NONE for right in _ENOUGH):
        raise InteractionForbidden(resource_type, Right.READ.name.lower())


async def _ask(request: FhirRequest, service: Service) -> _Asked:
    """Return what is asked; raises InteractionForbidden before a body is read, then what is wrong with the call."""
    _require_right(request)
    limit = service.settings.max_body_bytes
    resource: Any = None
    data: bytes | None = None
    given = queried_parameters(request)
    if request.origin.method == "POST" and not has_no_body(request):
        body = await request.json(limit)
        if _is_call(body.value, request.route):
            given = await operation_parameters(request, limit)
            resource = given.resource("resource")
        else:
            resource, data = body.value, body.data or None
    mode = _mode(given)
    if mode is Mode.DELETE and not request.route.id:
        raise InvalidParameter("mode", "a deletion is checked at the address of the resource")
    profiles = tuple(dict.fromkeys(each.text for each in given.all("profile") if each.text))
    if mode is Mode.PROFILE and not profiles:
        raise InvalidParameter("profile", "name the profile that the resource is checked for")
    return _Asked(resource, data, mode, profiles)


def _is_call(body: Any, route: Route) -> bool:
    """Say whether a body is that of the operation, and not a Parameters resource that shall be checked itself."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        return False
    if route.resource_type != "Parameters":
        return True
    listed = body.get("parameter")
    names = [each.get("name") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return "resource" in names


def _mode(given: Parameters) -> Mode | None:
    text = given.text("mode")
    if text is None or text in set(Mode):
        return Mode(text) if text else None
    raise InvalidParameter("mode", f"give one of {', '.join(Mode)}")


async def _stored(request: FhirRequest, service: Service) -> tuple[bytes, Touched]:
    """Return the bytes of the resource that the address names, and what is to be recorded of it."""
    key = request.route.key
    if not key.id:
        raise MalformedBody("Send the resource, or Parameters with one, by POST.")
    try:
        version = await service.store.read(key, access_for_read(request.access, key.resource_type, key.id))
    except ResourceNotFound:
        rendered = await read_rendered(key, request.access, service)
        if rendered is None:
            raise
        version = rendered
    return version.body, Touched(key.resource_type, (key.id,), patients_of((version,)))


def _faults(asked: _Asked, route: Route) -> list[Issue]:
    """Return all faults: of R4, then, when its structure is right, of the profiles asked for and claimed."""
    resource = asked.resource
    found = resource.get("resourceType") if isinstance(resource, dict) else None
    if isinstance(found, str) and found != route.resource_type:
        return [Issue("invalid", f"The address is one of {route.resource_type}; send a resource of that type.", "")]
    issues = resource_issues(resource, asked.data)
    if all(each.breaks_rule for each in issues):
        issues += _profile_faults(asked)
    if asked.mode is Mode.UPDATE or (route.id and asked.mode is None):
        issues += _id_issues(resource, route)
    issues += [
        Issue("not-found", "The profile asked for is not known; [base]/metadata lists those that are.", "")
        for canonical in asked.profiles
        if find_profile(canonical) is None
    ]
    return list(dict.fromkeys(issues))


def _profile_faults(asked: _Asked) -> list[Issue]:
    resource, issues = asked.resource, []
    for canonical in asked.profiles:
        profile = find_profile(canonical)
        if profile is not None:
            issues += profile_issues(resource, profile)
    if asked.mode is not Mode.PROFILE:
        issues += claimed_issues(resource, thorough=True)
        issues += _unknown_claims(resource)
    return issues + extension_issues(resource)


def _unknown_claims(resource: dict[str, Any]) -> Iterator[Issue]:
    for index, canonical in enumerate(claims(resource)):
        if find_profile(canonical) is None:
            place = f"{resource['resourceType']}.meta.profile[{index}]"
            yield Issue("not-supported", "This profile is not known: it was not looked at.", place, "warning")


def _id_issues(resource: Any, route: Route) -> list[Issue]:
    """Return what is wrong with the id of a resource that shall be an update (U1)."""
    found = resource.get("id") if isinstance(resource, dict) else None
    if found is None:
        return [Issue("required", "An update has the id of the resource.", f"{route.resource_type}.id")]
    if route.id and found != route.id:
        return [Issue("invalid", "The id is not the one that the address names.", f"{route.resource_type}.id")]
    return []


# --- trying -----------------------------------------------------------------------------------------------------------


async def _tried(asked: _Asked, request: FhirRequest, service: Service) -> list[dict[str, Any]]:
    """Do the interaction, undo it, and return the issues of what refused it."""
    if request.entry is not None:
        words = "Whether the server would take it is told of requests of their own only."
        return _outcome_issues([Issue("informational", words, "", "information")], request)
    try:
        request.access.require(request.route.resource_type, _RIGHTS[asked.mode or Mode.UPDATE])
        async with service.database.begin(request.access.organization_id, change_of(request)) as unit:
            await service.store.write(unit, [_write(asked, request.route, service)], request.access)
            raise _Undone
    except (_Undone, NeededFirst):
        return []
    except Exception as error:
        if rendering(error).status >= 500:
            raise
        return list(operation_outcome(error, request.origin.request_id)["issue"])


def _write(asked: _Asked, route: Route, service: Service) -> Write:
    resource_type = route.resource_type
    if asked.mode is Mode.DELETE:
        return Write(route.key, None)
    resource = copy.deepcopy(asked.resource)
    if asked.mode is Mode.CREATE:
        resource["id"] = service.database.ids.uuid7()
    key = ResourceKey(resource_type, resource["id"])
    return Write(key, resource, must_not_exist=asked.mode is Mode.CREATE)


# --- answers ----------------------------------------------------------------------------------------------------------


def _outcome_issues(issues: Sequence[Issue], request: FhirRequest) -> list[dict[str, Any]]:
    return list(operation_outcome(InvalidResource(issues), request.origin.request_id)["issue"]) if issues else []


def _has_error(issues: Sequence[dict[str, Any]]) -> bool:
    return any(each["severity"] in {"error", "fatal"} for each in issues)
