"""Readings: listed, and taken in volume, once whatever is sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from storage.tables.patient_graph import patient_wearable_daily_stats, patient_wearable_readings
from tests.graph.kit import ABSENT, JANE, JOHN, GraphSite

Graph = Callable[..., httpx.Client]


def reading(**more: object) -> dict[str, Any]:
    return {
        "customerId": JANE.customer,
        "dataType": "hrv",
        "value": 41.5,
        "unit": "ms",
        "source": "oura",
        "recordedAt": "2026-03-05T10:00:00Z",
        **more,
    }


def counts(answer: httpx.Response) -> dict[str, int]:
    assert answer.status_code == 200, answer.text
    found: dict[str, int] = answer.json()["data"]
    return found


def test_readings_are_listed_newest_first_and_by_metric_and_time(graph: Graph) -> None:
    staff = graph("STAFF")
    days = [f"2026-02-{day:02}T12:00:00Z" for day in (1, 2, 3)]
    counts(
        staff.post("/wearables/readings", json=[reading(dataType="steps", unit="steps", recordedAt=at) for at in days])
    )
    asked = {"customerId": JANE.customer, "dataType": "steps"}
    found = staff.get("/wearables/readings", params=asked).json()
    assert [each["recordedAt"] for each in found["data"]] == days[::-1]
    assert found["pagination"]["total"] == 3
    between = staff.get(
        "/wearables/readings", params={**asked, "fromDate": "2026-02-02", "toDate": "2026-02-02"}
    ).json()
    assert [each["recordedAt"] for each in between["data"]] == [days[1]]
    exact = staff.get("/wearables/readings", params={**asked, "toDate": days[0]}).json()
    assert [each["recordedAt"] for each in exact["data"]] == [days[0]]


def test_a_reading_is_in_fhir_and_in_its_day_when_it_is_answered(graph: Graph, graph_site: GraphSite) -> None:
    at = "2026-03-06T10:00:00Z"
    answer = graph("STAFF").post("/wearables/readings", json={"readings": [reading(recordedAt=at, value=50)]})
    assert counts(answer) == {"received": 1, "created": 1, "corrected": 0, "unchanged": 0}
    with graph_site.site.client() as fhir:
        patient = graph_site.patient_of(JANE)
        found = fhir.get("/Observation", params={"patient": patient, "date": ["ge2026-03-06", "lt2026-03-07"]}).json()
    values = [each["resource"].get("valueQuantity", {}).get("value") for each in found["entry"]]
    assert values.count(50) == 2  # the reading, and the mean of its day


def test_what_is_sent_again_changes_nothing(graph: Graph) -> None:
    staff, sent = graph("STAFF"), [reading(recordedAt=f"2026-03-07T10:0{n}:00Z") for n in range(5)]
    assert counts(staff.post("/wearables/readings", json=sent))["created"] == 5
    again = counts(staff.post("/wearables/readings", json=sent))
    assert again == {"received": 5, "created": 0, "corrected": 0, "unchanged": 5}


def test_the_same_key_with_another_value_corrects(graph: Graph) -> None:
    staff = graph("STAFF")
    at = "2026-03-08T10:00:00Z"
    counts(staff.post("/wearables/readings", json=[reading(sourceKey="k1", recordedAt=at, value=40)]))
    moved = reading(sourceKey="k1", recordedAt="2026-03-08T10:00:30Z", value=42)
    assert counts(staff.post("/wearables/readings", json=[moved]))["corrected"] == 1
    asked = {"customerId": JANE.customer, "dataType": "hrv", "fromDate": "2026-03-08", "toDate": "2026-03-08"}
    (found,) = staff.get("/wearables/readings", params=asked).json()["data"]
    assert (found["value"], found["status"], found["recordedAt"]) == (42, "corrected", "2026-03-08T10:00:30Z")
    (day,) = staff.get("/wearables/daily-stats", params=asked).json()["data"]
    assert (day["count"], day["avgValue"]) == (1, 42)


def test_one_that_should_not_have_been_there_leaves_its_day(graph: Graph) -> None:
    staff = graph("STAFF")
    sent = [reading(recordedAt="2026-03-09T10:00:00Z", value=10), reading(recordedAt="2026-03-09T11:00:00Z", value=20)]
    counts(staff.post("/wearables/readings", json=sent))
    asked = {"customerId": JANE.customer, "dataType": "hrv", "fromDate": "2026-03-09", "toDate": "2026-03-09"}
    counts(staff.post("/wearables/readings", json=[{**sent[0], "status": "entered-in-error"}]))
    (day,) = staff.get("/wearables/daily-stats", params=asked).json()["data"]
    assert (day["count"], day["minValue"], day["maxValue"]) == (1, 20, 20)
    assert counts(staff.post("/wearables/readings", json=sent))["unchanged"] == 2  # sent again it does not come back
    counts(staff.post("/wearables/readings", json=[{**sent[1], "status": "entered-in-error"}]))
    assert staff.get("/wearables/daily-stats", params=asked).json()["data"] == []


def test_all_are_taken_or_none_and_the_answer_names_the_one_that_is_wrong(graph: Graph, graph_site: GraphSite) -> None:
    staff = graph("STAFF")
    good = reading(recordedAt="2026-03-10T10:00:00Z")
    for wrong, place in (
        ({"dataType": "mood"}, ["readings", 1, "dataType"]),
        ({"value": "41"}, ["readings", 1, "value"]),
        ({"value": True}, ["readings", 1, "value"]),
        ({"recordedAt": "1710958200"}, ["readings", 1, "recordedAt"]),
        ({"recordedAt": "0001-01-01T00:00:00Z"}, ["readings", 1, "recordedAt"]),
        ({"unit": ""}, ["readings", 1, "unit"]),
        ({"customerId": ABSENT}, ["readings", 1, "customerId"]),
        ({"typo": 1}, ["readings", 1, "typo"]),
    ):
        answer = staff.post("/wearables/readings", json={"readings": [good, {**good, **wrong}]})
        assert answer.status_code == 400, wrong
        error = answer.json()["error"]
        assert error["code"] == "VALIDATION_ERROR"
        assert [issue["path"] for issue in error["details"]["issues"]] == [place]
    columns = patient_wearable_readings.c
    assert not [
        row
        for row in graph_site.rows(columns.recorded_at.table.select())
        if str(row["recorded_at"])[:10] == "2026-03-10"
    ]


def test_a_request_takes_ten_thousand_readings_at_most_and_one_at_least(graph: Graph) -> None:
    staff = graph("STAFF")
    for number in (0, 10_001):
        assert staff.post("/wearables/readings", json=[reading()] * number).status_code == 400


def test_of_two_of_one_key_in_a_request_the_later_one_stands(graph: Graph) -> None:
    staff, at = graph("STAFF"), "2026-03-11T10:00:00Z"
    sent = [reading(recordedAt=at, value=1), reading(recordedAt=at, value=2), reading(recordedAt=at, value=2)]
    answer = counts(staff.post("/wearables/readings", json=sent))
    assert answer == {"received": 3, "created": 1, "corrected": 1, "unchanged": 1}
    asked = {"customerId": JANE.customer, "dataType": "hrv", "fromDate": "2026-03-11", "toDate": "2026-03-11"}
    (found,) = staff.get("/wearables/readings", params=asked).json()["data"]
    assert (found["value"], found["status"]) == (2, "corrected")


def test_one_request_may_be_about_several_customers_and_is_on_record_for_each(
    graph: Graph, graph_site: GraphSite
) -> None:
    sent = [reading(recordedAt="2026-03-12T10:00:00Z", customerId=who.customer) for who in (JOHN, JANE)]
    answer = graph("STAFF").post("/wearables/readings", json=sent)
    assert counts(answer)["created"] == 2
    record = graph_site.audit_of(answer)
    assert (record["resource"], record["action"], record["outcome"]) == ("lab_results", "write", "allowed")
    assert record["patients"] == f'["{JANE.customer}","{JOHN.customer}"]'
    assert record["count"] == 2


@pytest.mark.parametrize("role", ["PATIENT", "CLINICIAN", "SUPPORT"])
def test_who_may_only_read_laboratory_results_cannot_send_readings(graph: Graph, role: str) -> None:
    client = graph(role, customer=JANE) if role == "PATIENT" else graph(role)
    assert client.post("/wearables/readings", json=[reading()]).status_code == 403


def test_who_is_bound_to_a_customer_sends_readings_of_nobody_else(graph: Graph) -> None:
    bound = graph("STAFF", scope="patient/*.cruds", patient=JANE)
    assert bound.post("/wearables/readings", json=[reading(recordedAt="2026-03-13T10:00:00Z")]).status_code == 200
    mixed = [reading(), reading(customerId=JOHN.customer)]
    foreign = bound.post("/wearables/readings", json=mixed)
    absent = bound.post("/wearables/readings", json=[reading(), reading(customerId=ABSENT)])
    assert (foreign.status_code, foreign.content) == (403, absent.content)


def test_a_day_is_one_in_the_time_zone_of_the_profile(graph: Graph, graph_site: GraphSite) -> None:
    staff = graph("STAFF")
    staff.patch(f"/profiles/{JOHN.customer}", json={"timezone": "America/New_York"}).raise_for_status()
    # Clocks went forward on 8 March 2026: that day is from 05:00 UTC to 04:00 UTC.
    times = ("2026-03-08T04:59:59Z", "2026-03-08T05:00:00Z", "2026-03-09T03:59:59Z", "2026-03-09T04:00:00Z")
    sent = [reading(customerId=JOHN.customer, dataType="weight", unit="kg", recordedAt=at) for at in times]
    counts(staff.post("/wearables/readings", json=sent))
    asked = {"customerId": JOHN.customer, "dataType": "weight"}
    found = staff.get("/wearables/daily-stats", params=asked).json()["data"]
    assert [(day["date"], day["count"]) for day in found] == [("2026-03-09", 1), ("2026-03-08", 2), ("2026-03-07", 1)]
    rows = graph_site.rows(
        patient_wearable_daily_stats.select().where(patient_wearable_daily_stats.c.data_type == "weight")
    )
    assert {row["metadata"]["timeZone"] for row in rows} == {"America/New_York"}


def test_a_day_of_several_units_is_converted_to_the_one_of_most_readings(graph: Graph) -> None:
    sent = [
        reading(
            customerId=JOHN.customer, dataType="glucose", unit=unit, value=value, recordedAt=f"2026-04-01T1{n}:00:00Z"
        )
        for n, (unit, value) in enumerate((("mmol/L", 5), ("mg/dL", 100), ("mg/dL", 90), ("spoons", 1)))
    ]
    staff = graph("STAFF")
    counts(staff.post("/wearables/readings", json=sent))
    asked = {"customerId": JOHN.customer, "dataType": "glucose", "fromDate": "2026-04-01", "toDate": "2026-04-01"}
    (day,) = staff.get("/wearables/daily-stats", params=asked).json()["data"]
    assert (day["unit"], day["count"], day["minValue"], day["maxValue"]) == ("mg/dL", 3, 90, 100)
    assert day["sumValue"] == pytest.approx(280.078)
    assert day["metadata"]["leftOut"] == 1
