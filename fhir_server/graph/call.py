"""One request to the patient graph API: where it came from, who asks, what it touched; the audit is told of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import Request

from fhir_server.access import BREAK_GLASS, Caller
from fhir_server.fhir.request import Origin
from fhir_server.fhir.trail import ANONYMOUS, REFUSALS
from fhir_server.graph.errors import Forbidden
from fhir_server.graph.rules import Rule
from fhir_server.graph.service import API, GraphService
from fhir_server.limits.limit import Standing
from storage.access import Extent
from storage.audit import AuditRecord
from storage.repositories.quick import Glimpse


@dataclass
class Call:
    """A request on its way through the chain of `route.py`.

    `own` is the customer whom a caller that is bound to one may name; `is_bound` says whether the caller is.
    """

    origin: Origin
    service: GraphService
    rule: Rule | None
    path: str
    """Template of the address, without ids."""
    organization_id: str
    """Whose trail names the request: the caller's, or the server's own while nobody knows the caller."""
    known: Caller | None = None
    extent: Extent | None = None
    own: str | None = None
    standing: Standing | None = None
    recorded: bool = False
    customers: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    count: int | None = None

    @property
    def caller(self) -> Caller:
        """Who asks; raises RuntimeError before the token was looked at."""
        if self.known is None:
            raise RuntimeError("nobody knows yet who asks")
        return self.known

    @property
    def rows(self) -> Glimpse:
        """The rows of the caller's organization, for repositories that only read."""
        database = self.service.database
        return Glimpse(self.organization_id, database, database.stops)

    @property
    def is_bound(self) -> bool:
        """Whether the caller may name one customer only."""
        return self.extent is not Extent.ORGANIZATION

    @property
    def is_customer(self) -> bool:
        """Whether a patient asks, who may write less than others (internal_tables.md)."""
        return self.caller.role == "PATIENT"

    def require_own(self, customer_id: str | None) -> None:
        """Raise Forbidden when a bound caller names another customer than its own, or one who does not exist."""
        if self.is_bound and (customer_id is None or customer_id != self.own):
            raise Forbidden

    def absent(self, error: Exception) -> Exception:
        """Return what a caller is told of a row that is not there: bound ones never learn whether it is."""
        return Forbidden() if self.is_bound else error

    def touched(self, customers: Iterable[str] = (), ids: Iterable[str] = (), count: int | None = None) -> None:
        """Note whose rows were read or written, and which."""
        self.customers += [each for each in dict.fromkeys(customers) if each not in self.customers]
        self.ids += ids
        self.count = count if count is not None else self.count

    def forget(self) -> None:
        """Forget what was touched: the work is done again after a conflict with another writer."""
        self.customers.clear()
        self.ids.clear()
        self.count = None

    def record(self, status: int) -> AuditRecord:
        """Return the audit record of the request as it is answered."""
        caller, rule = self.known, self.rule
        one = self.customers[0] if len(self.customers) == 1 else None
        return AuditRecord(
            organization_id=self.organization_id,
            actor_id=caller.subject if caller else ANONYMOUS,
            actor_role=caller.role if caller else ANONYMOUS,
            resource=rule.resource if rule else API,
            action=rule.action.value if rule else "read",
            outcome="denied" if status in REFUSALS else "allowed",
            client_id=caller.client_id if caller else None,
            customer_id=one,
            patients=() if one is not None else self.customers,
            resource_ids=self.ids,
            status=status,
            count=self.count,
            request_id=self.origin.request_id,
            method=self.origin.method,
            path=self.path,
            ip_address=self.origin.address,
            user_agent=self.origin.user_agent,
            purpose=BREAK_GLASS if caller and caller.break_glass_id else None,
            grant_id=caller.token_id if caller else None,
        )


def call_of(request: Request) -> Call:
    """Return the call of a request; for endpoints, as a dependency."""
    return cast("Call", request.state.call)


def state_of(request: Request) -> Any:
    """Return what the application keeps for its endpoints."""
    return request.app.state
