"""Prescriptions: what the pharmacy dispenses. They are made by its events (`webhooks.py`), and only read here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.models.common import Key, Listed, Success, answers
from fhir_server.graph.models.prescriptions import Prescription
from fhir_server.graph.parameters import ACall, CustomerId, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from storage.repositories.prescriptions import PrescriptionRepository
from storage.tables.enums import PrescriptionStatus

router = APIRouter(prefix="/prescriptions", tags=["Prescriptions"], route_class=GraphRoute)


@router.get("", responses=answers(Listed[Prescription]))
@guarded("protocols", GraphAction.READ, Owner.QUERY)
async def list_prescriptions(
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    treatment_id: Annotated[Key | None, Query(alias="treatmentId", description="Only those of this treatment")] = None,
    status: Annotated[PrescriptionStatus | None, Query(description="Only those in this state")] = None,
) -> Response:
    """List a customer's prescriptions, newest first."""
    found = await PrescriptionRepository(call.rows).list(
        customer_id=customer_id, treatment_id=treatment_id, status=status, window=window
    )
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found)


@router.get("/{id}", responses=answers(Success[Prescription], errors=(404,)))
@guarded("protocols", GraphAction.READ, Owner.ROW)
async def get_prescription(call: ACall, row_id: RowId) -> Response:
    """Return one prescription."""
    row = await PrescriptionRepository(call.rows).find(row_id)
    return success(shown(call.require_row(row_id, row, "Prescription")))
