"""Strategies for observations of the care platform, and the metric definitions that they are of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mappers.care_metrics import metrics_by_key
from mappers.care_rows import SHARED, CareObservation, MetricDefinition
from tests.builders_patients import CARE_PATIENTS
from tests.builders_programs import ENROLLMENTS
from tests.builders_values import ORGANIZATION, decimals, ids, instants, json_values, maybe, texts


def _metric(key: str, value_type: str, unit: str | None = None, **others: Any) -> MetricDefinition:
    return MetricDefinition(f"m_{key}", SHARED, key, key.title(), value_type, unit, **others)


_LOINC: dict[str, Any] = {"code_system": "LOINC", "category": "VITALS"}
DEFINITIONS: tuple[MetricDefinition, ...] = (
    _metric("bp", "composite", "mmHg", code="85354-9", normal_range={"systolic": {"max": 130}, "diastolic": [60, 80]},
            **_LOINC),
    _metric("sys", "number", "mmHg", code="8480-6", normal_range={"min": "90", "max": Decimal("120.0")}, **_LOINC),
    _metric("wt", "number", "lbs", code="29463-7", **_LOINC),
    _metric("spo2", "number", "%", code="59408-5", normal_range={"min": 95, "text": "95 or more"}, **_LOINC),
    _metric("rom", "number", "degrees", ucum="deg", category="RTM"),
    _metric("pain", "scale", None, category="PAIN", code_system="LOINC", normal_range=[0, 3]),
    _metric("mood", "categorical", None, category="sleep & mood", validation_info={"options": ["good", "ok", "a b"]}),
    _metric("exer", "boolean", None),
    _metric("note", "text", None, category="RTM"),
    _metric("knees", "composite", "degrees", category="RTM"),
    _metric("odd key ", "score", "points", category="\x01", code_system="CPT", code="99453"),
    MetricDefinition("own", ORGANIZATION, "glu_fasting", "Glucose (fasting, clinic)", "number", "mmol/L", None, "LABS"),
    MetricDefinition("8302-2", ORGANIZATION, "8302-2", "Body Height", "number", "cm", "cm", "VITALS", "LOINC",
                     "8302-2", origin="fhir"),
)  # fmt: skip

MEASUREMENT_LOOKUPS: dict[str, Any] = {
    "rows": {("metric_definitions", metric.organization_id, metric.id): metric for metric in DEFINITIONS},
    "metrics": metrics_by_key(DEFINITIONS),
}

_numbers = st.one_of(st.integers(-5, 900), decimals.map(lambda value: abs(value) if value == 0 else value))
_scalars = st.one_of(
    _numbers,
    _numbers.map(str),
    st.sampled_from(["yes", "No", "HI", "7-8", "<5.0", "ok", "a b", "128/76", " 120 / 80 ", "", None, True, False]),
    texts,
)
_coded = st.fixed_dictionaries(
    {"code": st.sampled_from(["8517006", "two words", "", 7])},
    optional={
        "system": st.sampled_from(["http://snomed.info/sct", "SNOMED", None]),
        "display": maybe(texts),
        "text": texts,
    },
)
_amounts = st.fixed_dictionaries({"value": _scalars}, optional={"unit": maybe(st.sampled_from(["/min", "mmHg", " "]))})
_members = st.dictionaries(
    st.one_of(
        st.sampled_from(["systolic", "diastolic", "pulse", "left", "http://loinc.org|8478-0", "a|b", "deviceCode"]),
        texts,
    ),
    st.one_of(_scalars, _amounts, _coded, json_values),
    max_size=3,
)
values = st.one_of(
    _scalars,
    st.fixed_dictionaries({"systolic": _scalars, "diastolic": _scalars}, optional={"pulse": _numbers}),
    _members,
    st.tuples(_amounts, _members).map(lambda both: {**both[1], **both[0]}),
    _coded,
    json_values,
)
units = maybe(st.one_of(st.sampled_from(["mmHg", "mm[Hg]", "lbs", "kg", "%", "C", "°F", "degrees", "", " "]), texts))

care_observations = st.sampled_from(DEFINITIONS).flatmap(
    lambda metric: st.builds(
        CareObservation,
        id=ids,
        organization_id=st.just(ORGANIZATION),
        patient_id=st.sampled_from(CARE_PATIENTS),
        metric_id=st.just(metric.id),
        metric_organization_id=st.just(metric.organization_id),
        value=values,
        enrollment_id=maybe(st.sampled_from(ENROLLMENTS)),
        status=st.sampled_from(["final", "corrected", "entered-in-error"]),
        unit=units,
        source=st.sampled_from(["MANUAL", "DEVICE", "API", "IMPORT"]),
        source_identifier=maybe(
            st.one_of(st.sampled_from(["omron-7741", "apple-health", "https://feed.example/a", "urn:x", "a/b"]), texts)
        ),
        context=maybe(st.sampled_from(["WELLNESS", "PROGRAM_ENROLLMENT"])),
        notes=maybe(texts),
        recorded_at=instants,
        created_at=maybe(instants),
        updated_at=maybe(instants),
    )
)

MEASUREMENT_ROWS: dict[str, st.SearchStrategy[Any]] = {"care_observation": care_observations}
