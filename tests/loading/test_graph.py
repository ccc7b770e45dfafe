"""`fhir-server load` of patient-graph JSON: tables of rows with the field names of its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.loading.conftest import CUSTOMER, READING, REPORT, Loading


async def test_rows_are_saved_and_show_in_fhir(loading: Loading):
    loading.file(
        "graph.json",
        {
            "patient_wearable_readings": [READING],
            "lab_results": [REPORT],
            "customer_profiles": [CUSTOMER],
            "identity_mappings": [
                {"id": "i1", "customerId": "c1", "identifierType": "clerk_user_id", "externalId": "user_1"}
            ],
        },
    )
    summary = await loading.load_twice()
    assert summary.refused == []
    assert {name: each.written for name, each in summary.rows.items()} == {
        "customer_profiles": 1, "identity_mappings": 1, "lab_results": 1, "patient_wearable_readings": 1,
    }  # fmt: skip
    shown = await loading.read("Patient/c1")
    assert (shown["name"][0]["family"], shown["birthDate"], shown["gender"]) == ("Müller", "1985-06-15", "female")
    assert (await loading.read("Observation/r1"))["subject"]["reference"] == "Patient/c1"
    assert (await loading.read("DiagnosticReport/l1"))["status"]


async def test_a_changed_row_is_updated_and_makes_a_new_version(loading: Loading):
    path = loading.file("graph.json", {"customer_profiles": [CUSTOMER], "patient_wearable_readings": [READING]})
    await loading.load()
    loading.file(
        "graph.json",
        {"customer_profiles": [CUSTOMER | {"lastName": "Mueller"}], "patient_wearable_readings": [READING]},
    )
    summary = await loading.load_twice(path)
    assert (summary.rows["customer_profiles"].written, summary.rows["patient_wearable_readings"].unchanged) == (1, 1)
    assert (await loading.read("Patient/c1"))["name"][0]["family"] == "Mueller"


async def test_columns_that_a_row_does_not_name_stay_as_they_are(loading: Loading):
    path = loading.file("graph.json", {"customer_profiles": [CUSTOMER]})
    await loading.load()
    loading.file("graph.json", {"customer_profiles": [{"id": "c1", "phoneNumber": "+1 212 555 0100"}]})
    await loading.load(path)
    assert await loading.sql("SELECT first_name, phone_number FROM customer_profiles") == [("Ada", "+1 212 555 0100")]


async def test_numbers_may_be_texts_and_empty_texts_no_value(loading: Loading):
    reading = READING | {"value": "97.10", "unit": "", "recordedAt": "2026-03-20T04:00:00.5+02:00"}
    loading.file(
        "graph.json", {"customer_profiles": [CUSTOMER | {"dateOfBirth": ""}], "patient_wearable_readings": [reading]}
    )
    summary = await loading.load_twice()
    assert summary.refused == []
    ((body,),) = await loading.sql("SELECT body FROM fhir_resources WHERE id = 'r1'")
    assert b"97.10" in bytes(body)
    assert "birthDate" not in await loading.read("Patient/c1")


async def test_a_report_that_was_uploaded_again_corrects_the_first_one(loading: Loading):
    again = REPORT | {"id": "l2", "labDate": "2026-03-16"}
    loading.file("graph.json", {"customer_profiles": [CUSTOMER], "lab_results": [REPORT, again]})
    summary = await loading.load_twice()
    assert (summary.rows["lab_results"].written, summary.rows["lab_results"].unchanged) == (1, 1)
    assert await loading.sql("SELECT id, lab_date FROM lab_results") == [("l1", "2026-03-16")]


GOOD = {
    "customer_profiles": CUSTOMER,
    "patient_wearable_readings": READING,
    "patient_wearable_daily_stats": {
        "id": "d1", "customerId": "c1", "date": "2026-03-08", "dataType": "glucose", "count": 1, "unit": "mg/dL",
    },
    "lab_results": REPORT,
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "customer_profiles": CUSTOMER | {"id": "bad", "externalId": "user_bad", "email": "bad@example.org"},
    "patient_wearable_readings": READING | {"id": "bad", "recordedAt": "2026-03-21T04:00:00Z"},
    "patient_wearable_daily_stats": GOOD["patient_wearable_daily_stats"] | {"id": "bad", "date": "2026-03-09"},
    "lab_results": REPORT | {"id": "bad", "uploadId": "upload_bad"},
}
"""Rows that would fit as they are."""


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("customer_profiles", {"colour": "red"}, "has no column for colour"),
        ("customer_profiles", {"organizationId": "health-hub"}, "another organization"),
        ("customer_profiles", {"dateOfBirth": "1985-02-30"}, "has to be a date"),
        ("customer_profiles", {"dateOfBirth": 1985}, "has to be a date"),
        ("customer_profiles", {"firstName": ["Ada"]}, "has to be a text"),
        ("customer_profiles", {"conditions": "hypothyroidism"}, "has to be a list of texts"),
        ("customer_profiles", {"conditions": [1]}, "has to be a list of texts"),
        ("customer_profiles", {"createdAt": "yesterday"}, "has to be a date with a time"),
        ("customer_profiles", {"biologicalSex": "purple"}, "has to be one of"),
        ("customer_profiles", {"email": None}, "needs a value"),
        ("customer_profiles", {"externalId": "user_1"}, "must be unique"),
        ("patient_wearable_readings", {"value": "high"}, "has to be a number"),
        ("patient_wearable_readings", {"value": "NaN"}, "has to be a number"),
        ("patient_wearable_readings", {"value": True}, "has to be a number"),
        ("patient_wearable_readings", {"value": [1]}, "has to be a number"),
        ("patient_wearable_readings", {"customerId": "nobody"}, "refers to is not there"),
        ("patient_wearable_readings", {"dataType": "mood"}, "has to be one of"),
        ("patient_wearable_daily_stats", {"count": "1.5"}, "has to be a whole number"),
        ("patient_wearable_daily_stats", {"count": "1E400000"}, "has to be a whole number"),
        ("lab_results", {"status": "lost"}, "has to be one of"),
    ],
)
async def test_a_row_that_does_not_fit_is_refused_with_its_reason_and_the_rest_goes_on(
    loading: Loading, table: str, row: dict[str, Any], reason: str
):
    document = {name: [each] for name, each in GOOD.items()}
    document[table] = [GOOD[table], OTHERS[table] | row]
    loading.file("graph.json", document)
    summary = await loading.load_twice()
    assert len(summary.refused) == 1, summary.refused
    (refused,) = summary.refused
    assert refused.what in {f"{table}[1]", f"{table}/bad"}
    assert reason in refused.reason
    assert summary.rows[table].refused == 1
    assert summary.written == 4


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"dragons": []}, "no such table: dragons; a resource has a resourceType"),
        ({"customer_profiles": {"id": "c1"}}, "is a list of rows"),
        ({"customer_profiles": 7}, "is a list of rows"),
        ({"customer_profiles": [7]}, "an object whose id is a text"),
        ({"customer_profiles": [{"email": "x@example.org"}]}, "an object whose id is a text"),
        ({"customer_profiles": [CUSTOMER | {"id": 7}]}, "an object whose id is a text"),
    ],
)
async def test_a_document_of_another_kind_is_refused(loading: Loading, document: Any, reason: str):
    loading.file("graph.json", document)
    assert reason in (await loading.load()).refused[0].reason
    assert await loading.sql("SELECT id FROM customer_profiles") == []


async def test_rows_that_are_loaded_are_on_record(loading: Loading):
    loading.file("graph.json", {"customer_profiles": [CUSTOMER], "patient_wearable_readings": [READING]})
    await loading.load_twice()
    rows = await loading.sql("SELECT resource, resource_ids, customer_id, action FROM rbac_logs ORDER BY resource")
    assert rows == [
        ("customer_profiles", '["c1"]', "c1", "write"),
        ("patient_wearable_readings", '["r1"]', "c1", "write"),
    ]


async def test_the_sample_graph_is_loaded_without_refusals(loading: Loading, shared: Path):
    summary = await loading.load_twice(shared / "data/graph/patient_graph.json")
    assert summary.refused == []
    assert summary.loaded == 962


async def test_a_sample_bundle_is_loaded_without_refusals(loading: Loading, shared: Path):
    folder = shared / "data/synthea"
    smallest = min(folder.glob("[0-9a-f]*.json.gz"), key=lambda path: path.stat().st_size)
    summary = await loading.load_twice(smallest)
    assert summary.refused == []
