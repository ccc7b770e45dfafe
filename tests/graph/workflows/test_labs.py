"""API document, 'Lab Upload → Biomarker Display', and what an EMR sees of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from tests.graph.answers import data_of
from tests.graph.kit import GraphSite, Person

Shows = Callable[..., list[dict[str, Any]]]

BIOMARKERS = {
    "testosterone_total": {
        "value": 650,
        "unit": "ng/dL",
        "code": "LOINC:2986-8",
        "referenceRange": {"min": 264, "max": 916},
        "status": "normal",
    },
    "vitamin_d": {
        "value": 28,
        "unit": "ng/mL",
        "referenceRange": {"min": 30, "max": 100},
        "status": "low",
    },
}


def test_an_upload_is_biomarkers_a_timeline_observations_and_a_report(
    graph_site: GraphSite, staff: httpx.Client, somebody: Person, shows: Shows
) -> None:
    sent = {
        "customerId": somebody.customer,
        "uploadId": "upload_789",
        "labDate": "2026-03-15",
        "provider": "Quest Diagnostics",
        "status": "pending",
        "biomarkers": BIOMARKERS,
    }
    lab = data_of(staff.post("/labs", json=sent), 201)
    entry = {
        "customerId": somebody.customer,
        "type": "lab_parsed",
        "description": "Lab results from Quest Diagnostics",
        "data": {"labResultId": lab["id"]},
    }
    data_of(staff.post("/events", json=entry), 201)

    mine = graph_site.client("PATIENT", customer=somebody)
    [shown] = data_of(mine.get("/labs", params={"customerId": somebody.customer, "limit": 10}))
    assert shown["biomarkers"] == BIOMARKERS
    told = data_of(mine.get("/events", params={"customerId": somebody.customer}))
    assert {each["data"]["labResultId"] for each in told if each["type"] == "lab_parsed"} == {lab["id"]}

    patient = f"Patient/{graph_site.patient_of(somebody)}"
    [report] = shows("DiagnosticReport", subject=patient)
    observations = shows("Observation", subject=patient)
    assert {each["valueQuantity"]["value"] for each in observations} == {650, 28}
    assert {each["reference"] for each in report["result"]} == {f"Observation/{each['id']}" for each in observations}
    assert [each["id"] for each in shows("Observation", subject=patient, code="http://loinc.org|2986-8")]
    before = report["status"]

    data_of(staff.patch(f"/labs/{lab['id']}", json={"status": "reviewed"}))
    [reviewed] = shows("DiagnosticReport", subject=patient)
    assert (before, reviewed["status"]) == ("preliminary", "final")


def test_what_an_emr_corrects_shows_among_the_biomarkers(
    graph_site: GraphSite, staff: httpx.Client, emr: httpx.Client, somebody: Person, shows: Shows
) -> None:
    sent = {"customerId": somebody.customer, "labDate": "2026-03-15", "biomarkers": BIOMARKERS}
    lab = data_of(staff.post("/labs", json=sent), 201)
    patient = f"Patient/{graph_site.patient_of(somebody)}"
    [observation] = [each for each in shows("Observation", subject=patient) if each["valueQuantity"]["value"] == 28]
    body = emr.get(f"/Observation/{observation['id']}").content.replace(b'"value":28', b'"value":31.50')
    changed = emr.put(f"/Observation/{observation['id']}", content=body)
    assert changed.status_code == 200, changed.text
    found = staff.get(f"/labs/{lab['id']}")
    marker = msgspec.json.Decoder(float_hook=Decimal).decode(found.content)["data"]["biomarkers"]["vitamin_d"]
    assert str(marker["value"]) == "31.50"
