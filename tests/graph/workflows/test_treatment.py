"""API document, 'Treatment Approval Workflow', to the door; what FHIR shows is looked at after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.answers import data_of
from tests.graph.kit import GraphSite, Person
from tests.graph.webhooks.pharmacy import Pharmacy, event, life

Shows = Callable[..., list[dict[str, Any]]]
TREATMENT = "treatment"


class Chart:
    """What an EMR sees of somebody."""

    def __init__(self, shows: Shows, patient: str) -> None:
        self._shows, self._patient = shows, patient

    def plan(self) -> dict[str, Any]:
        [plan] = self._shows("CarePlan", subject=f"Patient/{self._patient}")
        return plan

    def requests(self) -> list[dict[str, Any]]:
        return self._shows("MedicationRequest", subject=f"Patient/{self._patient}")

    def dispenses(self) -> list[dict[str, Any]]:
        return self._shows("MedicationDispense", subject=f"Patient/{self._patient}")

    def states(self) -> tuple[str, list[str], list[str]]:
        return (
            self.plan()["status"],
            [each["status"] for each in self.requests()],
            [each["status"] for each in self.dispenses()],
        )


def ask(client: httpx.Client, customer: str, rimo: str) -> str:
    """Ask for a treatment; returns its id."""
    sent = {
        "customerId": customer,
        "rimoTreatmentId": rimo,
        "offeringId": "offering_glp1",
        "offeringName": "GLP-1 Weight Management",
        "status": "pending",
        "monthlyPriceCents": 29900,
    }
    return str(data_of(client.post("/treatments", json=sent), 201)["id"])


def test_from_the_request_to_the_door(
    graph_site: GraphSite, clinician: httpx.Client, pharmacy: Pharmacy, somebody: Person, shows: Shows
) -> None:
    mine = graph_site.client("PATIENT", customer=somebody)
    chart = Chart(shows, graph_site.patient_of(somebody))
    treatment = ask(mine, somebody.customer, "rimo_door")
    assert chart.states() == ("draft", [], [])
    assert chart.plan()["title"] == "GLP-1 Weight Management"

    approval = {
        "status": "approved",
        "clinicianId": "dr_smith_123",
        "clinicianName": "Dr. Sarah Smith, MD",
        "approvedAt": "2026-03-20T09:00:00Z",
        "notes": "Approved. Monitor glucose weekly.",
    }
    approved = data_of(clinician.patch(f"/treatments/{treatment}", json=approval))
    assert {name: approved[name] for name in approval} == approval
    assert chart.states() == ("active", [], [])
    assert chart.plan()["author"]["display"] == "Dr. Sarah Smith, MD"

    events = life("order_door", "rimo_door")
    seen = []
    for event_id, what in events.items():
        assert pharmacy.tell(event_id, what).status_code == 200
        seen.append(chart.states())
    assert seen == [
        ("active", ["active"], []),
        ("active", ["active"], []),
        ("active", ["active"], []),
        ("active", ["active"], ["in-progress"]),
        ("active", ["completed"], ["completed"]),
    ]
    [request], [dispense], plan = chart.requests(), chart.dispenses(), chart.plan()
    assert request["medicationCodeableConcept"]["text"] == "Semaglutide"
    assert request["authoredOn"] == "2026-03-20T10:00:00Z"
    assert request["basedOn"] == [{"reference": f"CarePlan/{plan['id']}"}]
    assert dispense["authorizingPrescription"] == [{"reference": f"MedicationRequest/{request['id']}"}]
    assert dispense["whenPrepared"] == "2026-03-20T18:00:00Z"
    assert dispense["whenHandedOver"] == "2026-03-20T21:00:00Z"
    assert "1Z999AA10123456789" in {each["value"] for each in dispense["identifier"]}
    assert f"MedicationRequest/{request['id']}" in str(plan["activity"])

    [prescription] = data_of(
        mine.get("/prescriptions", params={"customerId": somebody.customer, "treatmentId": treatment})
    )
    assert (prescription["status"], prescription["trackingNumber"]) == ("delivered", "1Z999AA10123456789")
    told = data_of(mine.get("/events", params={"customerId": somebody.customer, "limit": 100}))
    kinds = [each["type"] for each in told]
    assert sorted(kinds) == sorted([
        "treatment_requested", "treatment_approved", "treatment_started",
        "prescription_created", *["prescription_updated"] * 4,
    ])  # fmt: skip


def test_a_rejected_treatment_goes_nowhere(
    graph_site: GraphSite, clinician: httpx.Client, somebody: Person, shows: Shows
) -> None:
    mine = graph_site.client("PATIENT", customer=somebody)
    treatment = ask(mine, somebody.customer, "rimo_rejected")
    data_of(clinician.patch(f"/treatments/{treatment}", json={"status": "rejected", "notes": "Contraindicated"}))
    refused = clinician.patch(f"/treatments/{treatment}", json={"status": "approved"})
    assert refused.status_code == 409
    assert refused.json()["error"] == {
        "code": "VALIDATION_ERROR",
        "message": "The status cannot go from rejected to approved",
        "details": {"allowed": []},
    }
    assert Chart(shows, graph_site.patient_of(somebody)).plan()["status"] == "revoked"


def test_a_customer_asks_for_treatments_and_decides_nothing(
    graph_site: GraphSite, staff: httpx.Client, somebody: Person
) -> None:
    mine = graph_site.client("PATIENT", customer=somebody)
    treatment = ask(mine, somebody.customer, "rimo_own")
    told = mine.patch(f"/treatments/{treatment}", json={"status": "approved"})
    assert (told.status_code, told.json()["error"]["code"]) == (403, "FORBIDDEN")
    own = {"customerId": somebody.customer, "offeringName": "GLP-1", "status": "approved"}
    assert mine.post("/treatments", json=own).status_code == 400
    assert data_of(staff.get(f"/treatments/{treatment}"))["status"] == "pending"


def test_what_an_emr_does_with_a_treatment_shows_in_the_graph(
    graph_site: GraphSite, clinician: httpx.Client, emr: httpx.Client, somebody: Person, shows: Shows
) -> None:
    treatment = ask(clinician_staff(graph_site), somebody.customer, "rimo_emr")
    for status in ("approved", "active"):
        data_of(clinician.patch(f"/treatments/{treatment}", json={"status": status}))
    chart = Chart(shows, graph_site.patient_of(somebody))
    plan = chart.plan()
    paused = emr.put(f"/CarePlan/{plan['id']}", json={**plan, "status": "on-hold"})
    assert paused.status_code == 200, paused.text
    shown = data_of(clinician.get(f"/treatments/{treatment}"))
    assert shown["status"] == "paused"
    assert shown["pausedAt"] is not None
    refused = emr.put(f"/CarePlan/{plan['id']}", json={**chart.plan(), "status": "draft"})
    assert refused.status_code == 422, refused.text
    told = clinician.patch(f"/treatments/{treatment}", json={"status": "completed"})
    assert told.status_code == 409
    assert told.json()["error"]["details"] == {"allowed": ["active", "cancelled"]}


def clinician_staff(graph_site: GraphSite) -> httpx.Client:
    """Return somebody who may ask for a treatment in a customer's name."""
    return graph_site.client("STAFF")


