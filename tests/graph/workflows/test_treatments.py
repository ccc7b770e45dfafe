"""Treatments and prescriptions as the API document lists, makes and changes them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.graph.answers import data_of
from tests.graph.kit import ABSENT, JANE, JOHN, GraphSite, Person

DOCUMENTED: dict[str, Any] = {
    "rimoTreatmentId": "rimo_456",
    "offeringId": "offering_glp1",
    "offeringName": "GLP-1 Weight Management",
    "status": "pending",
    "monthlyPriceCents": 29900,
}


def made(staff: httpx.Client, person: Person, **more: Any) -> dict[str, Any]:
    sent = {"customerId": person.customer, "offeringName": "GLP-1", **more}
    return dict(data_of(staff.post("/treatments", json=sent), 201))


def test_the_documented_request_is_shown_in_the_documented_shape(staff: httpx.Client, somebody: Person) -> None:
    shown = made(staff, somebody, **DOCUMENTED)
    assert {name: shown[name] for name in DOCUMENTED} == DOCUMENTED
    assert (shown["productId"], shown["productName"]) == ("offering_glp1", "GLP-1 Weight Management")
    assert (shown["interval"], shown["intervalCount"], shown["discountPercentage"]) == ("monthly", "30", "10")
    assert data_of(staff.get(f"/treatments/{shown['id']}")) == shown
    assert "patientPrescriptions" not in shown
    assert "organizationId" not in shown


def test_the_shorter_documented_request_names_its_product_by_the_offering(
    staff: httpx.Client, somebody: Person
) -> None:
    shown = made(staff, somebody, rimoTreatmentId="rimo_short", status="pending")
    assert (shown["productId"], shown["productName"], shown["offeringId"]) == ("GLP-1", "GLP-1", None)


def test_lists_are_filtered_and_paged(staff: httpx.Client, somebody: Person) -> None:
    keys = [made(staff, somebody, rimoTreatmentId=f"rimo_list_{number}")["id"] for number in range(3)]
    staff.patch(f"/treatments/{keys[0]}", json={"status": "approved"})
    asked = {"customerId": somebody.customer}
    page = staff.get("/treatments", params={**asked, "limit": 2}).json()
    assert [each["id"] for each in page["data"]] == [keys[2], keys[1]]
    assert page["pagination"] == {"page": 1, "limit": 2, "offset": 0, "total": 3, "hasMore": True}
    [approved] = data_of(staff.get("/treatments", params={**asked, "status": "approved"}))
    [named] = data_of(staff.get("/treatments", params={**asked, "rimoTreatmentId": "rimo_list_1"}))
    assert (approved["id"], named["id"]) == (keys[0], keys[1])
    assert staff.get("/treatments").status_code == 400
    assert staff.get("/treatments", params={**asked, "status": "shipped"}).status_code == 400


@pytest.mark.parametrize(
    "sent",
    [
        {"status": "approved"},
        {"offeringName": None},
        {"monthlyPriceCents": "29900.5"},
        {"monthlyPriceCents": -1},
        {"clinicianId": "dr_smith_123"},
        {"productId": ""},
        {"customerId": None},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(sent: dict[str, Any], staff: httpx.Client) -> None:
    told = staff.post("/treatments", json={"customerId": JANE.customer, "offeringName": "GLP-1", **sent})
    assert (told.status_code, told.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "sent", [{"status": None}, {"productName": None}, {"productId": None}, {"metadata": None}, {"interval": None}],
    ids=str,
)  # fmt: skip
def test_what_has_to_be_there_is_not_taken_away(sent: dict[str, Any], staff: httpx.Client) -> None:
    assert staff.patch(f"/treatments/{JANE.row('treatment')}", json=sent).status_code == 400


def test_moves_stamp_their_own_instants_unless_the_request_says_when(staff: httpx.Client, somebody: Person) -> None:
    key = made(staff, somebody)["id"]
    said = {"status": "approved", "approvedAt": "2026-03-20T12:00:00+02:00"}
    assert data_of(staff.patch(f"/treatments/{key}", json=said))["approvedAt"] == "2026-03-20T10:00:00Z"
    started = data_of(staff.patch(f"/treatments/{key}", json={"status": "active"}))
    assert started["startedAt"] is not None
    paused = data_of(staff.patch(f"/treatments/{key}", json={"status": "paused"}))
    assert paused["pausedAt"] is not None
    resumed = data_of(staff.patch(f"/treatments/{key}", json={"status": "active"}))
    assert resumed["startedAt"] == started["startedAt"]
    ended = data_of(staff.patch(f"/treatments/{key}", json={"status": "completed", "notes": None}))
    assert (ended["status"], ended["notes"]) == ("completed", None)
    told = staff.patch(f"/treatments/{key}", json={"status": "active"})
    assert (told.status_code, told.json()["error"]["details"]) == (409, {"allowed": []})


def test_a_change_that_changes_nothing_writes_nothing(staff: httpx.Client, somebody: Person) -> None:
    before = made(staff, somebody)
    assert data_of(staff.patch(f"/treatments/{before['id']}", json={})) == before
    assert data_of(staff.patch(f"/treatments/{before['id']}", json={"status": "pending"})) == before


def test_rows_of_others_and_rows_that_are_not_there_are_the_same_to_customers(
    graph_site: GraphSite, staff: httpx.Client
) -> None:
    jane = graph_site.client("PATIENT", customer=JANE)
    for kind in ("treatment", "prescription"):
        assert jane.get(f"/{kind}s/{JANE.row(kind)}").status_code == 200
        foreign, absent = jane.get(f"/{kind}s/{JOHN.row(kind)}"), jane.get(f"/{kind}s/{ABSENT}")
        assert (foreign.status_code, foreign.content) == (absent.status_code, absent.content)
        assert foreign.status_code == 403
        assert jane.get(f"/{kind}s", params={"customerId": JOHN.customer}).status_code == 403
        assert staff.get(f"/{kind}s/{ABSENT}").status_code == 404
    absent_one = {"customerId": ABSENT, "offeringName": "GLP-1"}
    assert jane.post("/treatments", json=absent_one).status_code == 403
    assert staff.post("/treatments", json=absent_one).status_code == 404
    assert jane.patch(f"/treatments/{JANE.row('treatment')}", json={"notes": "x"}).status_code == 403
    assert staff.patch(f"/treatments/{ABSENT}", json={"notes": "x"}).status_code == 404


def test_prescriptions_are_filtered_by_treatment_and_state(graph_site: GraphSite) -> None:
    jane = graph_site.client("PATIENT", customer=JANE)
    asked = {"customerId": JANE.customer}
    [row] = data_of(jane.get("/prescriptions", params={**asked, "treatmentId": JANE.row("treatment")}))
    assert (row["id"], row["quantity"], row["refills"]) == (JANE.row("prescription"), 4, 3)
    assert data_of(jane.get("/prescriptions", params={**asked, "status": "shipped"})) == []
    assert data_of(jane.get("/prescriptions", params={**asked, "status": "pending"})) == [row]
    assert data_of(jane.get(f"/prescriptions/{row['id']}")) == row
