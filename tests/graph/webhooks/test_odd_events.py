"""What a pharmacy says may be odd; it waits, and keeps no clinician from approving the treatment that it is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.kit import JANE, GraphSite
from tests.graph.webhooks.pharmacy import Pharmacy, event

ODD: dict[str, dict[str, Any]] = {
    "the ends of time": {"prescribedDate": "0001-01-01T00:00:00Z", "nextRefillDate": "9999-12-31T23:59:59.999999999Z"},
    "a large number": {"quantity": 10**300, "refills": 1.5e-300},
    "many words for a number": {"quantity": "x" * 60_000, "refills": ""},
    "long texts": {"medicationName": "x" * 65_536, "dosage": "\u202e" * 1000},
    "controls": {"medicationName": "\x01\x02", "dosage": " ", "trackingNumber": ""},
    "an order of one space": {"orderId": " "},
    "an order that is an address": {"orderId": "a/b?c#d"},
    "a long order": {"orderId": "漢" * 200, "pharmacyId": "é" * 255},
}


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "2026-03-20T10:00:00+14:00"])
@pytest.mark.parametrize("odd", ODD)
def test_whatever_an_event_says_its_treatment_can_be_approved_and_its_order_goes_on(
    graph_site: GraphSite, pharmacy: Pharmacy, staff: httpx.Client, treat: Callable[..., str], odd: str, at: str
) -> None:
    name = f"{odd} {at}".replace(" ", "_")
    treatment = treat(name, status="pending")
    sent = event("created", "10:00", f"order_{name}", name, **ODD[odd]) | {"timestamp": at}
    sent["data"]["orderId"] += f" {at}"[: 255 - len(sent["data"]["orderId"])]
    assert pharmacy.tell(f"created-{name}", sent).status_code == 202
    assert staff.patch(f"/treatments/{treatment}", json={"status": "approved"}).status_code == 200
    shipped = event("shipped", "11:00", sent["data"]["orderId"], name)
    assert pharmacy.tell(f"shipped-{name}", shipped).status_code == 200
    found = staff.get("/prescriptions", params={"customerId": JANE.customer, "treatmentId": treatment})
    assert found.json()["pagination"]["total"] == 1
    assert staff.get("/events", params={"customerId": JANE.customer}).status_code == 200
    with graph_site.site.client() as fhir:
        assert fhir.get("MedicationRequest?_count=100").status_code == 200
