"""A search from its parameters to the Bundle that answers it: of one type, of several, in a compartment."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote_plus

from fhir_server.fhir.bundles import bundle_bytes, outcome_entry, search_entry
from fhir_server.fhir.negotiation import Pairs, first, require_json_acceptable
from fhir_server.fhir.notes import warnings
from fhir_server.fhir.parameters import address_with
from fhir_server.fhir.parse.results import CURSOR, NAMING
from fhir_server.fhir.parse.search import ParsedSearch, Scope, parse_search
from fhir_server.fhir.rendered import search_all
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, Touched, touched_by
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import Subset, Summary, subset_versions
from storage.resources import Version
from storage.search.page import Page


async def read_parameters(request: FhirRequest, service: Service) -> Pairs:
    """Return the parameters of a search by GET or POST.

    Raises NotAcceptable, InvalidParameter and what is wrong with a form.
    """
    await request.read_form(service.settings.max_body_bytes)
    require_json_acceptable(request.headers.get("accept", ""), first(request.pairs, "_format"))
    return request.pairs


async def answer_search(where: str | Scope, pairs: Pairs, request: FhirRequest, service: Service) -> Response:
    """Answer with one page of what matches, of a type or in a scope."""
    settings = service.settings
    parsed = parse_search(
        where,
        pairs,
        strict=request.preferences.strict,
        base_url=service.base_url,
        zone=service.zone,
        default_count=settings.default_count,
        max_count=settings.max_count,
    )
    page = await search_all(parsed.search, request.access, service)
    return Response(200, _searchset(parsed, page, service.base_url), touched=_touched(parsed, page))


def _touched(parsed: ParsedSearch, page: Page) -> Touched:
    """Return what was shown; of several types each id stands with its own."""
    if parsed.search.resource_type:
        others = page.includes
        return touched_by(parsed.search.resource_type, page.matches, count=len(page.matches), others=others)
    return touched_by("", (), count=len(page.matches), others=(*page.matches, *page.includes))


def _searchset(parsed: ParsedSearch, page: Page, base_url: str) -> bytes:
    """Return the page as a Bundle; the self link shows what was used (S2)."""
    base = base_url.encode()
    entries = [search_entry(version, b"match", base) for version in subset_versions(page.matches, parsed.subset)]
    entries += [search_entry(version, b"include", base) for version in _included(page.includes, parsed.subset)]
    told = [_left_out(name) for name in parsed.ignored]
    told += [*parsed.cautions, *page.warnings]
    if told:
        entries.append(outcome_entry(warnings(told)))
    return bundle_bytes("searchset", entries, total=page.total, links=_links(parsed, page, base_url))


def _left_out(name: str) -> str:
    """Say which parameter was not used: one that nobody knows, or one that names what nobody knows."""
    unknown = "names what is not known here" if name.partition(":")[0] in NAMING else "is not known"
    return f"The parameter {name} {unknown} and was not used."


def _included(versions: Sequence[Version], asked: Subset | None) -> list[Version]:
    """Return included resources as they are shown: named elements are those of matches only (search.html#elements)."""
    kept = asked if asked is not None and asked.summary in {Summary.TRUE, Summary.DATA} else None
    return subset_versions(versions, kept)


def _links(parsed: ParsedSearch, page: Page, base_url: str) -> list[tuple[str, str]]:
    search = parsed.search
    address = f"{base_url}/{search.address or search.resource_type}".removesuffix("/")
    first_page = address_with(address, search.parameters)
    continued = f"{first_page}{'&' if search.parameters else '?'}{CURSOR}="

    def at(cursor: str | None) -> str:
        return continued + quote_plus(cursor) if cursor else first_page

    links = [("self", at(search.cursor))]
    if search.count:
        links.append(("first", at(None)))
    if page.previous_cursor is not None:
        links.append(("previous", at(page.previous_cursor)))
    if page.next_cursor is not None:
        links.append(("next", at(page.next_cursor)))
    return links
