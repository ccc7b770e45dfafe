"""Observation ⇄ wearable readings and daily statistics (mapping.md Observation, settled §1.3, §2.4, §3.2)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from mappers import systems
from mappers.lens import Absorbed, NotClaimed
from mappers.observation import DAILY_STATISTIC, WEARABLE_READING, day_period
from mappers.rows import WearableDailyStat, WearableReading
from tests.builders import CUSTOMERS, lookups

READING = WearableReading(
    "reading_1", "loop-health", CUSTOMERS[0], "glucose", Decimal("95.50"), "mg/dL", "dexcom_api",
    datetime(2026, 3, 20, 14, 30, tzinfo=UTC), "dexcom_789", "dexcom",
)  # fmt: skip
STEPS = WearableDailyStat(
    "stat_1", "loop-health", CUSTOMERS[0], date(2026, 3, 8), "steps", "steps", sum_value=Decimal(13846), count=1
)
KG = {"unit": "kg", "system": systems.UCUM, "code": "kg"}


def weight(**elements: Any) -> dict[str, Any]:
    """A body weight as a client writes it."""
    return {
        "resourceType": "Observation",
        "id": "w1",
        "status": "final",
        "code": {"coding": [{"system": systems.LOINC, "code": "29463-7", "display": "Body Weight"}]},
        "subject": {"reference": f"Patient/{CUSTOMERS[0]}"},
        "effectiveDateTime": "2012-02-20T05:05:47+01:00",
        "valueQuantity": {"value": Decimal("82.10"), **KG},
        **elements,
    }


def codes(row: Any, mapper: Any = WEARABLE_READING) -> list[tuple[str, str]]:
    return [(c["system"], c["code"]) for c in mapper.render(row, "", lookups())["code"]["coding"]]


def test_a_reading_keeps_the_digits_of_its_value() -> None:
    shown = WEARABLE_READING.render(READING, "", lookups())
    assert str(shown["valueQuantity"]["value"]) == "95.50"
    assert shown["valueQuantity"] == {
        "value": Decimal("95.50"), "unit": "mg/dL", "system": systems.UCUM, "code": "mg/dL"
    }  # fmt: skip
    assert shown["effectiveDateTime"] == "2026-03-20T14:30:00Z"
    assert shown["device"]["display"] == "dexcom"


@pytest.mark.parametrize(
    ("changes", "loinc"),
    [
        ({}, "99504-3"),
        ({"unit": "mmol/L"}, None),  # the code is for mass, not for moles
        ({"device_type": None, "source": "manual"}, None),  # not interstitial fluid
        ({"data_type": "hrv", "unit": "ms", "device_type": "oura", "source": "oura_api"}, None),  # RMSSD, not SDNN
        ({"data_type": "hrv", "unit": "ms", "device_type": "apple_watch"}, "80404-7"),
        ({"data_type": "steps", "unit": "steps"}, "55423-8"),  # of one reading, not of 24 hours
        ({"data_type": "calories", "unit": "kcal"}, None),
        ({"data_type": "glucose_variability", "unit": "%"}, "104638-2"),
        ({"data_type": "glucose_variability", "unit": "mg/dL"}, None),
        ({"data_type": "sleep_score", "unit": "score"}, None),
        ({"data_type": "spo2", "unit": "%"}, None),  # a metric that no table knows
    ],
)
def test_a_loinc_code_is_given_only_where_it_is_exact(changes: dict[str, Any], loinc: str | None) -> None:
    row = dataclasses.replace(READING, **changes)
    local = (systems.WEARABLE_METRIC, row.data_type)
    assert codes(row) == ([(systems.LOINC, loinc), local] if loinc else [local])


def test_a_resting_heart_rate_has_the_general_code_of_the_vital_sign_too() -> None:
    row = dataclasses.replace(READING, data_type="resting_heart_rate", unit="bpm")
    assert [code for _, code in codes(row)] == ["40443-4", "8867-4", "resting_heart_rate"]
    shown = WEARABLE_READING.render(row, "", lookups())
    assert shown["category"][0]["coding"][0]["code"] == "vital-signs"
    assert shown["valueQuantity"]["code"] == "/min"


@pytest.mark.parametrize(
    ("value", "code"), [("NaN", "not-a-number"), ("Infinity", "positive-infinity"), ("-Infinity", "negative-infinity")]
)
def test_a_number_that_is_none_shows_why(value: str, code: str) -> None:
    shown = WEARABLE_READING.render(dataclasses.replace(READING, value=Decimal(value)), "", lookups())
    assert "valueQuantity" not in shown
    assert shown["dataAbsentReason"]["coding"][0]["code"] == code


def test_a_written_weight_becomes_a_reading() -> None:
    outcome = WEARABLE_READING.absorb(weight(), lookups())
    assert isinstance(outcome, Absorbed)
    row = outcome.row
    assert (row.data_type, row.value, row.unit, row.source) == ("weight", Decimal("82.10"), "kg", "fhir")
    assert row.recorded_at == datetime(2012, 2, 20, 4, 5, 47, tzinfo=UTC)
    assert row.customer_id == CUSTOMERS[0]


@pytest.mark.parametrize(
    "elements",
    [
        {"effectiveDateTime": "2012-02-20"},  # a partial date never fills a timestamp
        {"valueQuantity": {"value": 82, "comparator": "<", **KG}},
        {"valueQuantity": {"value": 82}},  # no unit
        {"status": "preliminary"},
        {"subject": {"reference": "Group/1"}},
        {"code": {"coding": [{"system": systems.LOINC, "code": "8302-2"}]}},
        {"modifierExtension": [{"url": "https://other.example/m", "valueCode": "refuted"}]},
        {"valueQuantity": {"value": Decimal("1E4000"), **KG}},
    ],
)
def test_what_does_not_fit_a_reading_exactly_is_not_claimed(elements: dict[str, Any]) -> None:
    outcome = WEARABLE_READING.absorb(weight(**elements), lookups())
    assert isinstance(outcome, NotClaimed)
    assert outcome.reason


def test_a_value_changed_behind_fhir_takes_its_unit_and_interpretation_along() -> None:
    interpretation = [{"text": "high"}]
    written = weight(valueQuantity={"value": Decimal("1.2E2"), "unit": "kilograms"}, interpretation=interpretation)
    outcome = WEARABLE_READING.absorb(written, lookups())
    assert isinstance(outcome, Absorbed)
    assert outcome.row.value == Decimal(120)
    assert WEARABLE_READING.render(outcome.row, "", lookups(), outcome.residual)["interpretation"] == interpretation
    changed = dataclasses.replace(outcome.row, value=Decimal(80), unit="stone")
    shown = WEARABLE_READING.render(changed, "", lookups(), outcome.residual)
    assert shown["valueQuantity"] == {"value": 80, "unit": "stone"}
    assert "interpretation" not in shown


def test_a_narrative_goes_when_any_column_changes_behind_fhir() -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">82.1 kg</div>'}
    outcome = WEARABLE_READING.absorb(weight(text=text), lookups())
    assert isinstance(outcome, Absorbed)
    assert WEARABLE_READING.render(outcome.row, "", lookups(), outcome.residual)["text"] == text
    changed = dataclasses.replace(outcome.row, value=Decimal(80))
    assert "text" not in WEARABLE_READING.render(changed, "", lookups(), outcome.residual)


def test_a_value_that_an_update_takes_back_stays_in_the_column_and_out_of_fhir() -> None:
    shown = WEARABLE_READING.render(READING, "", lookups())
    reason = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "error"}]}
    del shown["valueQuantity"]
    outcome = WEARABLE_READING.absorb({**shown, "dataAbsentReason": reason}, lookups(), READING)
    assert isinstance(outcome, Absorbed)
    assert outcome.row == READING
    read = WEARABLE_READING.render(outcome.row, "", lookups(), outcome.residual)
    assert "valueQuantity" not in read
    assert read["dataAbsentReason"] == reason
    corrected = dataclasses.replace(READING, value=Decimal(90))
    read = WEARABLE_READING.render(corrected, "", lookups(), outcome.residual)
    assert "dataAbsentReason" not in read
    assert read["valueQuantity"]["value"] == 90


def test_a_reading_that_names_a_known_device_takes_its_columns() -> None:
    device = WEARABLE_READING.render(READING, "", lookups())["device"]
    outcome = WEARABLE_READING.absorb(weight(device=device), lookups(homes=WithDevice(device["reference"])))
    assert isinstance(outcome, Absorbed)
    assert (outcome.row.device_id, outcome.row.device_type, outcome.row.source) == (
        "dexcom_789",
        "dexcom",
        "dexcom_api",
    )


class WithDevice(type(lookups().homes)):  # type: ignore[misc]
    def __init__(self, reference: str) -> None:
        from mappers.device import DEVICE_TABLE, device_key
        from mappers.lookups import Home

        super().__init__()
        self[reference] = Home(DEVICE_TABLE, device_key(CUSTOMERS[0], "dexcom_api", "dexcom", "dexcom_789"))


# ---- daily statistics ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        ("America/Los_Angeles", date(2026, 3, 8), "2026-03-08T00:00:00-08:00", "2026-03-08T23:59:59.999-07:00"),
        ("Asia/Kolkata", date(2026, 3, 8), "2026-03-08T00:00:00+05:30", "2026-03-08T23:59:59.999+05:30"),
        ("no such zone", date(2026, 3, 8), "2026-03-08T00:00:00+00:00", "2026-03-08T23:59:59.999+00:00"),
        ("America/New_York", date(1800, 1, 1), "1800-01-01T00:00:00+00:00", "1800-01-01T23:59:59.999+00:00"),
    ],
)
def test_the_period_of_a_day_is_local_midnight_to_midnight(zone: str, day: date, start: str, end: str) -> None:
    assert day_period(day, zone) == {"start": start, "end": end}


def test_daily_statistics_are_components() -> None:
    row = dataclasses.replace(
        STEPS, data_type="glucose", unit="mg/dL", avg_value=Decimal("104.8"), min_value=Decimal("88.0"),
        max_value=Decimal("153.2"), sum_value=None, count=284,
    )  # fmt: skip
    shown = DAILY_STATISTIC.render(row, "", lookups())
    assert shown["valueQuantity"]["value"] == Decimal("104.8")
    found = {c["code"]["coding"][0]["code"]: c["valueQuantity"]["value"] for c in shown["component"]}
    assert found == {
        "average": Decimal("104.8"), "minimum": Decimal("88.0"), "maximum": Decimal("153.2"), "count": 284
    }  # fmt: skip
    assert codes(row, DAILY_STATISTIC)[0] == (systems.LOINC, "99504-3")


def test_cumulative_statistics_have_a_sum_and_no_average() -> None:
    shown = DAILY_STATISTIC.render(STEPS, "", lookups())
    assert "valueQuantity" not in shown
    assert "dataAbsentReason" not in shown
    assert codes(STEPS, DAILY_STATISTIC)[0] == (systems.LOINC, "41950-7")


@pytest.mark.parametrize(
    ("closed", "corrected", "status"),
    [(False, False, "preliminary"), (True, False, "final"), (True, True, "corrected")],
)
def test_an_open_day_is_preliminary_and_late_data_corrects_a_closed_one(
    closed: bool, corrected: bool, status: str
) -> None:
    closed_at = datetime(2026, 3, 9, 10, tzinfo=UTC) if closed else None
    row = dataclasses.replace(STEPS, closed_at=closed_at, corrected=corrected)
    assert DAILY_STATISTIC.render(row, "", lookups())["status"] == status


def test_a_written_daily_statistic_becomes_a_row_of_that_day() -> None:
    resource = {**DAILY_STATISTIC.render(STEPS, "", lookups()), "status": "final"}
    outcome = DAILY_STATISTIC.absorb(resource, lookups())
    assert isinstance(outcome, Absorbed)
    assert (outcome.row.date, outcome.row.sum_value, outcome.row.count, outcome.row.unit) == (
        date(2026, 3, 8), 13846, 1, "steps"
    )  # fmt: skip


@pytest.mark.parametrize(
    "period",
    [
        {"start": "2026-03-08", "end": "2026-03-08"},
        {"start": "2026-03-08T00:00:00Z", "end": "2026-03-08T23:59:59Z"},  # not the customer's day
        {"start": "2026-03-08T00:00:00-08:00", "end": "2026-03-09T23:59:59-07:00"},
    ],
)
def test_a_period_that_is_not_one_day_of_the_customer_is_not_claimed(period: dict[str, str]) -> None:
    resource = {**DAILY_STATISTIC.render(STEPS, "", lookups()), "effectivePeriod": period}
    assert isinstance(DAILY_STATISTIC.absorb(resource, lookups()), NotClaimed)
