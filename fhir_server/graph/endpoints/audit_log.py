"""The audit log, and the accounting of disclosures of one person; for administrators and auditors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Response

from capability.roles import GraphAction
from fhir_server.audit_shown import shown_accounting, shown_record
from fhir_server.graph.call import Call, call_of
from fhir_server.graph.envelope import answer
from fhir_server.graph.errors import Invalid
from fhir_server.graph.models.audit_log import Accounting, Action, AuditLog, Outcome
from fhir_server.graph.models.common import EndInstant, Instant, Key, answers
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from mappers.audit_event import RecordedAccess
from storage.audit_conditions import AuditFilter, having
from storage.audit_people import ids_of_patients
from storage.audit_search import AuditReader, record_id
from storage.disclosures import Disclosures, microseconds
from storage.repositories.table import Window

router = APIRouter(tags=["Audit"], route_class=GraphRoute)
ACall = Annotated[Call, Depends(call_of)]
From = Annotated[Instant | None, Query(description="From this instant or day on")]
To = Annotated[EndInstant | None, Query(description="Up to this instant, or the end of this day")]

LOOKED_AT: Final = 200_000
"""Records that one answer looks at, so that none takes longer for a long trail than for a short one."""


@router.get("/audit-log", responses=answers(AuditLog))
@guarded("audit_log", GraphAction.READ, Owner.NOBODY)
async def list_audit_log(
    call: ACall,
    window: PageWindow,
    *,
    customerId: Annotated[Key | None, Query(description="Concerning this customer")] = None,  # noqa: N803
    actorId: Annotated[Key | None, Query(description="By this user or client")] = None,  # noqa: N803
    resource: Annotated[Key | None, Query(description="Of this kind: lab_results, Observation, …")] = None,
    action: Annotated[Action | None, Query()] = None,
    outcome: Annotated[Outcome | None, Query()] = None,
    requestId: Annotated[Key | None, Query(description="With this X-Request-Id")] = None,  # noqa: N803
    fromDate: From = None,  # noqa: N803
    toDate: To = None,  # noqa: N803
) -> Response:
    """List who accessed what, newest first. At most the newest 200,000 records of the period are looked at."""
    database, organization = call.service.database, call.caller.organization_id
    asked = AuditFilter(
        *_period(fromDate, toDate),
        people=None if customerId is None else await ids_of_patients(database, organization, [customerId]),
        conditions=having(actor_id=actorId, resource=resource, action=action, outcome=outcome, request_id=requestId),
    )
    reader = AuditReader(database, call.service.settings.database_url)
    confined = await reader.horizon(organization, asked, LOOKED_AT)
    total = await reader.count(organization, confined or asked)
    records = await reader.window(organization, confined or asked, window.offset, window.limit)
    _touch(call, records, customerId, total)
    pagination = {**_pagination(window, len(records), total), "complete": confined is None}
    return answer({"success": True, "data": [shown_record(each) for each in records], "pagination": pagination})


@router.get("/disclosures", responses=answers(Accounting))
@guarded("audit_log", GraphAction.READ, Owner.NOBODY)
async def account_for_disclosures(
    call: ACall,
    window: PageWindow,
    *,
    customerId: Annotated[Key, Query(description="Whose data it was")],  # noqa: N803
    fromDate: From = None,  # noqa: N803
    toDate: To = None,  # noqa: N803
) -> Response:
    """Account for every use of one person's data in a period, by default the last six years (45 CFR 164.528)."""
    disclosures = Disclosures(call.service.database, call.service.settings.database_url)
    organization = call.caller.organization_id
    since, until = _period(fromDate, toDate)
    accounting = await disclosures.of(organization, customerId, since, until)
    records = await disclosures.window(organization, accounting, window.offset, window.limit)
    _touch(call, records, customerId, accounting.count)
    data = {**shown_accounting(customerId, accounting), "accesses": [shown_record(each) for each in records]}
    pagination = _pagination(window, len(records), accounting.count)
    return answer({"success": True, "data": data, "pagination": pagination})


def _period(since: datetime | None, to: datetime | None) -> tuple[int | None, int | None]:
    """Return a period in microseconds, whose end is left out; raises Invalid for one that ends before it begins."""
    if since is not None and to is not None and since > to:
        raise Invalid("has to be before toDate", ("query", "fromDate"))
    return None if since is None else microseconds(since), None if to is None else microseconds(to) + 1


def _touch(call: Call, records: list[RecordedAccess], customer_id: str | None, total: int) -> None:
    """Note whose records were shown: reading the audit is an access as well (AD-6)."""
    concerned = {customer_id: None} if customer_id is not None else {}
    concerned.update(dict.fromkeys(each for record in records for each in record.concerned))
    call.touched(concerned, map(record_id, records), total)


def _pagination(window: Window, shown: int, total: int) -> dict[str, Any]:
    return {
        "page": window.offset // window.limit + 1,
        "limit": window.limit,
        "offset": window.offset,
        "total": total,
        "hasMore": window.offset + shown < total,
    }
