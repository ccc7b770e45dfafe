"""history of one resource (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fhir_server.fhir.bundles import bundle_bytes, history_entry
from fhir_server.fhir.histories import history_parameters, listed
from fhir_server.fhir.parameters import page_links, whole_number
from fhir_server.fhir.rendered import refuse_history
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import subset_versions
from storage.errors import ResourceNotFound
from storage.history.instance import FIRST_PAGE, HistoryQuery

BEFORE: Final = "_before"
"""Parameter of `next` links: the version below which the page begins. Versions that appear later are above it."""


async def history_instance(request: FhirRequest, service: Service) -> Response:
    """Answer with the versions, newest first."""
    key = request.route.key
    asked = history_parameters(request, service, BEFORE)
    named = await listed(asked.list_id, request, service)
    before = whole_number(request.pairs, BEFORE, 0) or FIRST_PAGE
    versions = None if named is None else named.get(key, frozenset())
    query = HistoryQuery(asked.count, asked.since, asked.at, before, versions)
    try:
        page = await service.store.history(key, query, request.access)
    except ResourceNotFound:
        await refuse_history(key, request.access, service)
        raise
    shown = page.versions
    entries = [history_entry(version, service.base_url) for version in subset_versions(shown, asked.subset)]
    here = None if before == FIRST_PAGE else str(before)
    following = None if page.next_before is None else str(page.next_before)
    links = page_links(f"{service.base_url}/{key}/_history", asked.used, BEFORE, here, following)
    body = bundle_bytes("history", entries, total=page.total, links=links)
    touched = touched_by(key.resource_type, shown, count=len(shown))
    return Response(200, body, touched=touched if shown else replace(touched, ids=(key.id,)))
