"""Events meet what others write: an EMR, another program on the database, somebody who deletes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import delete, insert, update

from storage.tables.patient_graph import patient_prescriptions, subscriptions
from tests.conftest import ORGANIZATION
from tests.graph.kit import JANE, GraphSite
from tests.graph.webhooks.pharmacy import Pharmacy, event, life

Treat = Callable[..., str]
Numbers = tuple[str, str]


def request_of(emr: httpx.Client, order: str) -> dict[str, Any]:
    """Return the MedicationRequest of an order."""
    found = emr.get("/MedicationRequest", params={"identifier": order}).json()
    return dict(found["entry"][0]["resource"])


def prescription(staff: httpx.Client, key: str) -> dict[str, Any]:
    return dict(staff.get(f"/prescriptions/{key}").json()["data"])


def test_what_an_emr_cancelled_stays_so_and_the_pharmacy_is_told(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treat(rimo)
    emr = graph_site.site.client()
    key = pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo)).json()["data"]["prescriptionId"]
    request = request_of(emr, order)
    cancelled = emr.put(f"/MedicationRequest/{request['id']}", json={**request, "status": "cancelled"})
    assert cancelled.status_code == 200, cancelled.text
    told = pharmacy.tell(f"{order}-2", event("shipped", "12:00", order, rimo, trackingNumber="1Z")).json()["data"]
    assert (told["status"], told["prescriptionStatus"]) == ("applied", "cancelled")
    assert told["reason"] == "The prescription was set to cancelled here and stays so"
    row = prescription(staff, key)
    assert (row["status"], row["trackingNumber"]) == ("cancelled", "1Z")


def test_what_an_emr_wrote_stays_where_no_event_speaks_of_it(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treat(rimo)
    emr = graph_site.site.client()
    key = pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo)).json()["data"]["prescriptionId"]
    request = request_of(emr, order)
    changed = emr.put(
        f"/MedicationRequest/{request['id']}", json={**request, "dosageInstruction": [{"text": "0.5mg weekly"}]}
    )
    assert changed.status_code == 200, changed.text
    pharmacy.tell(f"{order}-2", event("shipped", "12:00", order, rimo))
    row = prescription(staff, key)
    assert (row["dosage"], row["status"]) == ("0.5mg weekly", "shipped")


def test_a_treatment_that_another_program_approves_takes_up_what_waits(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, numbers: Numbers
) -> None:
    order, rimo = numbers
    for event_id, what in life(order, rimo).items():
        assert pharmacy.tell(event_id, what).status_code == 202
    row = {"organization_id": ORGANIZATION, "id": f"foreign_{order}", "customer_id": JANE.customer}
    row |= {"product_id": "glp1", "product_name": "GLP-1", "rimo_treatment_id": rimo, "status": "pending"}
    with graph_site.engine().begin() as connection:
        connection.execute(insert(subscriptions).values(row))
    with graph_site.engine().begin() as connection:
        connection.execute(update(subscriptions).where(subscriptions.c.id == row["id"]).values(status="approved"))
    asked = {"customerId": JANE.customer, "treatmentId": row["id"]}
    until = time.monotonic() + 30
    while not (found := staff.get("/prescriptions", params=asked).json()["data"]) and time.monotonic() < until:
        time.sleep(0.1)
    assert [each["status"] for each in found] == ["delivered"]


def test_a_prescription_that_was_deleted_comes_back_whole_with_the_next_event(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treat(rimo)
    first = event("created", "10:00", order, rimo, pharmacyName="Rimo Pharmacy")
    key = pharmacy.tell(f"{order}-1", first).json()["data"]["prescriptionId"]
    with graph_site.engine().begin() as connection:
        connection.execute(delete(patient_prescriptions).where(patient_prescriptions.c.id == key))
    again = pharmacy.tell(f"{order}-2", event("shipped", "12:00", order, rimo)).json()["data"]
    row = prescription(staff, again["prescriptionId"])
    assert (again["prescriptionId"], row["pharmacyName"], row["status"]) == (key, "Rimo Pharmacy", "shipped")


def test_auditors_find_the_pharmacy_among_those_who_wrote(
    graph_site: GraphSite, pharmacy: Pharmacy, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treat(rimo)
    pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo))
    emr = graph_site.site.client()
    patient = graph_site.patient_of(JANE)
    found = emr.get("/AuditEvent", params={"patient": patient, "_count": "50"})
    assert found.status_code == 200, found.text
    assert "rimo" in found.text
