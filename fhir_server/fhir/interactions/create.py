"""create, with or without condition (FHIR R4 http.html#create, #ccreate)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service
from fhir_server.fhir.writes.plans import plan_write
from fhir_server.fhir.writes.single import write_one


async def create(request: FhirRequest, service: Service) -> Response:
    """Store a new resource under an id of the server's; with `If-None-Exist` only if nothing matches."""
    return await write_one(request, service, await plan_write(request, service))
