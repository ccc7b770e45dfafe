"""Patient/[id]/$everything (FHIR R4 operation-patient-everything.html; fhir_rest §13)."""

from __future__ import annotations

from typing import Final

from capability.elements import RESOURCE_TYPES
from fhir_server.errors import InvalidParameter
from fhir_server.fhir.bundles import bundle_bytes, search_entry
from fhir_server.fhir.negotiation import Pairs, first
from fhir_server.fhir.operations.parameters import operation_parameters, search_pairs
from fhir_server.fhir.parameters import microseconds, milliseconds, page_links, page_size, since
from fhir_server.fhir.parse.results import CURSOR
from fhir_server.fhir.rendered import with_provenance
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import asked_subset, subset_versions
from storage.search.everything import Everything
from storage.search.page import Page
from storage.search.values import OPEN_HIGH, OPEN_LOW

REVINCLUDE: Final = "_revinclude"
TRAIL: Final = "Provenance:target"
"""The one value of `_revinclude` here: the Provenance of the versions that are shown. An extension of our own."""
SHOWN: Final = frozenset({"start", "end", "_since", "_type", "_count", "_summary", "_elements", "_at", REVINCLUDE})
"""Parameters of the operation, with `_at` and `_revinclude` of our own; the others need nothing of the server."""
_KNOWN: Final = SHOWN | {CURSOR, "_format", "_pretty", "fhirVersion"}


async def everything(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of the patient's record: the Patient, its compartment, what these refer to."""
    pairs = tuple(search_pairs(await operation_parameters(request, service.settings.max_body_bytes)))
    asked = _asked(pairs, request, service)
    page = await service.searcher.everything(asked, request.access)
    if (REVINCLUDE, TRAIL) in asked.parameters:
        page = await with_provenance(page, request.access, service)
    base = service.base_url.encode()
    part = asked_subset(pairs)
    entries = [search_entry(version, b"match", base) for version in subset_versions(page.matches, part)]
    entries += [search_entry(version, b"include", base) for version in subset_versions(page.includes, part)]
    body = bundle_bytes("searchset", entries, total=page.total, links=_links(asked, page, service.base_url))
    shown = (*page.matches, *page.includes)
    touched = touched_by("Patient", (), count=len(shown), others=shown)
    return Response(200, body, touched=touched.of_patient(request.route.id))


def _asked(pairs: Pairs, request: FhirRequest, service: Service) -> Everything:
    if request.preferences.strict:
        for name, _ in pairs:
            if name not in _KNOWN:
                raise InvalidParameter(name, "$everything has start, end, _since, _type, _count, _at and _revinclude")
    if any(name == REVINCLUDE and value not in {"", TRAIL} for name, value in pairs):
        raise InvalidParameter(REVINCLUDE, f"$everything has _revinclude={TRAIL} only")
    start, end, at = (first(pairs, name) for name in ("start", "end", "_at"))
    low = microseconds(start, "start")[0] if start else OPEN_LOW
    high = microseconds(end, "end")[1] if end else OPEN_HIGH
    return Everything(
        request.route.id,
        max(page_size(pairs, service.settings), 1),
        types=_types([value for name, value in pairs if name == "_type"]),
        since=since(pairs),
        period=(low, high) if start or end else None,
        cursor=first(pairs, CURSOR),
        parameters=tuple((name, value) for name, value in pairs if name in SHOWN and value),
        at=milliseconds(at, "_at")[1] if at else None,
    )


def _types(values: list[str]) -> frozenset[str] | None:
    names = frozenset(name for value in values for name in value.split(",") if name)
    unknown = names - set(RESOURCE_TYPES)
    if unknown:
        raise InvalidParameter("_type", "give names of R4 resource types, separated by commas")
    return names or None


def _links(asked: Everything, page: Page, base_url: str) -> list[tuple[str, str]]:
    address = f"{base_url}/Patient/{asked.patient}/$everything"
    return page_links(address, asked.parameters, CURSOR, asked.cursor, page.next_cursor)
