"""What comes of a code or refresh token: the answer, or a log line, an audit record, a count (`smart.md` T7, T16)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request

from fhir_server.oauth.backoff import GRANT, count_failure
from fhir_server.oauth.client_auth import AuthenticatedClient, client_failures
from fhir_server.oauth.errors import InvalidGrant
from fhir_server.oauth.granted import Issue, Refused, token_response
from fhir_server.oauth.service import Act, service_of

log = structlog.get_logger("fhir_server.oauth")


async def respond(
    request: Request, asking: AuthenticatedClient, organization_id: str, outcome: Issue | Refused
) -> Mapping[str, Any]:
    """Return the token response to what came of a code or a refresh token; raises InvalidGrant where nothing did."""
    if isinstance(outcome, Refused):
        await refuse(request, asking, organization_id, outcome)
        raise InvalidGrant
    return token_response(service_of(request), outcome)


async def refuse(request: Request, asking: AuthenticatedClient, organization_id: str | None, refused: Refused) -> None:
    """Tell of a refusal; after an alarm this worker knows at once what was revoked, the others within a second.

    `organization_id` is None where no grant is concerned: the record is then made here, else it was made in the
    transaction.
    """
    service, client = service_of(request), asking.client
    tell = log.error if refused.alarm else log.warning
    tell("grant_refused", client=client.id, why=refused.why, alarm=refused.alarm)
    if organization_id is None:
        status = InvalidGrant.status
        act = Act(client.id, asking.role, "access_token", "token", outcome="denied", status=status, client_id=client.id)
        await service.note(request, client.organization_id, act)
    await count_failure(service, GRANT, client_failures(request, client.id))
    if refused.alarm:
        await service.revocations.refresh()
