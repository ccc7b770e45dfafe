"""Laboratory results: uploaded, listed, reviewed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import NotFound
from fhir_server.graph.models.common import Listed, Responses, Success, answers
from fhir_server.graph.models.labs import Lab, LabChanges, NewLab
from fhir_server.graph.parameters import ACall, CustomerId, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from mappers.rows import LabResult
from storage.errors import ResourceNotFound
from storage.repositories.labs import LabRepository
from storage.tables.enums import LabStatus
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/labs", tags=["Lab results"], route_class=GraphRoute)
WHAT = "Lab result"
CORRECTED: Responses = {200: {"model": Success[Lab], "description": "The result of the same upload, corrected"}}


@router.get("", responses=answers(Listed[Lab]))
@guarded("lab_results", GraphAction.READ, Owner.QUERY)
async def list_labs(
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    status: Annotated[LabStatus | None, Query(description="Only those in this state")] = None,
) -> Response:
    """List a customer's laboratory results, newest first."""
    found = await LabRepository(call.rows).list(customer_id=customer_id, status=status, window=window)
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found)


@router.get("/{id}", responses=answers(Success[Lab], errors=(404,)))
@guarded("lab_results", GraphAction.READ, Owner.ROW)
async def get_lab(call: ACall, row_id: RowId) -> Response:
    """Return one laboratory result."""
    row = await LabRepository(call.rows).find(row_id)
    return success(shown(call.require_row(row_id, row, WHAT)))


@router.post("", status_code=201, responses=answers(Success[Lab], 201, errors=(404, 409)) | CORRECTED)
@guarded("lab_results", GraphAction.WRITE, Owner.BODY)
async def create_lab(call: ACall, sent: NewLab) -> Response:
    """Add a laboratory result, or correct the one of the same upload; FHIR shows it at once."""
    new = call.service.database.ids.uuid7()

    async def work(unit: UnitOfWork) -> LabResult:
        values = {"status": sent.status, **sent.changes()}
        made = await LabRepository(unit).upload(LabResult(new, unit.organization_id, **values))
        call.touched((made.customer_id,), (made.id,))
        return made

    def status(made: LabResult) -> int:
        return 201 if made.id == new else 200

    made = await call.write(work, status)
    return success(shown(made), status(made))


@router.patch("/{id}", responses=answers(Success[Lab], errors=(404, 409)))
@guarded("lab_results", GraphAction.WRITE, Owner.ROW)
async def change_lab(call: ACall, row_id: RowId, sent: LabChanges) -> Response:
    """Review a laboratory result, or archive it."""

    async def work(unit: UnitOfWork) -> LabResult:
        labs = LabRepository(unit)
        call.require_row(row_id, await labs.find(row_id), WHAT)
        try:
            return await labs.process(row_id, sent.changes())
        except ResourceNotFound:
            raise call.absent(NotFound(WHAT)) from None

    return success(shown(await call.write(work)))
