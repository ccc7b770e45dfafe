"""read and vread (FHIR R4 http.html#read, #vread)."""

from __future__ import annotations

from fhir_server.access import access_for_read
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, represent
from fhir_server.fhir.service import Service


async def read(request: FhirRequest, service: Service) -> Response:
    """Answer with the current version."""
    key = request.route.key
    access = access_for_read(request.access, key.resource_type, key.id)
    return represent(await service.store.read(key, access), request)


async def vread(request: FhirRequest, service: Service) -> Response:
    """Answer with the version that the path names."""
    return represent(await service.store.vread(request.route.key, request.route.version, request.access), request)
