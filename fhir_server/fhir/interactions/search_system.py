"""search of several types or of all, by GET or POST at the base (FHIR R4 http.html#search; fhir_rest S1)."""

from __future__ import annotations

from capability.elements import RESOURCE_TYPES
from fhir_server.fhir.parse.search import Scope
from fhir_server.fhir.parse.types import searchable_types, split_types
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.searchset import answer_search, read_parameters
from fhir_server.fhir.service import Service


async def search_system(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of the resources that match, of the types named, else of all that the caller may search."""
    types, pairs, shown = split_types(await read_parameters(request, service))
    scope = Scope(types or searchable_types(RESOURCE_TYPES, request.access), "", shown=shown)
    return await answer_search(scope, pairs, request, service)
