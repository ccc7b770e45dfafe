"""What endpoints of the patient graph API are given: the call, the customer, the row, the span of time."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query

from fhir_server.graph.call import Call, call_of
from fhir_server.graph.models.common import EndInstant, Instant, Key

ACall = Annotated[Call, Depends(call_of)]
CustomerId = Annotated[Key, Query(alias="customerId", description="Whose rows")]
RowId = Annotated[str, Path(alias="id", description="Id of the row")]
FromDate = Annotated[Instant | None, Query(alias="fromDate", description="Not before this instant, or day in UTC")]
ToDate = Annotated[EndInstant | None, Query(alias="toDate", description="Not after this instant, or day in UTC")]
