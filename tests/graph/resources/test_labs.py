"""Laboratory results: uploaded, corrected, reviewed; the digits are kept, the timeline and FHIR follow at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.kit import JANE, JOHN, GraphSite

Clients = Callable[..., httpx.Client]
BIOMARKERS = (
    b'{"testosterone_total": {"value": 650.50, "unit": "ng/dL", "code": "LOINC:2986-8",'
    b' "referenceRange": {"min": 264, "max": 916.0}, "status": "normal"},'
    b' "vitamin_d": {"value": "<5.0", "unit": "ng/mL", "note": "odd", "status": "low"}}'
)


def upload(client: httpx.Client, upload_id: str | None, biomarkers: bytes = BIOMARKERS, **more: str) -> httpx.Response:
    said = "".join(f', "{name}": "{value}"' for name, value in more.items())
    named = f', "uploadId": "{upload_id}"' if upload_id else ""
    body = f'{{"customerId": "{JANE.customer}", "labDate": "2026-03-15"{named}{said}, "biomarkers": '.encode()
    return client.post("/labs", content=body + biomarkers + b"}", headers={"Content-Type": "application/json"})


def timeline(client: httpx.Client, kind: str, lab: str) -> list[dict[str, Any]]:
    found = client.get("/events", params={"customerId": JANE.customer, "type": kind, "limit": 100}).json()["data"]
    return [each for each in found if each["data"].get("labResultId") == lab]


def test_an_upload_keeps_its_digits_and_is_in_fhir_at_once(graph: Clients, graph_site: GraphSite) -> None:
    staff = graph("STAFF")
    answer = upload(staff, "digits", provider="Quest Diagnostics")
    assert answer.status_code == 201
    assert b'"value":650.50' in answer.content
    assert b'"max":916.0' in answer.content
    lab = answer.json()["data"]
    assert lab["biomarkers"]["vitamin_d"] == {"value": "<5.0", "unit": "ng/mL", "note": "odd", "status": "low"}
    assert (lab["status"], lab["labDay"], lab["reviewedAt"]) == ("pending", "2026-03-15", None)
    assert b'"value":650.50' in staff.get(f"/labs/{lab['id']}").content
    fhir = graph_site.site.client()
    patient = graph_site.patient_of(JANE)
    reports = fhir.get("/DiagnosticReport", params={"patient": patient, "_id": lab["id"]}).json()
    assert [each["resource"]["status"] for each in reports["entry"]] == ["preliminary"]
    shown = fhir.get("/Observation", params={"patient": patient, "code": "http://loinc.org|2986-8"})
    assert b'"value":650.50' in shown.content
    assert len(timeline(staff, "lab_upload", lab["id"])) == 1
    assert timeline(staff, "lab_parsed", lab["id"]) == [], "whoever parses it tells"


def test_the_same_upload_again_corrects_and_does_not_double(graph: Clients) -> None:
    staff = graph("STAFF")
    first = upload(staff, "again").json()["data"]
    changed = upload(staff, "again", b'{"tsh": {"value": 2.10, "unit": "uIU/mL"}}')
    assert changed.status_code == 200
    assert changed.json()["data"]["id"] == first["id"]
    assert list(changed.json()["data"]["biomarkers"]) == ["tsh"]
    assert len(timeline(staff, "lab_upload", first["id"])) == 1
    other = staff.post("/labs", json={"customerId": JOHN.customer, "uploadId": "again", "biomarkers": {}})
    assert other.status_code == 201, "an upload is a customer's"
    assert upload(staff, None).json()["data"]["id"] != upload(staff, None).json()["data"]["id"]


def test_what_says_the_same_again_leaves_the_review_and_what_says_otherwise_ends_it(
    graph: Clients, graph_site: GraphSite
) -> None:
    staff = graph("STAFF")
    lab = upload(staff, "reviewed").json()["data"]["id"]
    reviewed = staff.patch(f"/labs/{lab}", json={"status": "reviewed", "notes": "slightly low"}).json()["data"]
    assert reviewed["reviewedBy"] == "tester-staff"
    assert reviewed["reviewedAt"] is not None
    same = upload(staff, "reviewed", status="pending").json()["data"]
    assert same == reviewed
    corrected = upload(staff, "reviewed", b'{"tsh": {"value": 2.1, "unit": "uIU/mL"}}').json()["data"]
    assert (corrected["status"], corrected["reviewedAt"], corrected["notes"]) == ("pending", None, "slightly low")


def test_states_follow_one_another(graph: Clients) -> None:
    staff = graph("STAFF")
    lab = upload(staff, "states").json()["data"]["id"]
    refused = staff.patch(f"/labs/{lab}", json={"status": "archived"})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "VALIDATION_ERROR"
    assert refused.json()["error"]["details"] == {"allowed": ["reviewed"]}
    assert staff.patch(f"/labs/{lab}", json={"status": "reviewed"}).status_code == 200
    assert staff.patch(f"/labs/{lab}", json={"status": "archived"}).status_code == 200
    final = staff.patch(f"/labs/{lab}", json={"status": "pending"})
    assert final.json()["error"]["details"] == {"allowed": []}
    assert staff.patch(f"/labs/{lab}", json={"status": "archived", "notes": "old"}).json()["data"]["notes"] == "old"


def test_a_result_that_was_reviewed_elsewhere_is_stamped(graph: Clients) -> None:
    lab = upload(graph("STAFF"), "elsewhere", status="reviewed").json()["data"]
    assert lab["reviewedBy"] == "tester-staff"


def test_labs_are_listed_by_customer_and_status(graph: Clients) -> None:
    staff = graph("STAFF")
    lab = upload(staff, "listed", status="reviewed").json()["data"]["id"]
    found = staff.get("/labs", params={"customerId": JANE.customer, "status": "reviewed", "limit": 100}).json()["data"]
    assert lab in [each["id"] for each in found]
    assert {each["status"] for each in found} == {"reviewed"}
    assert staff.get("/labs").status_code == 400
    assert staff.get("/labs", params={"customerId": JANE.customer, "status": "lost"}).status_code == 400


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"biomarkers": {"tsh": 2.1}}, ["biomarkers", "tsh"]),
        ({"biomarkers": {"tsh": {"unit": "uIU/mL"}}}, ["biomarkers", "tsh", "value"]),
        ({"biomarkers": {"tsh": {"value": [1]}}}, ["biomarkers", "tsh", "value"]),
        ({"biomarkers": {}, "labDate": "2026-02-30"}, ["labDate"]),
        ({"biomarkers": {}, "status": "lost"}, ["status"]),
    ],
)
def test_what_does_not_fit_is_named(graph: Clients, more: dict[str, Any], path: list[str]) -> None:
    answer = graph("STAFF").post("/labs", json={"customerId": JANE.customer, **more})
    assert answer.status_code == 400
    assert any(each["path"][: len(path)] == path for each in answer.json()["error"]["details"]["issues"])


def test_what_an_emr_writes_of_a_value_is_seen_here(graph: Clients, graph_site: GraphSite) -> None:
    staff = graph("STAFF")
    lab = upload(staff, "back", b'{"tsh": {"value": 5.21, "unit": "uIU/mL", "code": "LOINC:3016-3"}}').json()["data"]
    fhir = graph_site.site.client()
    report = fhir.get(f"/DiagnosticReport/{lab['id']}").json()
    shown = fhir.get(f"/{report['result'][0]['reference']}").json()
    shown["valueQuantity"]["value"] = 4.75
    assert fhir.put(f"/Observation/{shown['id']}", json=shown).status_code == 200
    assert staff.get(f"/labs/{lab['id']}").json()["data"]["biomarkers"]["tsh"]["value"] == 4.75
