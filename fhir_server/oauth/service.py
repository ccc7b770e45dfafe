"""What the handlers of the authorization server and its pages work with. One per worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from fhir_server.oauth.authenticate import Authenticator
from fhir_server.oauth.external import ExternalIssuers
from fhir_server.oauth.jwks_cache import KeySets
from fhir_server.oauth.keys import KeyRing
from fhir_server.oauth.pace import Pace
from fhir_server.oauth.password_pool import PasswordPool
from fhir_server.oauth.revocations import Revocations
from fhir_server.oauth.tokens import Issuer
from fhir_server.outgoing import Outgoing
from fhir_server.settings import Settings
from storage.audit import AuditRecord
from storage.audit_trail import AuditTrail
from storage.engine import Database
from storage.search.searcher import Searcher
from storage.store import ResourceStore
from storage.transaction import Change, UnitOfWork

API: Final = "oauth"


@dataclass(frozen=True, slots=True)
class Act:
    """Who does what to the authorization server's own things, for the audit (AD-2); no secret, no token.

    `resource` is session, grant, client, user, launch or access_token; `interaction` says what is done with it.
    """

    actor_id: str
    actor_role: str
    resource: str
    interaction: str
    action: str = "write"
    outcome: str = "allowed"
    status: int | None = None
    ids: Sequence[str] = ()
    client_id: str | None = None
    patient: str | None = None
    grant_id: str | None = None
    purpose: str | None = None
    patients: Sequence[str] = ()
    """Whom it concerns where they are several: those shown on a page, for instance."""


@dataclass(frozen=True, slots=True)
class OAuthService:
    """The parts of a worker that authorization needs; `now` gives seconds since 1970 UTC."""

    settings: Settings
    database: Database
    store: ResourceStore
    searcher: Searcher
    audit: AuditTrail
    ring: KeyRing
    revocations: Revocations
    authenticator: Authenticator
    now: Callable[[], float] = field(default=time.time)
    passwords: PasswordPool = field(default_factory=PasswordPool, kw_only=True)
    pace: Pace = field(default_factory=Pace, kw_only=True)
    outgoing: Outgoing = field(kw_only=True)
    key_sets: KeySets = field(kw_only=True)
    external: ExternalIssuers = field(kw_only=True)

    @property
    def issuer(self) -> Issuer:
        """Who issues tokens, and for whom."""
        return Issuer(self.settings.base_url, self.settings.fhir_base)

    @property
    def seconds(self) -> int:
        """The present instant in whole seconds since 1970 UTC."""
        return int(self.now())

    @asynccontextmanager
    async def acting(self, request: Request, organization_id: str | None, *acts: Act) -> AsyncIterator[UnitOfWork]:
        """Give a unit of work whose last statement inserts the audit records of the acts.

        `organization_id` is the trail that names them: None is the server's own, for what comes before the choice of an
        organization. What is learnt on the way goes through `record` within the unit of work.
        """
        organization = organization_id or self.settings.organization
        first = acts[0] if acts else None
        change = Change(first.actor_id if first else "anonymous", (first.client_id if first else None) or API, API)
        async with self.database.begin(organization, change) as unit:
            yield unit
            if acts:
                await self.record(request, unit, *acts)

    async def record(self, request: Request, unit: UnitOfWork, *acts: Act) -> None:
        """Insert audit records into an open unit of work."""
        await self.audit.insert(unit, [_record(request, unit.organization_id, act) for act in acts])

    def require_pace(self, request: Request, what: str) -> None:
        """Raise TooManyAttempts when `what` comes from one network too often."""
        self.pace.require(request, what, self.seconds)

    async def note(self, request: Request, organization_id: str | None, act: Act) -> None:
        """Record an act that changes nothing, a refused one for instance; it is durable on return."""
        await self.audit.record(_record(request, organization_id or self.settings.organization, act))


def service_of(request: Request) -> OAuthService:
    """Return the service of the worker that answers."""
    service: OAuthService = request.app.state.oauth
    return service


def address_of(request: Request) -> str:
    """Return the address of the peer; what proxies say of it is uvicorn's to believe or not."""
    return request.client.host if request.client else ""


def _record(request: Request, organization_id: str, act: Act) -> AuditRecord:
    return AuditRecord(
        organization_id=organization_id,
        actor_id=act.actor_id,
        actor_role=act.actor_role,
        resource=act.resource,
        action=act.action,
        interaction=act.interaction,
        outcome=act.outcome,
        status=act.status,
        resource_ids=act.ids,
        client_id=act.client_id,
        customer_id=act.patient,
        patients=act.patients,
        grant_id=act.grant_id,
        purpose=act.purpose,
        method=request.method,
        path=getattr(request.scope.get("route"), "path", None),
        ip_address=address_of(request),
        user_agent=request.headers.get("user-agent"),
    )
