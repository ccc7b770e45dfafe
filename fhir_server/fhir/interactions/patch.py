"""patch, by JSON Patch or FHIRPath Patch (FHIR R4 http.html#patch)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service
from fhir_server.fhir.writes.plans import plan_write
from fhir_server.fhir.writes.single import write_one


async def patch(request: FhirRequest, service: Service) -> Response:
    """Store what the patch makes of the resource as its next version."""
    return await write_one(request, service, await plan_write(request, service))
