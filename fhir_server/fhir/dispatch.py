"""From a request to the interaction that answers it, and its audit: for requests and bundle entries alike (AZ-11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from fhir_server.fhir.challenge import challenge
from fhir_server.fhir.interactions.create import create
from fhir_server.fhir.interactions.delete import delete
from fhir_server.fhir.interactions.history_across import history_across
from fhir_server.fhir.interactions.history_instance import history_instance
from fhir_server.fhir.interactions.patch import patch
from fhir_server.fhir.interactions.read import read, vread
from fhir_server.fhir.interactions.search_compartment import search_compartment
from fhir_server.fhir.interactions.search_system import search_system
from fhir_server.fhir.interactions.search_type import search_type
from fhir_server.fhir.interactions.update import update
from fhir_server.fhir.operations.dispatch import operation
from fhir_server.fhir.request import FhirRequest, Origin
from fhir_server.fhir.response import Response
from fhir_server.fhir.routing import Interaction, Route
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import failure_record, record_of
from fhir_server.outcome import outcome_for
from storage.access import Access

Handler = Callable[[FhirRequest, Service], Awaitable[Response]]

HANDLERS: Final[Mapping[Interaction, Handler]] = {
    Interaction.READ: read,
    Interaction.VREAD: vread,
    Interaction.HISTORY_INSTANCE: history_instance,
    Interaction.HISTORY_TYPE: history_across,
    Interaction.HISTORY_SYSTEM: history_across,
    Interaction.CREATE: create,
    Interaction.UPDATE: update,
    Interaction.PATCH: patch,
    Interaction.DELETE: delete,
    Interaction.SEARCH_TYPE: search_type,
    Interaction.SEARCH_SYSTEM: search_system,
    Interaction.SEARCH_COMPARTMENT: search_compartment,
    Interaction.OPERATION: operation,
}
"""What answers a request, or an entry of a bundle."""

FORBIDDEN: Final = 403
THROTTLED: Final = 429
INTERNAL_ERROR: Final = 500

_log = structlog.get_logger("fhir_server.fhir")


async def answer(request: FhirRequest, service: Service) -> Response:
    """Answer one interaction; when it is done the access is on record (security AD-3)."""
    response = await HANDLERS[request.route.interaction](request, service)
    if response.touched is not None:
        await service.audit.record(
            record_of(request.access, request.route, request.origin, response.touched, response.status)
        )
    return response


def failed(error: Exception, origin: Origin) -> Response:
    """Return the answer to a request that failed; what nobody foresaw is logged, without what it says (PH-1)."""
    status, headers, body = outcome_for(error, origin.request_id)
    if status >= INTERNAL_ERROR:
        _log.error(
            "request_failed",
            error=type(error).__name__,
            status=status,
            request_id=origin.request_id,
            exc_info=error if status == INTERNAL_ERROR else None,
        )
    return Response(status, body, headers)


async def failed_on_record(
    error: Exception, origin: Origin, service: Service, access: Access | None, route: Route | None
) -> Response:
    """Return the answer to a request that failed, which is on record; a record that cannot be made is a failure too."""
    response = failed(error, origin)
    if response.status == FORBIDDEN:
        response.headers["WWW-Authenticate"] = challenge(error, access)
    if response.status >= 503 or response.status == THROTTLED:
        # nothing was done or shown, or looked at; what failed is most likely the place to record it
        return response
    try:
        await service.audit.record(
            failure_record(access, route, origin, response.status, service.settings.organization)
        )
    except Exception as failure:  # noqa: BLE001 no answer leaves without its record
        return failed(failure, origin)
    return response
