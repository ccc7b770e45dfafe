"""One write in a unit of work of its own, audited in the same transaction (security AD-2)."""

from __future__ import annotations

from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, represent_deletion, represent_write
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import change_of, write_records
from fhir_server.fhir.writes.planned import Done, PlannedWrite
from fhir_server.fhir.writes.writing import carry_out
from storage.transaction import UnitOfWork


async def write_one(request: FhirRequest, service: Service, planned: PlannedWrite) -> Response:
    """Carry out a planned write and answer with what it made."""

    async def work(unit: UnitOfWork) -> Done:
        (done,) = await carry_out(unit, [planned], service, request.access)
        written = [(request.route, done.status, version) for version in (done.version, *done.others)]
        await service.audit.insert(unit, write_records(request.access, request.origin, written))
        return done

    organization_id = request.access.organization_id
    ahead = service.store.ahead(organization_id, [planned.as_write()]) if planned.is_plain else ()
    done = await service.database.transact(organization_id, change_of(request), work, ahead)
    return respond(done, request, service)


def respond(done: Done, request: FhirRequest, service: Service) -> Response:
    """Answer to a write, as the client prefers."""
    if done.status == 204 or done.version is None:
        return represent_deletion(None if done.others else done.version, request)
    return represent_write(done.version, done.status, request, service.base_url)
