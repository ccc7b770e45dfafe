"""search of one type, by GET or POST (FHIR R4 http.html#search, search.html)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.searchset import answer_search, read_parameters
from fhir_server.fhir.service import Service


async def search_type(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of the resources that match."""
    pairs = await read_parameters(request, service)
    return await answer_search(request.route.resource_type, pairs, request, service)
