"""batch (FHIR R4 http.html#transaction): entries that stand alone, each answered as if it had come alone (B2)."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import EntryFailed
from fhir_server.fhir.bundles import bundle_bytes
from fhir_server.fhir.dispatch import answer, failed_on_record
from fhir_server.fhir.entries import bundle_entries, parse_entry
from fhir_server.fhir.entry_requests import entry_answer, entry_request, without_body
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.routing import Route
from fhir_server.fhir.service import Service


async def batch(request: FhirRequest, service: Service, bundle: dict[str, Any]) -> Response:
    """Answer every entry, in the order of the request; each is authorised, stored and audited on its own."""
    entries = bundle_entries(bundle, service.settings.max_bundle_entries)
    answers = [entry_answer(await _answer_entry(raw, place, request, service)) for place, raw in enumerate(entries)]
    return Response(200, bundle_bytes("batch-response", answers))


async def _answer_entry(raw: Any, place: int, request: FhirRequest, service: Service) -> Response:
    route: Route = request.route
    try:
        entry = parse_entry(raw, place)
        route = entry.route
        response = await answer(entry_request(entry, request), service)
        return without_body(response) if entry.method == "HEAD" else response
    except Exception as error:  # noqa: BLE001 whatever it is, the other entries stand alone
        failure = EntryFailed(place, error)
        return await failed_on_record(failure, request.origin, service, request.access, route)
