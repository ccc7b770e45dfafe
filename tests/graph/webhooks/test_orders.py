"""Events of orders become prescriptions, entries of the timeline and started treatments (docs/webhooks.md)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.kit import JANE, JOHN, GraphSite
from tests.graph.webhooks.pharmacy import Pharmacy, event, life

Treat = Callable[..., str]
Numbers = tuple[str, str]


def prescriptions(staff: httpx.Client, treatment: str) -> list[dict[str, Any]]:
    found = staff.get("/prescriptions", params={"customerId": JANE.customer, "treatmentId": treatment})
    assert found.status_code == 200, found.text
    return list(found.json()["data"])


def timeline(staff: httpx.Client, order: str) -> list[tuple[str, str, str]]:
    found = staff.get("/events", params={"customerId": JANE.customer, "limit": 100}).json()["data"]
    mine = [each for each in found if (each["data"] or {}).get("orderId") == order]
    return sorted((each["occurredAt"], each["type"], each["description"]) for each in mine)


def test_an_order_is_a_prescription_that_moves_with_its_events(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    seen = []
    for event_id, what in life(order, rimo).items():
        told = pharmacy.tell(event_id, what)
        assert told.status_code == 200, told.text
        assert told.json()["data"]["status"] == "applied"
        [row] = prescriptions(staff, treatment)
        assert told.json()["data"]["prescriptionId"] == row["id"]
        seen.append(row["status"])
    assert seen == ["pending", "processing", "transmitted", "shipped", "delivered"]
    del row["createdAt"], row["updatedAt"], row["id"]
    assert row == {
        "customerId": JANE.customer,
        "treatmentId": treatment,
        "rimoOrderId": order,
        "medicationName": "Semaglutide",
        "dosage": "0.25mg",
        "status": "delivered",
        "quantity": 4,
        "refills": 3,
        "prescribedDate": "2026-03-20T10:00:00Z",
        "nextRefillDate": "2026-04-20T00:00:00Z",
        "pharmacyId": "pharm_rimo_1",
        "pharmacyName": "Rimo Pharmacy",
        "trackingNumber": "1Z999AA10123456789",
        "transmittedAt": "2026-03-20T11:00:00Z",
        "shippedAt": "2026-03-20T18:00:00Z",
        "deliveredAt": "2026-03-20T21:00:00Z",
        "cancelledAt": None,
        "metadata": {},
    }
    shown = staff.get(f"/treatments/{treatment}").json()["data"]
    assert (shown["status"], shown["startedAt"]) == ("active", "2026-03-20T18:00:00Z")
    assert timeline(staff, order) == [
        ("2026-03-20T10:00:00Z", "prescription_created", "Semaglutide 0.25mg: pending"),
        ("2026-03-20T10:30:00Z", "prescription_updated", "Semaglutide 0.25mg: processing"),
        ("2026-03-20T11:00:00Z", "prescription_updated", "Semaglutide 0.25mg: transmitted"),
        ("2026-03-20T18:00:00Z", "prescription_updated", "Semaglutide 0.25mg: shipped"),
        ("2026-03-20T21:00:00Z", "prescription_updated", "Semaglutide 0.25mg: delivered"),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_events_delivered_three_times_in_shuffled_order_give_one_prescription_in_the_right_state(
    seed: int, pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    deliveries = list(life(order, rimo).items()) * 3
    random.Random(seed).shuffle(deliveries)
    for event_id, what in deliveries:
        assert pharmacy.tell(event_id, what).status_code == 200
    [row] = prescriptions(staff, treatment)
    stamps = (row["transmittedAt"], row["shippedAt"], row["deliveredAt"])
    assert row["status"] == "delivered"
    assert stamps == ("2026-03-20T11:00:00Z", "2026-03-20T18:00:00Z", "2026-03-20T21:00:00Z")
    assert len(timeline(staff, order)) == 5
    assert staff.get(f"/treatments/{treatment}").json()["data"]["startedAt"] == "2026-03-20T18:00:00Z"


def test_a_repeated_delivery_is_answered_like_the_first(pharmacy: Pharmacy, treat: Treat, numbers: Numbers) -> None:
    order, rimo = numbers
    treat(rimo)
    created, shipped = event("created", "10:00", order, rimo), event("shipped", "18:00", order, rimo)
    first = pharmacy.tell(f"{order}-1", created)
    pharmacy.tell(f"{order}-2", shipped)
    again = pharmacy.tell(f"{order}-1", created)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.json()["data"]["prescriptionStatus"] == "pending"


def test_an_id_that_comes_with_another_body_is_refused(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo))
    other = pharmacy.tell(f"{order}-1", event("shipped", "18:00", order, rimo))
    assert (other.status_code, other.json()["error"]["code"]) == (409, "CONFLICT")
    assert prescriptions(staff, treatment)[0]["status"] == "pending"


def test_an_event_of_a_type_nobody_knows_is_kept_and_answered_202(pharmacy: Pharmacy, numbers: Numbers) -> None:
    order, _ = numbers
    what = {"type": "pharmacist.greeted", "timestamp": "2026-03-20T10:00:00Z", "data": {"hello": 1.10}}
    told = pharmacy.tell(f"{order}-1", what)
    assert (told.status_code, told.json()["data"]) == (202, {"eventId": f"{order}-1", "status": "unknown"})
    again = pharmacy.tell(f"{order}-1", what)
    assert (again.status_code, again.json()) == (200, told.json())


def test_events_for_a_treatment_that_is_not_known_wait_for_its_approval(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    for event_id, what in life(order, rimo).items():
        told = pharmacy.tell(event_id, what)
        assert (told.status_code, told.json()["data"]["status"]) == (202, "waiting")
    treatment = treat(rimo, status="pending")
    assert prescriptions(staff, treatment) == []
    approved = staff.patch(f"/treatments/{treatment}", json={"status": "approved", "clinicianId": "dr_smith_123"})
    assert approved.json()["data"]["status"] == "active"
    [row] = prescriptions(staff, treatment)
    assert (row["status"], row["shippedAt"]) == ("delivered", "2026-03-20T18:00:00Z")
    assert len(timeline(staff, order)) == 5


def test_nobody_gets_the_orders_of_another_by_asking_for_a_treatment_of_the_same_number(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    john = graph_site.client("PATIENT", customer=JOHN)
    asked = john.post(
        "/treatments", json={"customerId": JOHN.customer, "rimoTreatmentId": rimo, "offeringName": "GLP-1"}
    )
    assert asked.status_code == 201, asked.text
    pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo))
    mine = treat(rimo)
    assert len(prescriptions(staff, mine)) == 1
    john_has = staff.get("/prescriptions", params={"customerId": JOHN.customer}).json()["data"]
    assert order not in {each["rimoOrderId"] for each in john_has}
    approved = staff.patch(f"/treatments/{asked.json()['data']['id']}", json={"status": "approved"})
    assert (approved.status_code, approved.json()["error"]["code"]) == (409, "CONFLICT")


def test_a_move_that_the_state_machine_has_not_is_kept_refused_and_told(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    pharmacy.tell(f"{order}-1", event("delivered", "10:00", order, rimo))
    told = pharmacy.tell(f"{order}-2", event("cancelled", "11:00", order, rimo))
    assert told.status_code == 200
    data = told.json()["data"]
    assert (data["status"], data["prescriptionStatus"], data["allowed"]) == ("refused", "delivered", [])
    assert data["reason"] == "An order that is delivered cannot become cancelled"
    assert prescriptions(staff, treatment)[0]["status"] == "delivered"
    assert len(timeline(staff, order)) == 1


def test_what_was_refused_counts_when_an_earlier_event_makes_room_for_it(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    pharmacy.tell(f"{order}-1", event("shipped", "12:00", order, rimo))
    pharmacy.tell(f"{order}-2", event("cancelled", "11:00", order, rimo))
    [row] = prescriptions(staff, treatment)
    assert (row["status"], row["shippedAt"], row["cancelledAt"]) == ("cancelled", None, "2026-03-20T11:00:00Z")
    assert [each[2] for each in timeline(staff, order)] == ["Semaglutide 0.25mg: cancelled"]


def test_an_order_never_goes_over_to_another_treatment(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    treat(f"{rimo}-other", person=JOHN)
    pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo))
    told = pharmacy.tell(f"{order}-2", event("shipped", "12:00", order, f"{rimo}-other"))
    assert told.json()["data"]["status"] == "refused"
    [row] = prescriptions(staff, treatment)
    assert row["status"] == "pending"


def test_a_refill_moves_the_date_and_not_the_state(
    pharmacy: Pharmacy, staff: httpx.Client, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    pharmacy.tell(f"{order}-1", event("shipped", "10:00", order, rimo))
    pharmacy.tell(f"{order}-2", event("refill_scheduled", "11:00", order, rimo, nextRefillDate="2026-05-20T00:00:00Z"))
    [row] = prescriptions(staff, treatment)
    assert (row["status"], row["nextRefillDate"]) == ("shipped", "2026-05-20T00:00:00Z")


def test_the_pharmacy_is_on_record_with_whom_its_event_concerned(
    graph_site: GraphSite, pharmacy: Pharmacy, treat: Treat, numbers: Numbers
) -> None:
    order, rimo = numbers
    treat(rimo)
    told = pharmacy.tell(f"{order}-1", event("created", "10:00", order, rimo))
    record = graph_site.audit_of(told)
    assert (record["actor_id"], record["customer_id"], record["outcome"]) == ("rimo", JANE.customer, "allowed")
    assert (record["resource"], record["action"]) == ("protocols", "write")
    assert told.json()["data"]["prescriptionId"] in str(record["resource_ids"])
