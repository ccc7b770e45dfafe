"""What other programs and FHIR leave among the readings: numbers and instants at the ends of what there is."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, make_url, text

from storage.telemetry.days import bounds, day_of
from tests.conftest import ORGANIZATION
from tests.graph.kit import JANE, GraphSite

INSERTED = text(
    "INSERT INTO patient_wearable_readings"
    " (organization_id, id, customer_id, data_type, value, unit, source, recorded_at, status)"
    f" VALUES ('{ORGANIZATION}', :id, '{JANE.customer}', 'glucose', :value, 'mg/dL', 'foreign', :at, 'final')"
)
ODD = ["NaN", "Infinity", "-Infinity", "1" + "0" * 1000, "0." + "0" * 500 + "1"]
EDGES = [
    ("9999-12-31T23:59:59Z", "Pacific/Kiritimati"),
    ("9999-12-31T23:59:59Z", "UTC"),
    ("0001-01-01T00:00:00Z", "America/New_York"),
    ("0001-01-01T00:00:00Z", "UTC"),
]


def reading(at: str, value: float = 95.5) -> dict[str, Any]:
    return {
        "customerId": JANE.customer,
        "dataType": "glucose",
        "value": value,
        "unit": "mg/dL",
        "source": "dexcom_api",
        "recordedAt": at,
    }


@pytest.fixture
def staff(graph_site: GraphSite) -> httpx.Client:
    return graph_site.client("STAFF")


@pytest.mark.parametrize("value", ODD, ids=["NaN", "infinity", "less", "large", "small"])
def test_a_number_that_nobody_can_compute_with_is_left_out_and_blocks_no_reading(
    graph_site: GraphSite, staff: httpx.Client, value: str
):
    day = f"2026-05-{1 + ODD.index(value):02}"
    url = make_url(graph_site.site.settings.database_url)
    if url.get_backend_name() == "sqlite":
        pytest.skip("SQLite has no such numbers")
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(INSERTED, {"id": f"odd-{day}", "value": value, "at": f"{day}T09:00:00Z"})
    engine.dispose()
    for hour, measured in (("10", 90), ("11", 100)):
        sent = staff.post("/wearables/readings", json=[reading(f"{day}T{hour}:00:00Z", measured)])
        assert sent.status_code == 200, sent.text
    asked = {"customerId": JANE.customer, "fromDate": day, "toDate": day}
    (found,) = staff.get("/wearables/daily-stats", params=asked).json()["data"]
    assert (found["count"], found["avgValue"], found["metadata"]["leftOut"]) == (2, 95, 1)
    for path, params in (("/wearables/readings", asked), (f"/profiles/{JANE.customer}/export", {})):
        answer = graph_site.client("ORG_ADMIN").get(path, params=params)
        assert answer.status_code == 200
        json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize(("at", "zone"), EDGES)
def test_readings_at_the_ends_of_time_are_taken_through_fhir(
    graph_site: GraphSite, staff: httpx.Client, at: str, zone: str
):
    assert staff.patch(f"/profiles/{JANE.customer}", json={"timezone": zone}).status_code == 200
    assert staff.post("/wearables/readings", json=[reading("2026-06-20T14:30:00Z")]).status_code == 200
    fhir = graph_site.site.client()
    asked = {"subject": f"Patient/{graph_site.patient_of(JANE)}", "date": "2026-06-20T14:30:00Z"}
    entries = fhir.get("/Observation", params=asked).json()["entry"]
    (shown,) = [each["resource"] for each in entries if "T14:30" in each["resource"].get("effectiveDateTime", "")]
    moved = fhir.put(f"/Observation/{shown['id']}", json=shown | {"effectiveDateTime": at})
    assert moved.status_code in {200, 422}, moved.text  # PostgreSQL's driver knows no last second of the year 9999
    assert fhir.put(f"/Observation/{shown['id']}", json=shown).status_code == 200


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York", "UTC"])
def test_the_first_and_the_last_day_hold_what_is_measured_on_them(zone: str):
    for day in (date.min, date.max):
        start, end = bounds(day, zone)
        assert start < end
        assert day_of(start, zone) == day
