"""One request to the patient graph API: where it came from, who asks, what it touched; the audit is told of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, cast

from fastapi import Request

from fhir_server.access import BREAK_GLASS, Caller
from fhir_server.fhir.request import Origin
from fhir_server.fhir.trail import ANONYMOUS, REFUSALS
from fhir_server.graph.errors import Forbidden, NotFound
from fhir_server.graph.rules import Rule
from fhir_server.graph.service import GraphService
from fhir_server.limits.limit import Standing
from storage.access import Extent
from storage.audit import AuditRecord
from storage.repositories.quick import Glimpse
from storage.transaction import Change, UnitOfWork

T = TypeVar("T")
R = TypeVar("R", bound="OfCustomer")

API: Final = "graph"
IDLIKE: Final = re.compile(r"[A-Za-z0-9._:|-]{1,64}")
"""What may be on record as an id although no row was found that has it: a name or an address is none."""
FAILURES: Final = 400


class OfCustomer(Protocol):
    """A row about one customer."""

    @property
    def customer_id(self) -> str:
        """Whose row it is."""
        ...


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
        return self.service.rows_of(self.organization_id)

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

    def require_row(self, row_id: str, row: R | None, what: str) -> R:
        """Return the row that was asked for, and note it; `what` names it. Raises NotFound and Forbidden."""
        self.touched((), (row_id,))
        if row is None:
            raise self.absent(NotFound(what))
        self.touched((row.customer_id,))
        self.require_own(row.customer_id)
        return row

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

    async def write(self, work: Callable[[UnitOfWork], Awaitable[T]], status: int | Callable[[T], int] = 200) -> T:
        """Run a change, repeatable, and insert the record of the call in the same transaction (security AD-2).

        `status` is that of the answer, or says which it is by what the change gave.
        """

        async def on_record(unit: UnitOfWork) -> T:
            self.forget()
            done = await work(unit)
            await self.service.audit.insert(unit, [self.record(status(done) if callable(status) else status)])
            return done

        caller = self.caller
        change = Change(caller.subject, caller.client_id, API, self.origin.request_id)
        done = await self.service.database.transact(caller.organization_id, change, on_record)
        self.recorded = True
        return done

    def record(self, status: int) -> AuditRecord:
        """Return the audit record of the request as it is answered.

        Whom and what was asked for is on record whether or not it is there, as far as it may be an id (AD-1).
        """
        caller, rule = self.known, self.rule
        is_found = status < FAILURES and self.count != 0
        customers = [each for each in self.customers if is_found or each == self.own or IDLIKE.fullmatch(each)]
        ids = [each for each in self.ids if is_found or IDLIKE.fullmatch(each)]
        one = customers[0] if len(customers) == 1 else None
        return AuditRecord(
            organization_id=self.organization_id,
            actor_id=caller.subject if caller else ANONYMOUS,
            actor_role=caller.role if caller else ANONYMOUS,
            resource=rule.resource if rule else API,
            action=rule.action.value if rule else "read",
            outcome="denied" if status in REFUSALS else "allowed",
            client_id=caller.client_id if caller else None,
            customer_id=one,
            patients=() if one is not None else customers,
            resource_ids=ids,
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


async def call_of(request: Request) -> Call:
    """Return the call of a request; for endpoints, as a dependency."""
    return cast("Call", request.state.call)
