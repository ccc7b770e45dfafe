"""What the audit is told about FHIR interactions (security AD-1): who, what, which ids; never a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from capability.operations import OPERATIONS
from fhir_server.fhir.request import FhirRequest, Origin
from fhir_server.fhir.response import Touched, touched_by
from fhir_server.fhir.routing import Interaction, Route
from storage.access import Access
from storage.audit import MAXIMUM_IDS, AuditRecord
from storage.resources import Version
from storage.transaction import Change

API: Final = "fhir"
ANONYMOUS: Final = "anonymous"
REFUSALS: Final = frozenset({401, 403})
_ACTIONS: Final = {
    Interaction.CREATE: "write",
    Interaction.UPDATE: "write",
    Interaction.PATCH: "write",
    Interaction.BUNDLE: "write",
    Interaction.DELETE: "delete",
}


def _action(route: Route) -> str:
    """Return what the audit calls an interaction; an operation reads, unless it is one that changes something."""
    if route.interaction is Interaction.OPERATION and OPERATIONS[route.operation].affects_state:
        return "write"
    return _ACTIONS.get(route.interaction, "read")


def change_of(request: FhirRequest) -> Change:
    """Return who is named as the author of what a request writes."""
    return Change(request.access.actor, request.access.client_id, API, request.origin.request_id)


def record_of(access: Access, route: Route, origin: Origin, touched: Touched, status: int) -> AuditRecord:
    """Return the audit record of an answered request."""
    one = touched.patients[0] if len(touched.patients) == 1 else None
    return AuditRecord(
        organization_id=access.organization_id,
        actor_id=access.actor,
        actor_role=access.role,
        resource=touched.resource_type or route.resource_type or API,
        action=_action(route),
        outcome="denied" if status in REFUSALS else "allowed",
        client_id=access.client_id,
        customer_id=one,
        patients=() if one is not None else touched.patients,
        resource_ids=touched.ids,
        interaction=route.interaction.value,
        status=status,
        count=touched.count,
        request_id=origin.request_id,
        method=origin.method,
        path=route.template,
        ip_address=origin.address,
        user_agent=origin.user_agent,
        purpose=access.purpose,
        grant_id=access.grant,
    )


def failure_record(
    access: Access | None, route: Route | None, origin: Origin, status: int, organization_id: str
) -> AuditRecord:
    """Return the audit record of a request that failed.

    Nobody knows who was behind a request without a valid token: it is recorded in `organization_id`, the server's own.
    """
    if access is not None and route is not None:
        asked = (route.id,) if route.id else ()
        about = asked if route.resource_type == "Patient" else ()  # whom was asked for, whether or not there is one
        return record_of(access, route, origin, Touched(route.resource_type, asked, about), status)
    return AuditRecord(
        organization_id=access.organization_id if access else organization_id,
        actor_id=access.actor if access else ANONYMOUS,
        actor_role=access.role if access else ANONYMOUS,
        resource=(route.resource_type if route else "") or API,
        action=_action(route) if route else "read",
        outcome="denied" if status in REFUSALS else "allowed",
        client_id=access.client_id if access else None,
        resource_ids=(route.id,) if route and route.id else (),
        interaction=route.interaction.value if route else None,
        status=status,
        request_id=origin.request_id,
        method=origin.method,
        path=route.template if route else None,
        ip_address=origin.address,
        user_agent=origin.user_agent,
        purpose=access.purpose if access else None,
        grant_id=access.grant if access else None,
    )


def write_records(
    access: Access, origin: Origin, written: Iterable[tuple[Route, int, Version | None]]
) -> list[AuditRecord]:
    """Return the audit records of a transaction: one for every hundred ids of equal interaction, type and status."""
    groups: dict[tuple[Interaction, str, int], list[Version]] = {}
    routes: dict[tuple[Interaction, str, int], Route] = {}
    for route, status, version in written:
        key = (route.interaction, route.resource_type, status)
        routes.setdefault(key, route)
        groups.setdefault(key, []).extend([version] if version is not None else [])
    return [
        record_of(access, routes[key], origin, touched_by(key[1], part), key[2])
        for key, versions in groups.items()
        for part in _parts(versions)
    ]


def _parts(versions: Sequence[Version]) -> Iterator[Sequence[Version]]:
    for start in range(0, max(len(versions), 1), MAXIMUM_IDS):
        yield versions[start : start + MAXIMUM_IDS]
