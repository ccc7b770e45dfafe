"""delete, with or without condition (FHIR R4 http.html#delete, #3.1.0.7.1)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service
from fhir_server.fhir.writes.plans import plan_write
from fhir_server.fhir.writes.single import write_one


async def delete(request: FhirRequest, service: Service) -> Response:
    """Make a version that says the resource is gone; without it there is nothing to do (X1)."""
    return await write_one(request, service, await plan_write(request, service))
