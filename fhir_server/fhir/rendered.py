"""Resources that are made when they are asked for, and stored nowhere: one entry a type.

What is stored under the same id wins. Access is decided where they are made: nobody gets by one what he would not get
by reading what it tells about. A granular scope, which the index answers, shows what is stored alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.errors import InteractionNotSupported
from fhir_server.fhir.audit_events.find import find_audit_events
from fhir_server.fhir.audit_events.read import read_audit_event
from fhir_server.fhir.definitions import find_definitions, read_definition
from fhir_server.fhir.provenance.find import find_provenance
from fhir_server.fhir.provenance.read import included_provenances, read_provenance
from fhir_server.fhir.response import Response, Touched, patients_of, version_headers
from fhir_server.fhir.service import Service
from storage.access import Access, Right
from storage.resources import ResourceKey, Version
from storage.search.page import Page
from storage.search.query import Include, Search


@dataclass(frozen=True, slots=True)
class RenderedType:
    """How resources of a type are made: by id, and for a page of a search of the type.

    `find` answers the whole search, what is stored included; None where only what is stored is searched.
    """

    read: Callable[[str, Access, Service], Awaitable[Version | None]]
    find: Callable[[Search, Access, Service], Awaitable[Page]] | None = None


async def _read_definition(resource_id: str, _: Access, service: Service) -> Version | None:
    return read_definition(resource_id, service.base_url)


RENDERED: Final[Mapping[str, RenderedType]] = {
    "AuditEvent": RenderedType(read_audit_event, find_audit_events),
    "OperationDefinition": RenderedType(_read_definition, find_definitions),
    "Provenance": RenderedType(read_provenance, find_provenance),
}
"""By resource type."""
TRAIL: Final = Include("Provenance", None, None, reverse=True, iterate=False)
"""`_revinclude=Provenance:target`."""


async def read_rendered(key: ResourceKey, access: Access, service: Service) -> Version | None:
    """Return a resource that the store does not have; None where there is none that the caller may see.

    The caller may read the type: the store was asked first.
    """
    rendered = RENDERED.get(key.resource_type)
    if rendered is None or not access.reach(key.resource_type, Right.READ).is_unfiltered:
        return None
    return await rendered.read(key.id, access, service)


async def refuse_history(key: ResourceKey, access: Access, service: Service) -> None:
    """Raise InteractionNotSupported for a resource that is made when it is asked for: it never was otherwise."""
    if await read_rendered(key, access, service) is not None:
        raise InteractionNotSupported(("OPTIONS",))


def represent_rendered(version: Version) -> Response:
    """Answer with it; never with 304, since what it tells can change while its version is one and the same."""
    touched = Touched(version.key.resource_type, (version.key.id,), patients_of((version,)))
    return Response(200, version.body, version_headers(version), version, touched)


async def search_all(search: Search, access: Access, service: Service) -> Page:
    """Return one page of a search of a type, with what is made among matches and includes."""
    rendered = RENDERED.get(search.resource_type)
    made = rendered is not None and access.reach(search.resource_type, Right.SEARCH).is_unfiltered
    if rendered is None or not made or rendered.find is None or search.several:
        page = await service.searcher.search(search, access)
    else:
        page = await rendered.find(search, access, service)
    return await with_included(page, search, access, service)


async def with_included(page: Page, search: Search, access: Access, service: Service) -> Page:
    """Return the page with what is made for its `_revinclude`s; without these it costs nothing."""
    if not search.includes:
        return page
    made = await included_provenances(page, search.includes, access, service)
    return replace(page, includes=[*page.includes, *made]) if made else page


async def with_provenance(page: Page, access: Access, service: Service) -> Page:
    """Return the page with the Provenance of every version that it shows as a match."""
    made = await included_provenances(page, [TRAIL], access, service)
    return replace(page, includes=[*page.includes, *made]) if made else page
