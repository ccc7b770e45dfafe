"""The patient graph API as its callers meet it: a server, two customers with rows of each kind, clients of every role.

Every answer that a client of the kit gets is held against the OpenAPI document.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import URL, Engine, create_engine, make_url, select

from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from fhir_server.settings import Settings
from mappers.rows import (
    CustomerProfile,
    IdentityMapping,
    LabResult,
    PatientPrescription,
    Protocol,
    Subscription,
    WearableDailyStat,
    WearableReading,
)
from storage.audit_sqlite import audit_path
from storage.engine import create_database
from storage.projection.flush import flush
from storage.repositories.entities import ConversationEntry, PatientEvent
from storage.repositories.events import ConversationRepository, EventRepository
from storage.repositories.identity_mappings import IdentityMappingRepository
from storage.repositories.labs import LabRepository
from storage.repositories.prescriptions import PrescriptionRepository
from storage.repositories.profiles import ProfileRepository
from storage.repositories.protocols import ProtocolRepository
from storage.repositories.subscriptions import SubscriptionRepository
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.rls import ROLE
from storage.tables.audit import rbac_logs
from storage.tables.fhir import resources
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION
from tests.graph.answers import require_described
from tests.site import Site, running_site

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ABSENT = "nobody-0000"
"""An id that no row has."""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer: the id of the profile, its `external_id`, and how the ids of all rows of the customer end."""

    customer: str
    login: str
    email: str

    def row(self, kind: str) -> str:
        """Return the id of the customer's row of a kind: profile, mapping, lab, protocol, event, line, treatment …"""
        return self.customer if kind == "profile" else f"{kind}_{self.customer}"


JANE = Person("cust_jane", "user_jane", "jane@example.com")
JOHN = Person("cust_john", "user_john", "john@example.com")

LEVELS: Mapping[str, str] = {"SERVICE": "system", "APP": "patient", "EMERGENCY": "patient"}
"""Level of the scopes that a role's tokens have as a rule; people have `user`."""


def rows_of(person: Person) -> list[tuple[Any, Any]]:
    """Return rows of a customer, one of each kind, with the repository that takes it."""
    keys: dict[str, Any] = {"organization_id": ORGANIZATION, "customer_id": person.customer}
    profile = CustomerProfile(
        person.customer, ORGANIZATION, person.login, person.email, "Jane", "Doe", date(1985, 6, 15), "female"
    )
    biomarkers = {"vitamin_d": {"value": Decimal("28.50"), "unit": "ng/mL", "status": "low"}}
    treatment = Subscription(
        id=person.row("treatment"),
        product_id="offering_glp1",
        product_name="GLP-1 Weight Management",
        offering_id="offering_glp1",
        offering_name="GLP-1 Weight Management",
        monthly_price_cents=29900,
        rimo_treatment_id=f"rimo_{person.customer}",
        **keys,
    )
    prescription = PatientPrescription(
        id=person.row("prescription"),
        treatment_id=treatment.id,
        rimo_order_id=f"order_{person.customer}",
        medication_name="Semaglutide",
        dosage="0.25mg",
        quantity=4,
        refills=3,
        **keys,
    )
    reading = WearableReading(
        id=person.row("reading"),
        data_type="glucose",
        value=Decimal("95.50"),
        unit="mg/dL",
        source="dexcom_api",
        recorded_at=NOON,
        **keys,
    )
    stat = WearableDailyStat(
        id=person.row("stat"), date=date(2026, 3, 1), data_type="glucose", unit="mg/dL",
        avg_value=Decimal("98.5"), min_value=Decimal("75.0"), max_value=Decimal("145.0"), count=288, **keys,
    )  # fmt: skip
    mapping = IdentityMapping(
        id=person.row("mapping"), identifier_type="stripe_customer_id", external_system="stripe",
        external_id=f"cus_{person.customer}", **keys,
    )  # fmt: skip
    return [
        (ProfileRepository, profile),
        (IdentityMappingRepository, mapping),
        (LabRepository, LabResult(id=person.row("lab"), status="pending", biomarkers=biomarkers, **keys)),
        (ProtocolRepository, Protocol(id=person.row("protocol"), name="Vitamin D", status="active", **keys)),
        (EventRepository, PatientEvent(id=person.row("event"), type="note_added", description="Called", **keys)),
        (ConversationRepository, ConversationEntry(id=person.row("line"), role="user", content="Hello", **keys)),
        (SubscriptionRepository, treatment),
        (PrescriptionRepository, prescription),
        (ReadingRepository, reading),
        (DailyStatRepository, stat),
    ]


