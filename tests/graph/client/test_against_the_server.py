"""The client against this server: every method, and each kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from fhir_server.graph_client.asynchronous import AsyncPatientGraphClient
from fhir_server.graph_client.client import PatientGraphClient
from fhir_server.graph_client.results import (
    Conflict,
    Failed,
    Forbidden,
    NotFound,
    Ok,
    PatientGraphError,
    Unauthorized,
    Unreachable,
    ValidationFailed,
)
from fhir_server.graph_client.retries import NONE
from fhir_server.graph_client.sent import (
    LabChanges,
    Line,
    NewEvent,
    NewIdentityMapping,
    NewLab,
    NewLines,
    NewProfile,
    NewProtocol,
    NewReading,
    NewReadings,
    NewTreatment,
    ProfileChanges,
    ProtocolChanges,
    TreatmentChanges,
)
from tests.graph.kit import ABSENT, JANE, JOHN, NOON, GraphSite
from tests.site import free_port


@pytest.fixture(scope="module")
def address(graph_site: GraphSite) -> str:
    return f"{graph_site.site.settings.base_url}/graph"


@pytest.fixture(scope="module")
def client(graph_site: GraphSite, address: str) -> Iterator[PatientGraphClient]:
    with PatientGraphClient(address, lambda: graph_site.token("ORG_ADMIN")) as made:
        yield made


def test_a_person_is_taken_in(client: PatientGraphClient):
    made = client.profiles.create(
        NewProfile(external_id="user_ann", email="ann@example.com", date_of_birth=date(1990, 1, 2), conditions=["pcos"])
    ).unwrap()
    assert (made.external_id, made.date_of_birth, made.conditions) == ("user_ann", date(1990, 1, 2), ("pcos",))
    assert client.profiles.get(made.id).unwrap() == made
    changed = client.profiles.update(made.id, ProfileChanges(subscription_tier="premium", conditions=[])).unwrap()
    assert (changed.subscription_tier, changed.conditions, changed.email) == ("premium", (), made.email)
    mapping = client.identity_mappings.create(
        NewIdentityMapping(customer_id=made.id, external_system="clerk", external_id="user_ann")
    ).unwrap()
    assert client.identity_mappings.list(customer_id=made.id).unwrap().data == (mapping,)
    found = client.identity_mappings.resolve(external_system="clerk", external_id="user_ann").unwrap()
    assert (found.customer_id, found.survivor.id) == (made.id, made.id)


def test_a_report_is_uploaded_corrected_and_reviewed(client: PatientGraphClient):
    biomarkers = {"tsh": {"value": Decimal("2.10"), "unit": "mIU/L"}}
    lab = NewLab(customer_id=JANE.customer, upload_id="upload_1", biomarkers=biomarkers, lab_date="2026-03-15")
    first, again = client.labs.create(lab), client.labs.create(lab)
    assert isinstance(first, Ok)
    assert isinstance(again, Ok)
    assert (first.created, again.created, first.data.id) == (True, False, again.data.id)
    assert str(first.data.biomarkers["tsh"]["value"]) == "2.10"
    reviewed = client.labs.update(first.data.id, LabChanges(status="reviewed", notes="fine")).unwrap()
    assert reviewed.reviewed_at is not None
    assert client.labs.get(reviewed.id).unwrap().status == "reviewed"
    assert [each.id for each in client.labs.iterate(customer_id=JANE.customer, status="reviewed")] == [reviewed.id]


def test_a_protocol_and_a_treatment_live(client: PatientGraphClient):
    protocol = client.protocols.create(NewProtocol(customer_id=JANE.customer, name="Vitamin D")).unwrap()
    done = client.protocols.update(protocol.id, ProtocolChanges(status="completed")).unwrap()
    assert client.protocols.get(done.id).unwrap().completed_at == done.completed_at
    refused = client.protocols.update(protocol.id, ProtocolChanges(status="active"))
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, Conflict)
    treatment = client.treatments.create(
        NewTreatment(customer_id=JANE.customer, offering_id="glp1", offering_name="GLP-1", monthly_price_cents=29900)
    ).unwrap()
    approved = client.treatments.update(
        treatment.id, TreatmentChanges(status="approved", clinician_id="dr_smith", approved_at=NOON)
    ).unwrap()
    assert (approved.approved_at, approved.monthly_price_cents) == (NOON, 29900)
    refused = client.treatments.update(treatment.id, TreatmentChanges(status="pending"))
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, Conflict)
    assert set(refused.error.allowed) == {"active", "cancelled"}
    assert treatment.id in {each.id for each in client.treatments.iterate(customer_id=JANE.customer)}


def test_what_happened_and_what_was_said(client: PatientGraphClient):
    event = client.events.create(NewEvent(customer_id=JANE.customer, type="note_added", occurred_at=NOON)).unwrap()
    found = client.events.list(customer_id=JANE.customer, type="note_added", from_date=NOON, to_date=NOON).unwrap()
    assert found.data == (event,)
    lines = NewLines(
        customer_id=JANE.customer,
        session_id="session_1",
        messages=[Line(role="user", content="Hello"), Line(role="assistant", content="Hello!")],
    )
    made = client.conversations.append(lines).unwrap()
    assert {each.content for each in made} == {"Hello", "Hello!"}
    found_lines = client.conversations.list(customer_id=JANE.customer, session_id="session_1").unwrap()
    assert found_lines.pagination.total == 2


def test_readings_are_taken_once_and_days_counted(client: PatientGraphClient):
    readings = NewReadings(
        readings=[
            NewReading(
                customer_id=JOHN.customer,
                data_type="hrv",
                value=Decimal("60.50") + minute,
                unit="ms",
                source="oura",
                recorded_at=datetime(2026, 3, 5, 17, minute, tzinfo=UTC),
            )
            for minute in range(25)
        ]
    )
    assert client.wearables.ingest(readings).unwrap().created == 25
    assert client.wearables.ingest(readings).unwrap().unchanged == 25
    found = list(client.wearables.iterate_readings(customer_id=JOHN.customer, data_type="hrv", limit=10))
    assert [str(each.value) for each in found] == [f"{84 - n}.50" for n in range(25)]
    (day,) = client.wearables.daily_stats(customer_id=JOHN.customer, data_type="hrv").unwrap().data
    assert (day.date, day.count, day.min_value, day.max_value) == (
        date(2026, 3, 5), 25, Decimal("60.50"), Decimal("84.50"),
    )  # fmt: skip


def test_prescriptions_are_read(client: PatientGraphClient):
    (found,) = client.prescriptions.iterate(customer_id=JOHN.customer)
    assert client.prescriptions.get(found.id).unwrap() == found
    assert found.medication_name == "Semaglutide"


def test_errors_are_of_a_closed_set(graph_site: GraphSite, address: str, client: PatientGraphClient):
    invalid = client.events.create(NewEvent(customer_id=JANE.customer, type="nonsense"))
    assert isinstance(invalid, Failed)
    assert isinstance(invalid.error, ValidationFailed)
    assert invalid.error.issues[0].path == ("type",)
    missing = client.labs.get(ABSENT)
    assert isinstance(missing, Failed)
    assert isinstance(missing.error, NotFound)
    taken = client.profiles.create(NewProfile(external_id=JANE.login, email="another@example.com"))
    assert isinstance(taken, Failed)
    assert isinstance(taken.error, Conflict)
    with PatientGraphClient(address, graph_site.token("PATIENT", customer=JANE)) as jane:
        assert jane.profiles.get(JANE.customer).ok
        foreign = jane.profiles.get(JOHN.customer)
        assert isinstance(foreign, Failed)
        assert isinstance(foreign.error, Forbidden)
        with pytest.raises(PatientGraphError, match="Forbidden"):
            list(jane.labs.iterate(customer_id=JOHN.customer))
    with PatientGraphClient(address, "nonsense") as nobody:
        unknown = nobody.profiles.get(JANE.customer)
        assert isinstance(unknown, Failed)
        assert isinstance(unknown.error, Unauthorized)
    with PatientGraphClient(f"http://127.0.0.1:{free_port()}/graph", "token", retries=NONE) as away:
        nowhere = away.profiles.get(JANE.customer)
        assert isinstance(nowhere, Failed)
        assert isinstance(nowhere.error, Unreachable)


async def test_the_asynchronous_client_pages_through_a_list(graph_site: GraphSite, address: str):
    async def token() -> str:
        return graph_site.token("STAFF")

    async with AsyncPatientGraphClient(address, token) as client:
        profiles = [each.id async for each in client.profiles.iterate(limit=1)]
        one = (await client.profiles.get(JANE.customer)).unwrap()
    assert len(set(profiles)) == len(profiles) >= 2
    assert one.id == JANE.customer
