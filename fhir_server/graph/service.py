"""What the endpoints of the patient graph API work with. One per worker."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fhir_server.access import Caller
from fhir_server.graph.daily_stats import DailyStatsCache
from fhir_server.limits.limiter import Limiter
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.settings import Settings
from storage.audit_trail import AuditTrail
from storage.engine import Database
from storage.repositories.customers import customer_of_login, customer_of_patient
from storage.repositories.quick import Glimpse

OWN_SECONDS: Final = 5.0
"""How long it is remembered who a customer is: a profile that is given another login is followed that soon."""
MOST_OWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class GraphService:
    """The parts of a worker that the patient graph API needs."""

    settings: Settings
    database: Database
    audit: AuditTrail
    authenticator: Authenticator
    limiter: Limiter
    days: DailyStatsCache
    """Pages of daily statistics that are kept."""
    now: Callable[[], float] = field(default=time.time)
    _own: OrderedDict[tuple[str, str, str], tuple[float, str]] = field(default_factory=OrderedDict, repr=False)

    def rows_of(self, organization_id: str) -> Glimpse:
        """Return the rows of an organization, for repositories that only read."""
        return Glimpse(organization_id, self.database, self.database.stops)

    async def own_customer(self, caller: Caller) -> str | None:
        """Return the customer whom a caller who is bound to one stands for; None: there is no such profile.

        That is the patient of the token, else the profile whose `external_id` is the token's subject.
        """
        key = (caller.organization_id, caller.patient or "", caller.account or caller.subject)
        known = self._own.get(key)
        if known is not None and known[0] > self.now():
            return known[1]
        patient = caller.patient or _own_patient(caller)
        rows = self.rows_of(caller.organization_id)
        if patient is not None:
            found = await customer_of_patient(rows, patient)
        else:
            found = await customer_of_login(rows, caller.account or caller.subject)
        if found is not None:
            self._own[key] = (self.now() + OWN_SECONDS, found)
            if len(self._own) > MOST_OWN:
                self._own.popitem(last=False)
        return found


def _own_patient(caller: Caller) -> str | None:
    """Return the Patient that stands for the caller, if the token names one."""
    kind, _, found = (caller.fhir_user or "").partition("/")
    return found if kind == "Patient" and found else None
