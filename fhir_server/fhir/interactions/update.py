"""update, conditional or not, and create under an id of the client's (FHIR R4 http.html#update, #cond-update)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service
from fhir_server.fhir.writes.plans import plan_write
from fhir_server.fhir.writes.single import write_one


async def update(request: FhirRequest, service: Service) -> Response:
    """Store the body as the next version of the resource, or as its first."""
    return await write_one(request, service, await plan_write(request, service))
