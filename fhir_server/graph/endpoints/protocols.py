"""Treatment protocols: what a customer takes, and how it goes on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import NotFound
from fhir_server.graph.models import protocols as models
from fhir_server.graph.models.common import Listed, Success, answers
from fhir_server.graph.parameters import ACall, CustomerId, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from mappers.rows import Protocol
from storage.errors import ResourceNotFound
from storage.repositories.protocols import ProtocolRepository
from storage.tables.enums import ProtocolStatus
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/protocols", tags=["Protocols"], route_class=GraphRoute)
WHAT = "Protocol"
AUTHORS = frozenset({"CLINICIAN", "NURSE"})
"""Roles whose people are the authors of what they write, and shown as such in FHIR."""


@router.get("", responses=answers(Listed[models.Protocol]))
@guarded("protocols", GraphAction.READ, Owner.QUERY)
async def list_protocols(
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    status: Annotated[ProtocolStatus | None, Query(description="Only those in this state")] = None,
) -> Response:
    """List a customer's protocols, newest first."""
    found = await ProtocolRepository(call.rows).list(customer_id=customer_id, status=status, window=window)
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found)


@router.get("/{id}", responses=answers(Success[models.Protocol], errors=(404,)))
@guarded("protocols", GraphAction.READ, Owner.ROW)
async def get_protocol(call: ACall, row_id: RowId) -> Response:
    """Return one protocol."""
    row = await ProtocolRepository(call.rows).find(row_id)
    return success(shown(call.require_row(row_id, row, WHAT)))


@router.post("", status_code=201, responses=answers(Success[models.Protocol], 201, errors=(404, 409)))
@guarded("protocols", GraphAction.WRITE, Owner.BODY)
async def create_protocol(call: ACall, sent: models.NewProtocol) -> Response:
    """Add a protocol; the customer's timeline tells of it, and FHIR shows it as a CarePlan at once."""
    call.require_own(sent.customer_id)

    async def work(unit: UnitOfWork) -> Protocol:
        values = {"status": sent.status, "compounds": [], **sent.changes(), "created_by": _author(call, sent)}
        made = await ProtocolRepository(unit).insert(Protocol(unit.ids.uuid7(), unit.organization_id, **values))
        call.touched((made.customer_id,), (made.id,))
        return made

    return success(shown(await call.write(work, 201)), 201)


def _author(call: Call, sent: models.NewProtocol) -> Any:
    """Return the clinician who wrote a protocol: who is said to be, or the caller; customers write for themselves."""
    if call.is_customer:
        return None
    own = call.caller.subject if call.caller.role in AUTHORS else None
    return sent.created_by or own


@router.patch("/{id}", responses=answers(Success[models.Protocol], errors=(404, 409)))
@guarded("protocols", GraphAction.WRITE, Owner.ROW)
async def change_protocol(call: ACall, row_id: RowId, sent: models.ProtocolChanges) -> Response:
    """Change a protocol, and its state along its life: each step is stamped and told to the timeline."""

    async def work(unit: UnitOfWork) -> Protocol:
        protocols = ProtocolRepository(unit)
        call.require_row(row_id, await protocols.find(row_id), WHAT)
        try:
            return await protocols.update(row_id, sent.changes())
        except ResourceNotFound:
            raise call.absent(NotFound(WHAT)) from None

    return success(shown(await call.write(work)))