def test_a_request_that_an_emr_wrote_is_a_prescription_that_the_pharmacy_moves(
    graph_site: GraphSite,
    clinician: httpx.Client,
    emr: httpx.Client,
    pharmacy: Pharmacy,
    somebody: Person,
    shows: Shows,
) -> None:
    treatment = ask(graph_site.client("STAFF"), somebody.customer, "rimo_written")
    data_of(clinician.patch(f"/treatments/{treatment}", json={"status": "approved"}))
    chart = Chart(shows, graph_site.patient_of(somebody))
    order = {"orderId": "order_pattern", "treatmentId": "rimo_written"}
    pharmacy.tell("written-0", event("created", "08:00", order["orderId"], order["treatmentId"]))
    [pattern] = chart.requests()
    [number] = [each for each in pattern["identifier"] if each["value"] == order["orderId"]]
    new = {
        "resourceType": "MedicationRequest",
        "identifier": [{**number, "value": "order_written"}],
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Tirzepatide"},
        "subject": pattern["subject"],
        "basedOn": pattern["basedOn"],
        "dosageInstruction": [{"text": "2.5mg"}],
    }
    made = emr.post("/MedicationRequest", json=new)
    assert made.status_code == 201, made.text
    asked = {"customerId": somebody.customer, "treatmentId": treatment}
    found = data_of(clinician.get("/prescriptions", params=asked))
    [written] = [each for each in found if each["rimoOrderId"] == "order_written"]
    assert (written["medicationName"], written["dosage"], written["status"]) == ("Tirzepatide", "2.5mg", "pending")

    what = event("shipped", "12:00", "order_written", "rimo_written", medicationName="Tirzepatide", dosage="2.5mg")
    told = pharmacy.tell("written-1", what)
    assert told.json()["data"]["prescriptionId"] == written["id"]
    assert [each["status"] for each in chart.dispenses()] == ["in-progress"]


@pytest.mark.parametrize("status", ["active"])
def test_a_treatment_that_an_emr_wrote_takes_up_what_the_pharmacy_told_before(
    status: str, graph_site: GraphSite, clinician: httpx.Client, emr: httpx.Client, pharmacy: Pharmacy,
    somebody: Person, shows: Shows,
) -> None:  # fmt: skip
    pattern_of = ask(graph_site.client("STAFF"), somebody.customer, "rimo_pattern")
    chart = Chart(shows, graph_site.patient_of(somebody))
    plan = chart.plan()
    for event_id, what in life("order_before", "rimo_before").items():
        assert pharmacy.tell(event_id, what).status_code == 202
    [number] = [each for each in plan["identifier"] if each["value"] == "rimo_pattern"]
    written = {key: value for key, value in plan.items() if key not in {"id", "meta", "text"}}
    written |= {"status": status, "identifier": [{**number, "value": "rimo_before"}]}
    made = emr.post("/CarePlan", json=written)
    assert made.status_code == 201, made.text
    asked = {"customerId": somebody.customer, "rimoTreatmentId": "rimo_before"}
    [treatment] = data_of(clinician.get("/treatments", params=asked))
    assert treatment["id"] != pattern_of
    [prescription] = data_of(
        clinician.get("/prescriptions", params={"customerId": somebody.customer, "treatmentId": treatment["id"]})
    )
    assert prescription["status"] == "delivered"
    assert [each["status"] for each in chart.dispenses()] == ["completed"]
