"""history of a type and of all types (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

from fhir_server.fhir.bundles import bundle_bytes, history_entry
from fhir_server.fhir.histories import history_parameters, listed
from fhir_server.fhir.negotiation import first
from fhir_server.fhir.parameters import page_links
from fhir_server.fhir.parse.results import CURSOR
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import subset_versions
from storage.history.stream import StreamPage, StreamQuery


async def history_across(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of the versions that the caller may see, newest first."""
    asked = history_parameters(request, service, CURSOR)
    query = StreamQuery(
        request.route.resource_type,
        asked.count,
        since=asked.since,
        at=asked.at,
        listed=await listed(asked.list_id, request, service),
        cursor=first(request.pairs, CURSOR),
        parameters=asked.used,
    )
    page = await service.streams.page(query, request.access)
    entries = [history_entry(version, service.base_url) for version in subset_versions(page.versions, asked.subset)]
    body = bundle_bytes("history", entries, total=page.total, links=_links(query, page, service.base_url))
    own = page.versions if query.resource_type else ()
    others = () if query.resource_type else page.versions
    return Response(200, body, touched=touched_by(query.resource_type, own, count=len(page.versions), others=others))


def _links(query: StreamQuery, page: StreamPage, base_url: str) -> list[tuple[str, str]]:
    address = "/".join(part for part in (base_url, query.resource_type, "_history") if part)
    return page_links(address, query.parameters, CURSOR, query.cursor, page.next_cursor)
