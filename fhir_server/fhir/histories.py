"""What all histories have in common: parameters, entries, links (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fhir_server.access import access_for_read
from fhir_server.errors import InvalidParameter
from fhir_server.fhir.negotiation import first
from fhir_server.fhir.parameters import milliseconds, page_size, since
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.routing import ID
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import Subset, asked_subset
from storage.codec import decode
from storage.errors import ResourceGone, ResourceNotFound
from storage.resources import ResourceKey
from storage.search.keys import parse_reference

SHOWN: Final = ("_since", "_at", "_list", "_count", "_sort", "_summary", "_elements")
"""Parameters of histories, as the self link shows them."""
NEWEST_FIRST: Final = frozenset({"_lastUpdated", "-_lastUpdated"})
"""What `_sort` may ask for; R4 knows one order only, and that is the answer's (V5)."""
GENERAL: Final = frozenset({"_format", "_pretty", "fhirVersion"})

Listed = Mapping[ResourceKey, frozenset[int] | None]
"""Resources that a List names, each with the versions it names, None for all."""


@dataclass(frozen=True, slots=True)
class HistoryParameters:
    """What a history is asked for; instants are milliseconds, `at` is half-open, `subset` a part of each resource."""

    count: int
    since: int | None
    at: tuple[int, int] | None
    list_id: str | None
    subset: Subset | None
    used: tuple[tuple[str, str], ...]


def history_parameters(request: FhirRequest, service: Service, place: str) -> HistoryParameters:
    """Return what the parameters ask for; `place` is the one in which `next` links carry the page.

    Raises InvalidParameter.
    """
    pairs = request.pairs
    if request.preferences.strict:
        for name, _ in pairs:
            if name not in {*SHOWN, *GENERAL, place}:
                raise InvalidParameter(name, f"a history has {', '.join(SHOWN)}")
    at = first(pairs, "_at")
    if at and first(pairs, "_since"):
        raise InvalidParameter("_at", "give _since or _at, not both")
    if (sort := first(pairs, "_sort")) and sort not in NEWEST_FIRST:
        raise InvalidParameter("_sort", "the newest version comes first; _lastUpdated is the only key")
    return HistoryParameters(
        count=page_size(pairs, service.settings),
        since=since(pairs),
        at=milliseconds(at, "_at") if at else None,
        list_id=_list_id(first(pairs, "_list")),
        subset=asked_subset(pairs),
        used=tuple((name, value) for name, value in pairs if name in SHOWN and value),
    )


def _list_id(text: str | None) -> str | None:
    if not text:
        return None
    found = text.removeprefix("List/")
    if not ID.match(found):
        raise InvalidParameter("_list", "give the id of a List")
    return found


async def listed(list_id: str | None, request: FhirRequest, service: Service) -> Listed | None:
    """Return what a List names on this server; one that is not there, or not visible, names nothing.

    Raises InteractionForbidden for who may not read Lists.
    """
    if list_id is None:
        return None
    access = access_for_read(request.access, "List", list_id)
    try:
        found = decode((await service.store.read(ResourceKey("List", list_id), access)).body)
    except (ResourceNotFound, ResourceGone):
        return {}
    entries = found.get("entry", [])
    return _named((each.get("item", {}).get("reference", "") for each in entries), service.base_url)


def _named(references: Iterable[str], base_url: str) -> Listed:
    named: dict[ResourceKey, frozenset[int] | None] = {}
    for text in references:
        local = parse_reference(text, base_url)
        if local is None:
            continue
        key = ResourceKey(local.resource_type, local.id)
        if local.version is None:
            named[key] = None
        elif local.version.isdigit():
            before = named.get(key, frozenset())
            named[key] = None if before is None else before | {int(local.version)}
    return named
