"""Wearables: readings, one by one and in volume, and the statistics of days."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.call import Call
from fhir_server.graph.daily_stats import KeptPage, Question
from fhir_server.graph.envelope import MEDIA_TYPE, page, success
from fhir_server.graph.errors import Invalid
from fhir_server.graph.models.common import Day, Listed, Success, answers
from fhir_server.graph.models.wearables import DailyStat, Ingestion, NewReadings, Reading, checked
from fhir_server.graph.parameters import ACall, CustomerId, FromDate, ToDate
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.tables.enums import WearableDataType
from storage.telemetry.ingest import Ingested, Measured, UnknownCustomers, ingest
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/wearables", tags=["Wearables"], route_class=GraphRoute)
AT_ONCE: Final = 500
"""Readings that are checked before other requests have their turn."""
DataType = Annotated[WearableDataType | None, Query(alias="dataType", description="Only this metric")]


@router.get("/readings", responses=answers(Listed[Reading]))
@guarded("lab_results", GraphAction.READ, Owner.QUERY)
async def list_readings(
    *,
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    data_type: DataType = None,
    since: FromDate = None,
    until: ToDate = None,
) -> Response:
    """List the readings of a customer, newest measurement first."""
    found = await ReadingRepository(call.rows).list(
        customer_id=customer_id, data_type=data_type, since=since, until=until, window=window
    )
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found)


@router.post("/readings", responses=answers(Success[Ingestion]))
@guarded("lab_results", GraphAction.WRITE, Owner.OWN)
async def ingest_readings(call: ACall, sent: NewReadings) -> Response:
    """Take up to 10,000 readings, all or none.

    Sending them again changes nothing, so a request whose answer was lost is simply sent again. FHIR shows the readings
    and the statistics of their days when this is answered.
    """
    readings = await _own_readings(call, sent)
    customers = sorted({reading.customer_id for reading in readings})

    async def work(unit: UnitOfWork) -> Ingested:
        call.customers.extend(customers)  # distinct already, and perhaps thousands
        call.touched(count=len(readings))
        return await ingest(unit, readings)

    try:
        done = await call.write(work)
    except UnknownCustomers as unknown:
        first = next(at for at, each in enumerate(readings) if each.customer_id in unknown.customers)
        raise Invalid("There is no such customer", ("readings", first, "customerId")) from None
    call.service.days.forget(call.organization_id, tuple(customers))
    counts = {"created": done.created, "corrected": done.corrected, "unchanged": done.unchanged}
    return success({"received": len(readings), **counts})


async def _own_readings(call: Call, sent: NewReadings) -> list[Measured]:
    """Return what was sent, checked, some at a time; then other requests have their turn."""
    found: list[Measured] = []
    for start in range(0, len(sent.readings), AT_ONCE):
        for reading in checked(sent, start, start + AT_ONCE):
            call.require_own(reading.customer_id)
            found.append(reading.measured())
        await asyncio.sleep(0)
    return found


@router.get("/daily-stats", responses=answers(Listed[DailyStat]))
@guarded("lab_results", GraphAction.READ, Owner.QUERY)
async def list_daily_stats(
    *,
    call: ACall,
    window: PageWindow,
    customer_id: CustomerId,
    data_type: DataType = None,
    since: Annotated[Day | None, Query(alias="fromDate", description="This day, or later ones")] = None,
    until: Annotated[Day | None, Query(alias="toDate", description="This day, or earlier ones")] = None,
) -> Response:
    """List the statistics of a customer's days, newest day first; kept for five minutes, unless they change."""
    cache, whose = call.service.days, (call.organization_id, customer_id)
    question = Question(data_type, since, until, window)
    kept = cache.find(whose, question)
    if kept is not None:
        call.touched((customer_id,), kept.ids, kept.total)
        return Response(kept.body, media_type=MEDIA_TYPE, headers={"X-Cache": "hit"})
    ticket = cache.open(whose)
    try:
        found = await DailyStatRepository(call.rows).list(
            customer_id=customer_id, data_type=data_type, since=since, until=until, window=window
        )
        response = page(found)
        ids = tuple(row.id for row in found.rows)
        cache.keep(ticket, question, KeptPage(bytes(response.body), ids, found.total))
    finally:
        cache.close(ticket)
    call.touched((customer_id,), ids, found.total)
    response.headers["X-Cache"] = "miss"
    return response