def seed(settings: Settings, *people: Person) -> None:
    """Put customers with rows of each kind into the database."""

    async def put() -> None:
        database = create_database(settings.database_url, role=ROLE)
        database.flush = flush
        await database.open()

        async def work(unit: UnitOfWork) -> None:
            for person in people:
                for repository, row in rows_of(person):
                    await repository(unit).insert(row)

        await database.transact(ORGANIZATION, Change("tester", "tests", "test"), work)
        await database.close()

    asyncio.run(put())


@dataclass
class GraphSite:
    """A running server with the rows of JANE and JOHN; clients of it check what is answered."""

    site: Site
    engines: dict[URL, Engine] = field(default_factory=dict)

    def token(
        self,
        role: str = "STAFF",
        *,
        customer: Person | None = None,
        subject: str | None = None,
        scope: str | None = None,
        patient: Person | None = None,
        organization: str = ORGANIZATION,
        lifetime: int = 600,
        age: int = 0,
        **claims: Any,
    ) -> str:
        """Return an access token: of `customer`'s login, for the record of `patient`, issued `age` seconds ago."""
        who = subject or (customer.login if customer is not None else f"tester-{role.lower()}")
        settings = self.site.settings
        request = TokenRequest(
            who, "tests", organization, role, scope or f"{LEVELS.get(role, 'user')}/*.cruds", lifetime,
            patient=self.patient_of(patient) if patient is not None else None, **claims,
        )  # fmt: skip
        return issue(request, Issuer(settings.base_url, settings.fhir_base), self.site.ring, int(time.time()) - age)

    def client(self, role: str = "STAFF", *, checked: bool = True, **claims: Any) -> httpx.Client:
        """Return a client below `/graph` that bears a token (`token`); unless `checked` is off, answers are checked."""
        return self.bearing(self.token(role, **claims), checked=checked)

    def bearing(self, token: str | None, *, checked: bool = True) -> httpx.Client:
        """Return a client below `/graph` that bears this token, or none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        hooks: dict[str, list[Any]] = {"response": [require_described]} if checked else {}
        made = httpx.Client(
            base_url=f"{self.site.settings.base_url}/graph", headers=headers, timeout=30, event_hooks=hooks
        )
        self.site.clients.append(made)
        return made

    def patient_of(self, person: Person) -> str:
        """Return the id of the Patient that shows a customer."""
        columns = resources.c
        statement = select(columns.id).where(
            columns.resource_type == "Patient",
            columns.home_table == "customer_profiles",
            columns.home_key == person.customer,
        )
        found = self.rows(statement)
        assert len(found) == 1, f"{person.customer} is shown by {len(found)} Patients"
        return str(found[0]["id"])

    def audit(self, *request_ids: str) -> dict[str, Mapping[str, Any]]:
        """Return the audit records of requests, by request id, as anybody would find them who looks now."""
        url = self.site.settings.database_url
        statement = select(rbac_logs).where(rbac_logs.c.request_id.in_(request_ids))
        found = self.rows(statement)
        if url.startswith("sqlite"):
            found += self.rows(statement, f"sqlite:///{audit_path(url)}")
        assert len(found) == len({each["request_id"] for each in found}), "a request is on record twice"
        return {each["request_id"]: each for each in found}

    def audit_of(self, answer: httpx.Response) -> Mapping[str, Any]:
        """Return the audit record of a request; there has to be one."""
        return self.audit(answer.headers["x-request-id"])[answer.headers["x-request-id"]]

    def rows(self, statement: Any, url: str | None = None) -> list[Mapping[str, Any]]:
        """Return what a statement selects, past row-level security."""
        with self.engine(url).connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def engine(self, url: str | None = None) -> Engine:
        """Return what connects to the database as other programs do, past the server."""
        at = make_url(url or self.site.settings.database_url)
        if at not in self.engines:
            driver = "sqlite" if at.get_backend_name() == "sqlite" else "postgresql+psycopg"
            self.engines[at] = create_engine(at.set(drivername=driver))
        return self.engines[at]


@contextmanager
def running_graph(database_url: str, people: Sequence[Person] = (JANE, JOHN), **settings: Any) -> Iterator[GraphSite]:
    """Run a server with the rows of `people`; requests are not limited unless `settings` say so."""
    told = {"graph_user_limit": None, "graph_address_limit": None, "graph_webhook_limit": None, **settings}
    with running_site(database_url, lambda made: seed(made, *people), **told) as site:
        made = GraphSite(site)
        yield made
        for engine in made.engines.values():
            engine.dispose()
