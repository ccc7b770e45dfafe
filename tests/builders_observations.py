"""Row strategies of wearable readings, daily statistics and lab results, and the homes of what they refer to."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from mappers.codes.biomarkers import BIOMARKERS
from mappers.codes.metrics import METRICS
from mappers.device import DEVICE_TABLE, device_key
from mappers.identity import row_resource_id
from mappers.lookups import Home
from mappers.rows import LabResult, WearableDailyStat, WearableReading
from tests.builders_values import (
    CUSTOMERS,
    ORGANIZATION,
    days,
    decimals,
    ids,
    instants,
    json_objects,
    json_values,
    maybe,
    numbers,
    texts,
)

SOURCES = ("oura_api", "dexcom_api", "apple_health", "manual", "fhir", "https://feed.example/a", "日 本")
DEVICE_TYPES = (None, "oura", "dexcom", "  ")
DEVICE_IDS = (None, "oura_0", "dexcom/7")

DEVICES = {
    f"Device/{row_resource_id(DEVICE_TABLE, key)}": Home(DEVICE_TABLE, key)
    for key in itertools.starmap(device_key, itertools.product(CUSTOMERS, SOURCES, DEVICE_TYPES, DEVICE_IDS))
}
PATIENTS = {f"Patient/{row_resource_id('customer_profiles', key)}": Home("customer_profiles", key) for key in CUSTOMERS}
TIME_ZONES = {CUSTOMERS[0]: "America/Los_Angeles", CUSTOMERS[1]: "Asia/Kolkata", CUSTOMERS[2]: "no such place"}

data_types = st.one_of(st.sampled_from(sorted(METRICS)), st.sampled_from(["spo2", "blood  pressure"]))
units = st.one_of(st.sampled_from(["mg/dL", "mmol/L", "bpm", "kg", "lbs", "%", "µg/dL", "ng/dl", "count", ""]), texts)

wearable_readings = st.builds(
    WearableReading,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=st.sampled_from(CUSTOMERS),
    data_type=data_types,
    value=numbers,
    unit=units,
    source=st.sampled_from(SOURCES),
    recorded_at=instants,
    device_id=st.sampled_from(DEVICE_IDS),
    device_type=st.sampled_from(DEVICE_TYPES),
    status=st.sampled_from(["final", "corrected", "entered-in-error"]),
    metadata=json_objects,
    created_at=maybe(instants),
)

daily_stats = st.builds(
    WearableDailyStat,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=st.sampled_from(CUSTOMERS),
    date=days,
    data_type=data_types,
    unit=units,
    avg_value=maybe(numbers),
    min_value=maybe(numbers),
    max_value=maybe(numbers),
    sum_value=maybe(numbers),
    count=maybe(st.integers(0, 5000)),
    metadata=st.one_of(json_objects, st.just({"timeZone": "Europe/Madrid"})),
    closed_at=maybe(instants),
    corrected=st.booleans(),
    updated_at=maybe(instants),
)

lab_numbers = st.one_of(st.integers(0, 9000), decimals)
lab_values = st.one_of(
    lab_numbers,
    lab_numbers.map(str),
    st.tuples(st.sampled_from(["<", "<=", ">", ">= "]), lab_numbers).map(lambda pair: f"{pair[0]}{pair[1]}"),
    st.sampled_from(["Non-Reactive", "9,8", "1,200", "see note", "", " 5.0 ", None, True]),
    texts,
    json_values,
)
lab_codes = st.sampled_from(["LOINC:2986-8", "2986-8x", "LOINC:2986-8x", "3016-3", "718-7", "", None, "CPT:83036"])
ranges = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "min": st.one_of(lab_numbers, lab_numbers.map(str), texts, st.none()),
            "max": lab_numbers,
            "text": texts,
            "sex": st.just("male"),
        },
    ),
)
biomarkers = st.one_of(
    st.fixed_dictionaries(
        {"value": lab_values},
        optional={
            "unit": st.one_of(st.none(), units),
            "code": lab_codes,
            "referenceRange": ranges,
            "status": st.sampled_from(["low", "normal", "HIGH", "critical_high", "abnormal", None, 3]),
            "note": maybe(texts),
            "method": texts,
        },
    ),
    lab_values,
)
biomarker_names = st.one_of(st.sampled_from([*sorted(BIOMARKERS), "Vitamina D 25-OH", "colesterol total"]), texts)
lab_dates = st.sampled_from(
    [None, "2026-03-15", "2026-02-25T08:12:00-06:00", "2026-03", "2026", "3/15/2026", "", "2026-13-01"]
)

lab_results = st.builds(
    LabResult,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=st.sampled_from(CUSTOMERS),
    status=st.sampled_from(["pending", "reviewed", "archived"]),
    biomarkers=st.dictionaries(biomarker_names, biomarkers, max_size=4),
    upload_id=maybe(texts),
    lab_date=lab_dates,
    lab_day=maybe(days),
    provider=maybe(texts),
    file_url=maybe(st.sampled_from(["https://storage.example.com/labs/1.pdf", "labs/1 2.pdf", ""])),
    notes=maybe(texts),
    reviewed_at=maybe(instants),
    reviewed_by=maybe(texts),
    metadata=maybe(json_objects),
)

OBSERVATION_ROWS: dict[str, st.SearchStrategy[Any]] = {
    "wearable_reading": wearable_readings,
    "wearable_daily_stat": daily_stats,
    "lab_biomarker": lab_results,
    "lab_report": lab_results,
}
