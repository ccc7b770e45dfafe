"""The audit log, and the accounting of disclosures of one person; for administrators and auditors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.audit_shown import shown_accounting, shown_record
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import answer, pagination
from fhir_server.graph.errors import Invalid
from fhir_server.graph.models.audit_log import Accounting, Action, AuditLog, Outcome
from fhir_server.graph.models.common import Key, answers
from fhir_server.graph.parameters import ACall, FromDate, ToDate
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from mappers.audit_event import RecordedAccess
from storage.audit_conditions import AuditFilter, having
from storage.audit_people import ids_of_patients
from storage.audit_search import AuditReader, record_id
from storage.clock import microseconds_at
from storage.disclosures import Disclosures
from storage.repositories.table import Page

router = APIRouter(tags=["Audit"], route_class=GraphRoute)

LOOKED_AT: Final = 200_000
"""Records that one answer looks at, so that none takes longer for a long trail than for a short one."""


@router.get("/audit-log", responses=answers(AuditLog))
@guarded("audit_log", GraphAction.READ, Owner.NOBODY)
async def list_audit_log(
    call: ACall,
    window: PageWindow,
    *,
    customer_id: Annotated[Key | None, Query(alias="customerId", description="Concerning this customer")] = None,
    actor_id: Annotated[Key | None, Query(alias="actorId", description="By this user or client")] = None,
    resource: Annotated[Key | None, Query(description="Of this kind: lab_results, Observation, …")] = None,
    action: Annotated[Action | None, Query()] = None,
    outcome: Annotated[Outcome | None, Query()] = None,
    request_id: Annotated[Key | None, Query(alias="requestId", description="With this X-Request-Id")] = None,
    since: FromDate = None,
    until: ToDate = None,
) -> Response:
    """List who accessed what, newest first. At most the newest 200,000 records of the period are looked at."""
    database, organization = call.service.database, call.caller.organization_id
    asked = AuditFilter(
        *_period(since, until),
        people=None if customer_id is None else await ids_of_patients(database, organization, [customer_id]),
        conditions=having(actor_id=actor_id, resource=resource, action=action, outcome=outcome, request_id=request_id),
    )
    reader = AuditReader(database, call.service.settings.database_url)
    confined = await reader.horizon(organization, asked, LOOKED_AT)
    total = await reader.count(organization, confined or asked)
    records = await reader.window(organization, confined or asked, window.offset, window.limit)
    found = Page(tuple(records), total, window)
    _touch(call, found, customer_id)
    place = {**pagination(found), "complete": confined is None}
    return answer({"success": True, "data": [shown_record(each) for each in records], "pagination": place})


@router.get("/disclosures", responses=answers(Accounting))
@guarded("audit_log", GraphAction.READ, Owner.NOBODY)
async def account_for_disclosures(
    call: ACall,
    window: PageWindow,
    *,
    customer_id: Annotated[Key, Query(alias="customerId", description="Whose data it was")],
    since: FromDate = None,
    until: ToDate = None,
) -> Response:
    """Account for every use of one person's data in a period, by default the last six years (45 CFR 164.528)."""
    disclosures = Disclosures(call.service.database, call.service.settings.database_url)
    organization = call.caller.organization_id
    accounting = await disclosures.of(organization, customer_id, *_period(since, until))
    records = await disclosures.window(organization, accounting, window.offset, window.limit)
    found = Page(tuple(records), accounting.count, window)
    _touch(call, found, customer_id)
    data = {**shown_accounting(customer_id, accounting), "accesses": [shown_record(each) for each in records]}
    return answer({"success": True, "data": data, "pagination": pagination(found)})


def _period(since: datetime | None, until: datetime | None) -> tuple[int | None, int | None]:
    """Return a period in microseconds, whose end is left out; raises Invalid for one that ends before it begins."""
    if since is not None and until is not None and since > until:
        raise Invalid("has to be before toDate", ("query", "fromDate"))
    return None if since is None else microseconds_at(since), None if until is None else microseconds_at(until) + 1


def _touch(call: Call, found: Page[RecordedAccess], customer_id: str | None) -> None:
    """Note whose records were shown: reading the audit is an access as well (AD-6)."""
    concerned = {customer_id: None} if customer_id is not None else {}
    concerned.update(dict.fromkeys(each for record in found.rows for each in record.concerned))
    call.touched(concerned, map(record_id, found.rows), found.total)
