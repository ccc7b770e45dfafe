"""From a request (or bundle entry) that writes to a planned write: everything that needs no database."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlencode

from fhir_server.access import may_read_changes
from fhir_server.errors import IdMismatch, InvalidHeader, InvalidParameter, MalformedBody
from fhir_server.fhir.conditions import expected_version
from fhir_server.fhir.negotiation import is_json_patch, require_patch_body
from fhir_server.fhir.parse.results import GENERAL
from fhir_server.fhir.parse.search import parse_criteria
from fhir_server.fhir.patch.patches import Patch, entry_patch, fhirpath_patch, json_patch
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.routing import Interaction
from fhir_server.fhir.service import Service
from fhir_server.fhir.whole import require_whole
from fhir_server.fhir.writes.planned import Criteria, PlannedWrite
from fhir_server.validation.validate import takes_long, validate_resource
from storage.access import Right
from storage.errors import InteractionForbidden
from storage.resources import ResourceKey

RIGHTS: Final = {
    Interaction.CREATE: Right.CREATE,
    Interaction.UPDATE: Right.UPDATE,
    Interaction.PATCH: Right.UPDATE,
    Interaction.DELETE: Right.DELETE,
}
"""What a caller needs (smart.md E2); conditions are searches and need the right to these, too."""


async def plan_write(request: FhirRequest, service: Service) -> PlannedWrite:
    """Plan a create, update, patch or delete that came alone, or as an entry of a batch.

    Raises InteractionForbidden before the body is read, then what is wrong with body and headers.
    """
    require_right(request)
    match request.route.interaction:
        case Interaction.DELETE:
            return planned_write(request, service, None)
        case Interaction.PATCH:
            return planned_patch(request, service, await _sent_patch(request, service))
        case _:
            return planned_write(request, service, await _sent_resource(request, service))


async def _sent_resource(request: FhirRequest, service: Service) -> dict[str, Any]:
    body = await request.json(service.settings.max_body_bytes)
    resource_type, claimed = request.route.resource_type, service.settings.checks_claims
    if takes_long([body.value], len(body.data), claimed=claimed):
        await asyncio.to_thread(validate_resource, body.value, body.data, expected_type=resource_type, claimed=claimed)
    else:
        validate_resource(body.value, body.data or None, expected_type=resource_type, claimed=claimed)
    resource: dict[str, Any] = body.value
    return resource


async def _sent_patch(request: FhirRequest, service: Service) -> Patch:
    body = await request.json(service.settings.max_body_bytes, require_patch_body)
    if request.entry is not None:
        return entry_patch(body.value, service.limits)
    if is_json_patch(request.headers.get("content-type", "")):
        return json_patch(body.value)
    if isinstance(body.value, list):
        raise MalformedBody("Send a JSON Patch as Content-Type: application/json-patch+json.")
    return fhirpath_patch(body.value, body.data)


def require_right(request: FhirRequest) -> None:
    """Check that the caller may do this with the type at all; raises InteractionForbidden (AZ-4)."""
    route = request.route
    request.access.require(route.resource_type, RIGHTS[route.interaction])
    if not route.id and (route.interaction is not Interaction.CREATE or "if-none-exist" in request.headers):
        request.access.require(route.resource_type, Right.SEARCH)


def planned_write(request: FhirRequest, service: Service, resource: dict[str, Any] | None) -> PlannedWrite:
    """Return the write of a validated resource; without one it is a deletion.

    A create gets a new id, an id and version that the client sent do not count (C1). The id of an updated resource is
    that of its address (U1), if the address has one (U6). Raises IdMismatch, InvalidHeader, InvalidParameter and
    RuleBroken for a resource that was cut down (Q6).
    """
    planned = _planned(request, service)
    if resource is None:
        return planned
    require_whole(resource)
    planned.resource = resource
    if planned.interaction is Interaction.CREATE:
        resource["id"] = planned.key.id
        return planned
    if planned.criteria is not None:
        planned.chosen_id = resource.get("id")
    elif resource.get("id") != planned.key.id:
        raise IdMismatch(f"{planned.key.resource_type}.id")
    return planned


def planned_patch(request: FhirRequest, service: Service, patch: Patch) -> PlannedWrite:
    """Return the write of a patch.

    Raises InteractionForbidden for a patch that asks what is stored of who may not read it, InvalidHeader and
    InvalidParameter.
    """
    if patch.asks and not may_read_changes(request.access, request.route.resource_type):
        raise InteractionForbidden(request.route.resource_type, Right.READ.name.lower())
    planned = _planned(request, service)
    planned.patch = patch
    return planned


def _planned(request: FhirRequest, service: Service) -> PlannedWrite:
    """Return a write with target and conditions, without content."""
    route = request.route
    if route.interaction is Interaction.CREATE:
        _refuse_header(request, "If-Match", "A create has no version to match.")
        condition = request.headers.get("if-none-exist")
    else:
        _refuse_header(request, "If-None-Match", "A write takes If-Match.")
        condition = None if route.id else _without_general(request)
    key = route.key if route.id else ResourceKey(route.resource_type, service.database.ids.uuid7())
    return PlannedWrite(
        route.interaction,
        key,
        criteria=None if condition is None else _criteria(route.resource_type, condition, service),
        expected_version=expected_version(request.headers.get("if-match")),
        must_exist=route.interaction is Interaction.PATCH or not service.settings.update_as_create,
        entry=request.entry,
    )


def _criteria(resource_type: str, condition: str, service: Service) -> Criteria:
    """Return the criteria of `If-None-Exist` or of a query, without type and `?` (C4, U6)."""
    if "?" in condition.partition("=")[0]:
        raise InvalidParameter("", "write search parameters alone, as name=value, without type and ?")
    return parse_criteria(resource_type, condition.strip(), base_url=service.base_url, zone=service.zone)


def _without_general(request: FhirRequest) -> str:
    """Return the query without what every request may have in it (`_format`)."""
    return urlencode([pair for pair in request.pairs if pair[0] not in GENERAL])


def _refuse_header(request: FhirRequest, header: str, remedy: str) -> None:
    if header.lower() in request.headers:
        raise InvalidHeader(header, f"{remedy} Leave {header} out.")
