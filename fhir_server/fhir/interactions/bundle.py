"""`POST` to the base: a batch or a transaction, as the Bundle says (FHIR R4 http.html#transaction)."""

from __future__ import annotations

from fhir_server.fhir.entries import bundle_kind
from fhir_server.fhir.interactions.batch import batch
from fhir_server.fhir.interactions.transaction import transaction
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.service import Service


async def bundle(request: FhirRequest, service: Service) -> Response:
    """Carry out the entries, each on its own or all together."""
    body = await request.json(service.settings.max_bundle_bytes)
    if bundle_kind(body.value) == "batch":
        return await batch(request, service, body.value)
    return await transaction(request, service, body.value, len(body.data))
