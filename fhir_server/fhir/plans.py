"""From a request (or bundle entry) that writes to a planned write: everything that needs no database."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fhir_server.errors import IdMismatch, InvalidHeader
from fhir_server.fhir.conditions import expected_version
from fhir_server.fhir.parse.search import parse_criteria
from fhir_server.fhir.request import BIG, FhirRequest
from fhir_server.fhir.routing import Interaction
from fhir_server.fhir.service import Service
from fhir_server.fhir.writing import Criteria, PlannedWrite
from fhir_server.validation.validate import validate_resource
from storage.access import Right
from storage.resources import ResourceKey

RIGHTS: Final = {
    Interaction.CREATE: Right.CREATE,
    Interaction.UPDATE: Right.UPDATE,
    Interaction.DELETE: Right.DELETE,
}


async def plan_write(request: FhirRequest, service: Service) -> PlannedWrite:
    """Plan a create, update or delete that came alone.

    Raises InteractionForbidden before the body is read, then what is wrong with body and headers.
    """
    require_right(request)
    if request.route.interaction is Interaction.DELETE:
        return planned_write(request, service, None)
    body = await request.json(service.settings.max_body_bytes)
    resource_type = request.route.resource_type
    if len(body.data) > BIG:
        await asyncio.to_thread(validate_resource, body.value, body.data, expected_type=resource_type)
    else:
        validate_resource(body.value, body.data or None, expected_type=resource_type)
    return planned_write(request, service, body.value)


def require_right(request: FhirRequest) -> None:
    """Check that the caller may do this with the type at all; raises InteractionForbidden (AZ-4)."""
    request.access.require(request.route.resource_type, RIGHTS[request.route.interaction])


def planned_write(request: FhirRequest, service: Service, resource: dict[str, Any] | None) -> PlannedWrite:
    """Return the write of a validated resource; without one it is a deletion.

    A create gets a new id, an id and version that the client sent do not count (C1). The id of an updated resource is
    that of its address (U1). Raises IdMismatch, InvalidHeader and InvalidParameter.
    """
    key = request.route.key
    if resource is None:
        version = expected_version(request.headers.get("if-match"))
        return PlannedWrite(key, None, expected_version=version, entry=request.entry)
    if request.route.interaction is Interaction.CREATE:
        key = ResourceKey(key.resource_type, service.database.ids.uuid7())
        resource["id"] = key.id
        criteria = _create_condition(request, service)
        return PlannedWrite(key, resource, creates=True, criteria=criteria, entry=request.entry)
    _refuse_header(request, "If-None-Match", "An update takes If-Match.")
    if resource.get("id") != key.id:
        raise IdMismatch(f"{key.resource_type}.id")
    version = expected_version(request.headers.get("if-match"))
    return PlannedWrite(key, resource, expected_version=version, entry=request.entry)


def _create_condition(request: FhirRequest, service: Service) -> Criteria | None:
    """Return the criteria of `If-None-Exist`, a query without type and `?` (C4)."""
    _refuse_header(request, "If-Match", "A create has no version to match.")
    condition = request.headers.get("if-none-exist")
    if condition is None:
        return None
    return parse_criteria(request.route.resource_type, condition.strip(), base_url=service.base_url)


def _refuse_header(request: FhirRequest, header: str, remedy: str) -> None:
    if header.lower() in request.headers:
        raise InvalidHeader(header, f"{remedy} Leave {header} out.")
