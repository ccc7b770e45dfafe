"""history of one resource (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

from typing import Final

from fhir_server.errors import InvalidParameter
from fhir_server.fhir.bundles import bundle_bytes, history_entry
from fhir_server.fhir.negotiation import first
from fhir_server.fhir.parameters import address_with, milliseconds, whole_number
from fhir_server.fhir.rendered import refuse_history
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from storage.errors import ResourceNotFound
from storage.history.instance import HistoryQuery

BEFORE: Final = "_before"
"""Parameter of `next` links: the version below which the page begins. Versions that appear later are above it."""
_KNOWN: Final = frozenset({"_since", "_at", "_count", "_sort", BEFORE, "_format", "_pretty", "fhirVersion"})


async def history_instance(request: FhirRequest, service: Service) -> Response:
    """Answer with the versions, newest first."""
    query = _history_query(request, service)
    try:
        page = await service.store.history(request.route.key, query, request.access)
    except ResourceNotFound:
        await refuse_history(request.route.key, request.access, service)
        raise
    shown = page.versions
    entries = [history_entry(version, service.base_url) for version in shown]
    links = _links(request, service, page.next_before)
    body = bundle_bytes("history", entries, total=page.total, links=links)
    return Response(200, body, touched=touched_by(request.route.resource_type, shown, count=len(shown)))


def _history_query(request: FhirRequest, service: Service) -> HistoryQuery:
    """Return what the parameters ask for."""
    pairs = request.pairs
    if request.preferences.strict:
        for name, _ in pairs:
            if name not in _KNOWN:
                raise InvalidParameter(name, "a history has _since, _at and _count")
    since, at = first(pairs, "_since"), first(pairs, "_at")
    if since and at:
        raise InvalidParameter("_at", "give _since or _at, not both")
    settings = service.settings
    count = min(whole_number(pairs, "_count", settings.default_count), settings.max_count)
    query = HistoryQuery(
        count=max(count, 1),
        since=None if not since else milliseconds(since, "_since")[0],
        at=None if not at else milliseconds(at, "_at"),
    )
    before = whole_number(pairs, BEFORE, 0)
    return query if not before else HistoryQuery(query.count, query.since, query.at, before)


def _links(request: FhirRequest, service: Service, before: int | None) -> list[tuple[str, str]]:
    address = f"{service.base_url}/{request.route.key}/_history"
    kept = [(name, value) for name, value in request.pairs if name in {"_since", "_at", "_count"} and value]
    links = [("self", address_with(address, kept))]
    if before is not None:
        links.append(("next", address_with(address, [*kept, (BEFORE, str(before))])))
    return links
