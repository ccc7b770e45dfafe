"""The clinical timeline: what happened to a customer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import Forbidden, Invalid
from fhir_server.graph.models.common import Listed, Success, answers
from fhir_server.graph.models.events import Event, NewEvent
from fhir_server.graph.parameters import ACall, CustomerId, FromDate, ToDate
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import json_value, shown
from storage.repositories.entities import PatientEvent
from storage.repositories.events import EventRepository
from storage.repositories.protocols import ProtocolRepository
from storage.tables.enums import PatientEventType
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/events", tags=["Events"], route_class=GraphRoute)
OF_CUSTOMERS = frozenset({PatientEventType.PROTOCOL_CHECK_IN})
"""What customers may tell of themselves (internal_tables.md)."""


def shown_event(row: PatientEvent) -> dict[str, Any]:
    """Return an entry as the API shows it: what says no time happened when it was written."""
    return shown(row) | {"occurredAt": json_value(row.occurred_at or row.created_at)}


@router.get("", responses=answers(Listed[Event]))
@guarded("events", GraphAction.READ, Owner.QUERY)
async def list_events(  # noqa: PLR0917 each is a parameter of the query
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    event_type: Annotated[PatientEventType | None, Query(alias="type", description="Only of this type")] = None,
    since: FromDate = None,
    until: ToDate = None,
) -> Response:
    """List a customer's timeline, the latest first."""
    async with call.service.database.glance(call.organization_id) as snapshot:
        found = await EventRepository(snapshot).list(
            customer_id=customer_id, event_type=event_type, since=since, until=until, window=window
        )
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found, shown_event)


@router.post("", status_code=201, responses=answers(Success[Event], 201, errors=(404,)))
@guarded("events", GraphAction.WRITE, Owner.BODY)
async def create_event(call: ACall, sent: NewEvent) -> Response:
    """Add an entry to a customer's timeline; customers add check-ins."""
    call.require_own(sent.customer_id)
    if call.is_customer and sent.type not in OF_CUSTOMERS:
        raise Forbidden

    async def work(unit: UnitOfWork) -> PatientEvent:
        if sent.protocol_id is not None:
            protocol = await ProtocolRepository(unit).find(sent.protocol_id)
            if protocol is None or protocol.customer_id != sent.customer_id:
                raise Invalid("has to be a protocol of the same customer", ("body", "protocolId"))
        values = {"occurred_at": unit.started, **sent.changes(), "created_by": call.caller.subject}
        values["occurred_at"] = values["occurred_at"] or unit.started
        made = await EventRepository(unit).insert(PatientEvent(unit.ids.uuid7(), unit.organization_id, **values))
        call.touched((made.customer_id,), (made.id,))
        return made

    return success(shown_event(await call.write(work, 201)), 201)
