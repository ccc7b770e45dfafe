"""`_include` from AuditEvents that are made of records: whom and what they name, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from fhir_server.fhir.audit_events.read import AUDIT_EVENT
from fhir_server.fhir.service import Service
from storage.access import Access, Right
from storage.codec import decode
from storage.resources import ResourceKey, Version
from storage.search.keys import parse_reference
from storage.search.query import MAX_INCLUDED, Ids, Include, Search, Total

_PLACES: Final = {"agent": ("agent", "who"), "entity": ("entity", "what"), "patient": ("entity", "what")}
"""Where the references of a parameter stand."""


async def included(
    events: Sequence[Version], includes: Iterable[Include], access: Access, service: Service
) -> list[Version]:
    """Return the resources that AuditEvents refer to and includes ask for, each once; MAX_INCLUDED at most.

    Types that the caller may not search are left out, and so is what does not exist any more.
    """
    asked = [each for each in includes if not each.reverse and each.source == AUDIT_EVENT]
    if not asked:
        return []
    wanted = list(dict.fromkeys(key for event in events for key in _named(decode(event.body), asked)))[:MAX_INCLUDED]
    found: list[Version] = []
    for resource_type in dict.fromkeys(key.resource_type for key in wanted):
        if not access.reach(resource_type, Right.SEARCH).ways:
            continue
        ids = tuple(key.id for key in wanted if key.resource_type == resource_type)
        search = Search(resource_type, (Ids(resource_type, ids),), count=len(ids), total=Total.NONE)
        found += (await service.searcher.search(search, access)).matches
    return found


def _named(event: dict[str, Any], asked: Iterable[Include]) -> Iterator[ResourceKey]:
    for include in asked:
        code = None if include.parameter is None else include.parameter.code
        for place, (element, member) in _PLACES.items():
            if code not in {None, place}:
                continue
            for each in event.get(element, ()):
                local = parse_reference(each.get(member, {}).get("reference", ""))
                if local is None or include.target not in {None, local.resource_type}:
                    continue
                if code != "patient" or local.resource_type == "Patient":
                    yield ResourceKey(local.resource_type, local.id)
