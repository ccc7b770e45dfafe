"""From a grant that stands to a token response (`smart.md` T12, T13, F2; RFC 6749 §5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import Request

from fhir_server.access import BREAK_GLASS
from fhir_server.oauth.errors import InvalidGrant
from fhir_server.oauth.identity import IdentityClaims, identity_token
from fhir_server.oauth.lifetimes import granted_seconds, refresh_until
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.tokens import TokenRequest, issue
from storage.authorization.grants import Grant, revoke_grant
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.refresh_tokens import add_refresh_token, use_grant
from storage.authorization.standing import Standing
from storage.repositories.entities import Client
from storage.transaction import UnitOfWork

CONTEXT: Final = ("fhirContext", "intent", "need_patient_banner", "smart_style_url", "tenant")
"""What a grant's context may put into a token response, beside patient and encounter."""


@dataclass(frozen=True, slots=True)
class Issue:
    """What is issued, of which grant; not signed yet. `refresh_token` is the token itself."""

    grant: Grant
    request: TokenRequest
    refresh_token: str | None
    identity: IdentityClaims | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is issued; `why` is a word for the log and never told, `alarm` says that somebody has what is not theirs.

    What was changed on the way stays changed: a spent code, a revoked grant.
    """

    why: str
    alarm: bool = False


async def issue_for(
    request: Request, unit: UnitOfWork, client: Client, standing: Standing, *, scope: str, interaction: str
) -> Issue:
    """Write down what is issued for a grant: its refresh token, its use, and the audit record."""
    service, grant = service_of(request), standing.grant
    now = service.seconds
    lifetime = granted_seconds(client, service.settings, standing, now)
    token = _token_request(client, grant, scope, lifetime)
    until = refresh_until(client, service.settings, standing, now)
    refresh_token = None
    if until is not None and until > now:
        refresh_token = new_opaque()
        await add_refresh_token(unit, digest(refresh_token), grant.id, now, until)
    await use_grant(unit, grant.id, now, max(grant.expires_at, now + lifetime, until or 0))
    await service.record(request, unit, act_of(grant, interaction, ids=(token.token_id,)))
    return Issue(grant, token, refresh_token)


def act_of(
    grant: Grant, interaction: str, *, ids: Sequence[str] = (), outcome: str = "allowed", status: int = 200
) -> Act:
    """Return what is done for a grant, for the audit; `ids` are those of access tokens."""
    return Act(
        grant.user_id or grant.client_id,
        grant.role,
        "access_token",
        interaction,
        outcome=outcome,
        status=status,
        ids=ids,
        client_id=grant.client_id,
        patient=grant.patient,
        grant_id=grant.id,
        purpose=BREAK_GLASS if grant.break_glass_id else None,
    )


def refusal_of(grant: Grant, client: Client, interaction: str) -> Act:
    """Return what a client, perhaps another one than the grant's, was refused, for the audit."""
    act = act_of(grant, interaction, outcome="denied", status=InvalidGrant.status)
    return replace(act, actor_id=client.id, client_id=client.id)


async def end_of_theft(
    request: Request, unit: UnitOfWork, grant: Grant, client: Client, *, why: str, now: int
) -> Refused:
    """End a grant of which somebody has what is not theirs (`smart.md` T7, F4).

    Access tokens die within the second, refresh tokens at once.
    """
    await revoke_grant(unit.connection, grant.id, why, now)
    await service_of(request).record(request, unit, refusal_of(grant, client, "replay"))
    return Refused(why, alarm=True)


def _token_request(client: Client, grant: Grant, scope: str, lifetime: int) -> TokenRequest:
    return TokenRequest(
        subject=grant.user_id or client.id,
        client_id=client.id,
        organization_id=grant.organization_id,
        role=grant.role,
        scope=scope,
        lifetime=lifetime,
        patient=grant.patient,
        fhir_user=grant.fhir_user if "fhirUser" in scope.split() else None,
        grant_id=grant.id,
        break_glass_id=grant.break_glass_id,
        is_partner=client.is_partner,
    )


def token_response(service: OAuthService, made: Issue) -> dict[str, Any]:
    """Return the answer, its tokens signed; raises NoSigningKey and KeyUnreadable.

    Context is repeated at each refresh (F2), and `patient` and `encounter` are ids without a type (L6).
    """
    document: dict[str, Any] = {
        "access_token": issue(made.request, service.issuer, service.ring, service.seconds),
        "token_type": "Bearer",
        "expires_in": made.request.lifetime,
        "scope": made.request.scope,
    }
    if made.refresh_token is not None:
        document["refresh_token"] = made.refresh_token
    if made.identity is not None:
        document["id_token"] = identity_token(made.identity, service)
    return {**document, **context_of(made.grant)}


def context_of(grant: Grant) -> Mapping[str, Any]:
    """Return the launch context of a grant as token responses and introspection give it."""
    told: dict[str, Any] = {name: grant.context[name] for name in CONTEXT if name in grant.context}
    ids = {"patient": grant.patient, "encounter": grant.encounter}
    return {name: value for name, value in ids.items() if value is not None} | told
