"""read and vread (FHIR R4 http.html#read, #vread)."""

from __future__ import annotations

from fhir_server.access import access_for_read
from fhir_server.fhir.rendered import read_rendered, represent_rendered
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, represent
from fhir_server.fhir.service import Service
from storage.errors import ResourceNotFound


async def read(request: FhirRequest, service: Service) -> Response:
    """Answer with the current version."""
    key = request.route.key
    access = access_for_read(request.access, key.resource_type, key.id)
    try:
        return represent(await service.store.read(key, access), request)
    except ResourceNotFound:
        rendered = await read_rendered(key, request.access, service)
        if rendered is None:
            raise
        return represent_rendered(rendered)


async def vread(request: FhirRequest, service: Service) -> Response:
    """Answer with the version that the path names."""
    key, number = request.route.key, request.route.version
    try:
        return represent(await service.store.vread(key, number, request.access), request)
    except ResourceNotFound:
        rendered = await read_rendered(key, request.access, service)
        if rendered is None or rendered.version.version != number:
            raise
        return represent_rendered(rendered)
