"""From the name of an operation to what answers it (FHIR R4 operations.html)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fhir_server.fhir.operations.everything import everything
from fhir_server.fhir.operations.lastn import lastn
from fhir_server.fhir.operations.lineage import lineage
from fhir_server.fhir.operations.meta import meta, meta_add, meta_delete
from fhir_server.fhir.operations.validate import validate
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service

OPERATION_HANDLERS: Final[Mapping[str, Callable[[FhirRequest, Service], Awaitable[Response]]]] = {
    "everything": everything,
    "lastn": lastn,
    "lineage": lineage,
    "meta": meta,
    "meta-add": meta_add,
    "meta-delete": meta_delete,
    "validate": validate,
}
"""One for each of `capability.operations.OPERATIONS`."""


async def operation(request: FhirRequest, service: Service) -> Response:
    """Answer a call of an operation."""
    return await OPERATION_HANDLERS[request.route.operation](request, service)
