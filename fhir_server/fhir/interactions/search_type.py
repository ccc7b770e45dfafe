"""search of one type, by GET or POST (FHIR R4 http.html#search, search.html)."""

from __future__ import annotations

from fhir_server.fhir.bundles import bundle_bytes, outcome_entry, search_entry
from fhir_server.fhir.negotiation import first, require_json_acceptable
from fhir_server.fhir.notes import warnings
from fhir_server.fhir.parameters import address_with
from fhir_server.fhir.parse.results import CURSOR
from fhir_server.fhir.parse.search import ParsedSearch, parse_search
from fhir_server.fhir.rendered import search_all
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from storage.search.page import Page


async def search_type(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of the resources that match."""
    settings = service.settings
    await request.read_form(settings.max_body_bytes)
    require_json_acceptable(request.headers.get("accept", ""), first(request.pairs, "_format"))
    parsed = parse_search(
        request.route.resource_type,
        request.pairs,
        strict=request.preferences.strict,
        base_url=service.base_url,
        default_count=settings.default_count,
        max_count=settings.max_count,
    )
    page = await search_all(parsed.search, request.access, service)
    body = _searchset(parsed, page, service.base_url)
    touched = touched_by(parsed.search.resource_type, page.matches, count=len(page.matches), others=page.includes)
    return Response(200, body, touched=touched)


def _searchset(parsed: ParsedSearch, page: Page, base_url: str) -> bytes:
    """Return the page as a Bundle; the self link shows what was used (S2)."""
    base = base_url.encode()
    entries = [search_entry(version, b"match", base) for version in page.matches]
    entries += [search_entry(version, b"include", base) for version in page.includes]
    told = [f"The parameter {name} is not known and was not used." for name in parsed.ignored] + list(page.warnings)
    if told:
        entries.append(outcome_entry(warnings(told)))
    return bundle_bytes("searchset", entries, total=page.total, links=_links(parsed, page, base_url))


def _links(parsed: ParsedSearch, page: Page, base_url: str) -> list[tuple[str, str]]:
    address = f"{base_url}/{parsed.search.resource_type}"
    used = list(parsed.search.parameters)
    cursor = parsed.search.cursor
    links = [("self", address_with(address, used + ([(CURSOR, cursor)] if cursor else [])))]
    if page.next_cursor is not None:
        links.append(("next", address_with(address, [*used, (CURSOR, page.next_cursor)])))
    return links
