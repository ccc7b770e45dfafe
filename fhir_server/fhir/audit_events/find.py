"""Search for AuditEvent: what is stored, then what is on record, newest first (security AD-6).

The audit trail is no part of the index of resources: its records are found by their own indexes, by the criteria that
`storage/audit_criteria.py` knows. AuditEvents that were loaded come first; nobody posts any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fhir_server.fhir.audit_events.includes import included
from fhir_server.fhir.audit_events.read import AUDIT_EVENT, audit_events, sees_all
from fhir_server.fhir.service import Service
from storage.access import Access, Right
from storage.audit_conditions import AuditFilter
from storage.audit_criteria import concerning, filter_of
from storage.audit_people import ids_of_patients
from storage.audit_search import STRETCH, AuditReader, Place
from storage.search.cursor import CursorSealer
from storage.search.page import Page
from storage.search.query import Search, Total

MARK: Final = "record"
"""What tells a place among records from one among what is stored."""
STORED_ONLY: Final = (
    "What is on record is found by date, _lastUpdated, patient, entity, agent, altid, agent-role, address, action, "
    "outcome, type, subtype and _id, without chains and :text; this search finds stored AuditEvents only."
)
UNSORTED: Final = "What is on record comes in the order of date, the newest first unless _sort=date asks otherwise."
NOT_FOLLOWED: Final = "_revinclude and :iterate are followed from stored AuditEvents only."
STRETCHED: Final = (
    f"One page looks at {STRETCH} records at most: where few of them match it has fewer entries than _count, or none, "
    "and the next link goes on. A narrower date finds more at once."
)
_DATES: Final = frozenset({"date", "_lastUpdated"})


async def find_audit_events(search: Search, access: Access, service: Service) -> Page:
    """Return a page: stored AuditEvents first, what is on record after them.

    Raises InteractionForbidden, CursorInvalid, CursorExpired and AuditUnavailable.
    """
    reach = access.require(AUDIT_EVENT, Right.SEARCH)
    asked = await _asked(search, access, service)
    if asked is None:
        page = await service.searcher.search(search, access)
        return replace(page, warnings=(*page.warnings, STORED_ONLY))
    if not sees_all(reach):
        own = await ids_of_patients(service.database, access.organization_id, [access.patient or ""])
        asked = concerning(asked, own, service.records.columns)
    records = service.records
    if search.count == 0:
        page = await service.searcher.search(search, access)
        return replace(page, total=(page.total or 0) + await records.count(access.organization_id, asked))
    sealer = CursorSealer(service.settings.derive("cursors"))
    now = service.database.ids.milliseconds()
    at_records, after = _place(sealer.read(search, access, now)) if search.cursor is not None else (False, None)
    if at_records:
        page = Page([], [], None, None, ())
    else:
        page = await service.searcher.search(search, access)
        if page.next_cursor is not None:
            return await _with_total(page, search, access, service, asked)
    room = search.count - len(page.matches)
    found = await records.page(access.organization_id, asked, room, after=after, descending=_is_descending(search))
    events = await audit_events(found.records, access, service, Right.SEARCH)
    there = {each.key for each in (*page.includes, *page.matches)}
    page.includes.extend(
        each for each in await included(events, search.includes, access, service) if each.key not in there
    )
    page.matches.extend(events)
    following = _mark(found.next)
    if not following and room == 0 and after is None and await _is_any(records, asked, access):
        following = [MARK]
    cursor = sealer.make(search, access, [following], now) if following else None
    told = _told(search, is_any=bool(events), fewer=found.next is not None and len(found.records) < room)
    page = replace(page, next_cursor=cursor, warnings=(*page.warnings, *told))
    if search.cursor is None and cursor is None and search.total is not Total.NONE:
        return replace(page, total=len(page.matches))
    return await _with_total(page, search, access, service, asked)


async def _is_any(records: AuditReader, asked: AuditFilter, access: Access) -> bool:
    found = await records.page(access.organization_id, asked, 1)
    return bool(found.records) or found.next is not None


async def _asked(search: Search, access: Access, service: Service) -> AuditFilter | None:
    now = service.database.ids.milliseconds()
    reader, columns = service.database, service.records.columns
    return await filter_of(search.criteria, columns, now, reader, access.organization_id)


def _is_descending(search: Search) -> bool:
    first = search.sort[0] if search.sort else None
    return first is None or first.parameter.code not in _DATES or first.descending


def _told(search: Search, *, is_any: bool, fewer: bool) -> list[str]:
    """Return what a page does not do for what is on record."""
    sorts_otherwise = any(key.parameter.code not in _DATES for key in search.sort)
    follows = any(include.reverse or include.iterate for include in search.includes)
    said = ((UNSORTED, sorts_otherwise and is_any), (NOT_FOLLOWED, follows and is_any), (STRETCHED, fewer))
    return [text for text, is_so in said if is_so]


async def _with_total(page: Page, search: Search, access: Access, service: Service, asked: AuditFilter) -> Page:
    """Return the page with the total of both kinds where it was asked for, else with none."""
    if search.total in {Total.NONE, Total.DEFAULT}:
        return replace(page, total=None)
    stored = await service.searcher.search(replace(search, count=0, cursor=None, includes=()), access)
    number = await service.records.count(access.organization_id, asked)
    return replace(page, total=(stored.total or 0) + number)


def _mark(place: Place | None) -> list[object]:
    """Return what a cursor says of a place among records; nothing where there is none."""
    return [] if place is None else [MARK, place.at, place.id, place.trail]


def _place(values: Sequence[object]) -> tuple[bool, Place | None]:
    """Return whether a place is among records, and which; None is their beginning."""
    match values:
        case [[mark]] if mark == MARK:
            return True, None
        case [[mark, int(at), int(number), int(trail)]] if mark == MARK:
            return True, Place(at, number, trail)
        case _:
            return False, None
