"""read and vread (FHIR R4 http.html#read, #vread)."""

from __future__ import annotations

from fhir_server.access import access_for_read
from fhir_server.fhir.rendered import read_rendered, represent_rendered
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, represent
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import asked_subset, subset
from storage.errors import ResourceNotFound


async def read(request: FhirRequest, service: Service) -> Response:
    """Answer with the current version."""
    key = request.route.key
    access = access_for_read(request.access, key.resource_type, key.id)
    try:
        return _part_of(represent(await service.store.read(key, access), request), request)
    except ResourceNotFound:
        rendered = await read_rendered(key, request.access, service)
        if rendered is None:
            raise
        return _part_of(represent_rendered(rendered), request)


async def vread(request: FhirRequest, service: Service) -> Response:
    """Answer with the version that the path names."""
    key, number = request.route.key, request.route.version
    try:
        return _part_of(represent(await service.store.vread(key, number, request.access), request), request)
    except ResourceNotFound:
        rendered = await read_rendered(key, request.access, service)
        if rendered is None or rendered.version != number:
            raise
        return _part_of(represent_rendered(rendered), request)


def _part_of(response: Response, request: FhirRequest) -> Response:
    """Return the answer with the part of the resource that `_summary` or `_elements` asks for (R4)."""
    asked = asked_subset(request.pairs)
    if asked is not None and response.body:
        response.body = subset(request.route.resource_type, response.body, asked)
    return response
