"""transaction (FHIR R4 http.html#transaction, #trules): all entries or none, in one unit of work."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.errors import EntryFailed, InvalidBundle, InvalidResource, Issue, invalid_resource
from fhir_server.fhir.bundles import bundle_bytes
from fhir_server.fhir.dispatch import HANDLERS
from fhir_server.fhir.entries import (
    ORDER,
    Entry,
    bundle_entries,
    parse_entry,
    require_distinct,
    require_once,
    require_undoable,
)
from fhir_server.fhir.entry_requests import entry_answer, entry_request, without_body
from fhir_server.fhir.patch.patches import entry_patch
from fhir_server.fhir.references import find_links
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.routing import Interaction
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import change_of, record_of, write_records
from fhir_server.fhir.writes.planned import PlannedWrite, as_entry
from fhir_server.fhir.writes.plans import planned_patch, planned_write, require_right
from fhir_server.fhir.writes.single import respond
from fhir_server.fhir.writes.writing import carry_out
from fhir_server.validation.validate import takes_long, validate_resource
from storage.audit import AuditRecord
from storage.transaction import UnitOfWork


@dataclass(frozen=True, slots=True)
class _Asked:
    """One entry with the request that it stands for."""

    entry: Entry
    request: FhirRequest


async def transaction(request: FhirRequest, service: Service, bundle: dict[str, Any], size: int) -> Response:
    """Carry out all entries and answer in the order of the request; `size` is that of the body in bytes.

    Raises EntryFailed with the entry at fault, or InvalidResource with the faults of all; then nothing is stored.
    """
    asked = _ask(bundle, request, service)
    if takes_long((each.entry.resource for each in asked), size, claimed=service.settings.checks_claims):
        await asyncio.to_thread(_validate, asked, service)
    else:
        _validate(asked, service)
    writing = sorted((each for each in asked if each.entry.writes), key=lambda each: ORDER[each.entry.method])
    reading = [each for each in asked if not each.entry.writes]
    planned = _plan(writing, service)

    async def work(unit: UnitOfWork) -> dict[int, Response]:
        responses = await _write(unit, writing, planned, service, request)
        responses.update(await _read(unit, reading, service, request))
        return responses

    if not asked:
        return Response(200, bundle_bytes("transaction-response", []))
    responses = await service.database.transact(request.access.organization_id, change_of(request), work)
    answers = [entry_answer(responses[place]) for place in range(len(asked))]
    return Response(200, bundle_bytes("transaction-response", answers))


def _ask(bundle: dict[str, Any], request: FhirRequest, service: Service) -> list[_Asked]:
    """Take the entries apart and check what the caller may do with each, before anything is looked at (AZ-4)."""
    asked: list[_Asked] = []
    for place, raw in enumerate(bundle_entries(bundle, service.settings.max_bundle_entries)):
        with as_entry(place):
            entry = parse_entry(raw, place)
            own = entry_request(entry, request)
            require_undoable(entry)
            if entry.writes:
                require_right(own)
            asked.append(_Asked(entry, own))
    require_distinct([each.entry for each in asked])
    return asked


def _validate(asked: Sequence[_Asked], service: Service) -> None:
    """Validate every written resource; raises InvalidResource with the faults of all of them (C3)."""
    issues: list[Issue] = []
    for each in asked:
        entry = each.entry
        if not entry.writes or entry.route.interaction is Interaction.DELETE:
            continue
        if entry.resource is None:
            raise InvalidBundle("A create, update or patch has a resource.", f"{entry.where}.resource")
        if entry.route.interaction is Interaction.PATCH:
            continue
        try:
            with as_entry(entry.place):
                validate_resource(
                    entry.resource,
                    expected_type=entry.route.resource_type,
                    in_transaction=True,
                    claimed=service.settings.checks_claims,
                )
        except EntryFailed as failure:
            if not isinstance(failure.cause, InvalidResource):
                raise
            issues.extend(_in_entry(issue, entry.where) for issue in failure.cause.issues)
    if issues:
        raise invalid_resource(issues)


def _in_entry(issue: Issue, where: str) -> Issue:
    _, dot, rest = issue.expression.partition(".")
    return replace(issue, expression=f"{where}.resource{dot}{rest}")


def _plan(writing: Sequence[_Asked], service: Service) -> list[PlannedWrite]:
    planned: list[PlannedWrite] = []
    for each in writing:
        with as_entry(each.entry.place):
            planned.append(_planned(each, service))
        planned[-1].full_url = each.entry.full_url
    _require_distinct_conditions(writing, planned)
    full_urls = frozenset(each.full_url for each in planned if each.full_url and not each.deletes)
    _find_links(planned, full_urls)
    return planned


def _planned(asked: _Asked, service: Service) -> PlannedWrite:
    resource = asked.entry.resource
    match asked.entry.route.interaction:
        case Interaction.DELETE:
            return planned_write(asked.request, service, None)
        case Interaction.PATCH:
            return planned_patch(asked.request, service, entry_patch(resource, service.limits))
        case _:
            return planned_write(asked.request, service, resource)


def _require_distinct_conditions(writing: Sequence[_Asked], planned: Sequence[PlannedWrite]) -> None:
    """Refuse two writes under one condition, however it is spelt: neither would find what the other makes (B7)."""
    conditional = [(write, each.entry) for write, each in zip(planned, writing, strict=True) if write.criteria]
    conditions = (((write.key.resource_type, frozenset(write.criteria or ())), entry) for write, entry in conditional)
    require_once(conditions, lambda entry: entry.condition)


def _find_links(planned: Sequence[PlannedWrite], full_urls: Collection[str]) -> None:
    for each in planned:
        if each.resource is not None:
            each.links = find_links(each.resource, full_urls, each.full_url)


async def _write(
    unit: UnitOfWork,
    writing: Sequence[_Asked],
    planned: Sequence[PlannedWrite],
    service: Service,
    request: FhirRequest,
) -> dict[int, Response]:
    """Carry out the writes, with their audit records."""
    if not writing:
        return {}
    done = await carry_out(unit, planned, service, request.access)
    written = [
        (each.entry.route, one.status, version)
        for each, one in zip(writing, done, strict=True)
        for version in (one.version, *one.others)
    ]
    await service.audit.insert(unit, write_records(request.access, request.origin, written))
    return {each.entry.place: respond(one, each.request, service) for each, one in zip(writing, done, strict=True)}


async def _read(
    unit: UnitOfWork, reading: Sequence[_Asked], service: Service, request: FhirRequest
) -> dict[int, Response]:
    """Answer reads and searches inside the unit of work: they see what it wrote (B10)."""
    within = service.within(unit)
    responses: dict[int, Response] = {}
    records: list[AuditRecord] = []
    for each in reading:
        entry = each.entry
        with as_entry(entry.place):
            response = await HANDLERS[entry.route.interaction](each.request, within)
        responses[entry.place] = without_body(response) if entry.method == "HEAD" else response
        if response.touched is not None:
            records.append(
                record_of(request.access, entry.route, each.request.origin, response.touched, response.status)
            )
    if records:
        await service.audit.insert(unit, records)
    return responses
