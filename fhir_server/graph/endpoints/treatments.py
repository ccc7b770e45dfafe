"""Treatments: asked for by customers, approved by clinicians, supplied by the pharmacy."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import Conflict, Forbidden
from fhir_server.graph.models.common import Key, Listed, Success, answers
from fhir_server.graph.models.treatments import NewTreatment, Treatment, TreatmentChanges
from fhir_server.graph.parameters import ACall, CustomerId, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import member_name, shown
from mappers.rows import Subscription
from storage.orders.applying import settle
from storage.repositories.subscription_states import is_approved
from storage.repositories.subscriptions import SubscriptionRepository
from storage.tables.enums import SubscriptionStatus
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/treatments", tags=["Treatments"], route_class=GraphRoute)
WHAT: Final = "Treatment"
WRITTEN_AS_TEXT: Final = ("interval_count", "discount_percentage", "converted_from_reorders")
"""Numbers that the source keeps as text, and shows as such (internal_tables.md)."""


def shown_treatment(row: Subscription) -> dict[str, Any]:
    """Return a treatment as the API shows it; prescriptions have endpoints of their own."""
    numbers = {member_name(column): str(getattr(row, column)) for column in WRITTEN_AS_TEXT}
    return {**shown(row, without=("patient_prescriptions",)), **numbers}


@router.get("", responses=answers(Listed[Treatment]))
@guarded("treatment", GraphAction.READ, Owner.QUERY)
async def list_treatments(
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    status: Annotated[SubscriptionStatus | None, Query(description="Only those in this state")] = None,
    rimo_treatment_id: Annotated[
        Key | None, Query(alias="rimoTreatmentId", description="Only the one that Rimo calls so")
    ] = None,
) -> Response:
    """List a customer's treatments, newest first."""
    found = await SubscriptionRepository(call.rows).list(
        customer_id=customer_id, status=status, rimo_treatment_id=rimo_treatment_id, window=window
    )
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found, shown_treatment)


@router.get("/{id}", responses=answers(Success[Treatment], errors=(404,)))
@guarded("treatment", GraphAction.READ, Owner.ROW)
async def get_treatment(call: ACall, row_id: RowId) -> Response:
    """Return one treatment."""
    row = await SubscriptionRepository(call.rows).find(row_id)
    return success(shown_treatment(call.require_row(row_id, row, WHAT)))


@router.post("", status_code=201, responses=answers(Success[Treatment], 201, errors=(404,)))
@guarded("treatment", GraphAction.WRITE, Owner.BODY)
async def create_treatment(call: ACall, sent: NewTreatment) -> Response:
    """Ask for a treatment, which a clinician approves or rejects."""

    async def work(unit: UnitOfWork) -> Subscription:
        row = Subscription(id=unit.ids.uuid7(), organization_id=unit.organization_id, **sent.columns())
        made = await SubscriptionRepository(unit).insert(row)
        call.touched((made.customer_id,), (made.id,))
        return made

    return success(shown_treatment(await call.write(work, 201)), 201)


@router.patch("/{id}", responses=answers(Success[Treatment], errors=(404, 409)))
@guarded("treatment", GraphAction.WRITE, Owner.ROW)
async def change_treatment(call: ACall, row_id: RowId, sent: TreatmentChanges) -> Response:
    """Change what is named of a treatment; its state moves along the state machine, and each move is dated and told.

    With its approval, what the pharmacy told of it before is taken up.
    """
    if call.is_customer:
        raise Forbidden

    async def work(unit: UnitOfWork) -> Subscription:
        treatments = SubscriptionRepository(unit)
        call.require_row(row_id, await treatments.find(row_id), WHAT)
        changed = await treatments.update(row_id, sent.changes())
        await _require_alone(call, treatments, changed)
        await settle(unit, [(treatments.table_name, row_id)])
        return await treatments.get(row_id)

    return success(shown_treatment(await call.write(work)))


async def _require_alone(call: Call, treatments: SubscriptionRepository, row: Subscription) -> None:
    """Raise Conflict when another approved treatment has the same number at Rimo: whose orders would its events be?

    Callers who are bound to one customer are refused as ever: the other treatment may be another customer's.
    """
    if row.rimo_treatment_id is None or not is_approved(row):
        return
    same = await treatments.locked_by_rimo_treatment(row.rimo_treatment_id)
    if any(each.id != row.id and is_approved(each) for each in same):
        raise call.absent(Conflict("Another approved treatment has this rimoTreatmentId"))
