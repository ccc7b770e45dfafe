"""Observation ⇄ observations of the care platform (mapping.md Observation, settled §1.1, §1.8, §1.13, §2.2)."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_metrics import metrics_by_key, new_metric
from mappers.care_observation import CARE_OBSERVATION, source_from, source_of
from mappers.care_rows import SHARED, CareObservation, Enrollment, MetricDefinition
from mappers.json_values import Json, decode, encode, same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import METRIC, Home, Lookups, Need
from mappers.residual import NOTHING, Residual
from tests.laws.test_mapping_laws import comparable
from tests.mappers.samples import bundles, care_platform_rows, examples, needs_samples, resources

ORGANIZATION = "riverbend"
PATIENT = "harold"
SYSTOLIC = {"coding": [{"system": systems.LOINC, "code": "8480-6", "display": "Systolic blood pressure"}]}
DIASTOLIC = {"coding": [{"system": systems.LOINC, "code": "8462-4", "display": "Diastolic blood pressure"}]}
MMHG = {"unit": "mmHg", "system": systems.UCUM, "code": "mm[Hg]"}
BP = MetricDefinition(
    "bp", SHARED, "bp", "Blood Pressure", "composite", "mmHg", None, "VITALS", "LOINC", "85354-9",
    normal_range={"systolic": {"min": 90, "max": 130}},
)  # fmt: skip
METRICS = (
    BP,
    MetricDefinition("hr", SHARED, "hr", "Heart Rate", "number", "bpm", None, "VITALS", "LOINC", "8867-4"),
    MetricDefinition("wt", SHARED, "wt", "Weight", "number", "lbs", None, "VITALS", "LOINC", "29463-7"),
    MetricDefinition("spo2", SHARED, "spo2", "Oxygen Saturation", "number", "%", None, "VITALS", "LOINC", "59408-5"),
    MetricDefinition(
        "glu", SHARED, "glu", "Blood Glucose", "number", "mg/dL", None, "LABS", "LOINC", "2339-0",
        normal_range={"min": 70, "max": Decimal("99.0"), "text": "70 to 99, fasting"},
    ),
    MetricDefinition("pain", SHARED, "pain", "Pain Level (0-10)", "scale", None, None, "PAIN", "LOINC"),
    MetricDefinition(
        "mood", SHARED, "mood", "Mood", "categorical", category="BEHAVIORAL",
        validation_info={"options": ["good", "ok", "bad"]},
    ),
    MetricDefinition("exer", SHARED, "exer", "Home exercise done", "boolean", category="RTM"),
    MetricDefinition("note", SHARED, "note", "Symptom text", "text", category="RTM"),
    MetricDefinition("rom", SHARED, "rom", "Knee flexion ROM", "number", "degrees", "deg", "RTM"),
    MetricDefinition("own", ORGANIZATION, "hr", "Heart rate at home", "number", "bpm", None, "VITALS", "LOINC",
                     "8867-4"),
)  # fmt: skip
RECORDED = datetime(2025, 9, 16, 15, 47, 0, 946000, tzinfo=UTC)
STARTED = datetime(2025, 8, 1, tzinfo=UTC)


def known(metrics: tuple[MetricDefinition, ...] = METRICS) -> Lookups:
    """What the server looks up for the patient's observations."""
    plans = [
        Enrollment("rpm", ORGANIZATION, PATIENT, "chan", "program", STARTED),
        Enrollment("other", ORGANIZATION, "rosa", "chan", "program", STARTED),
    ]
    return Lookups(
        organization_id=ORGANIZATION,
        homes={
            "Patient/harold": Home("patients", PATIENT),
            "Patient/customer": Home("customer_profiles", "customer"),
            **{f"CarePlan/{plan.id}": Home("enrollments", plan.id) for plan in plans},
        },
        rows={
            **{("metric_definitions", metric.organization_id, metric.id): metric for metric in metrics},
            **{("enrollments", ORGANIZATION, plan.id): plan for plan in plans},
        },
        metrics=metrics_by_key(metrics),
    )


def row(metric: str, value: Json, unit: str | None = None, **columns: Any) -> CareObservation:
    given = {"recorded_at": RECORDED, "metric_organization_id": SHARED, **columns}
    return CareObservation("o1", ORGANIZATION, PATIENT, metric, value, unit=unit, **given)


def shown(metric: str, value: Json, unit: str | None = None, **columns: Any) -> Json:
    """What a row renders; every rendering is valid and leads back to its row."""
    source = row(metric, value, unit, **columns)
    rendered = CARE_OBSERVATION.render(source, "", known())
    assert resource_issues(rendered) == []
    assert CARE_OBSERVATION.absorb(rendered, known(), source) == Absorbed(source, NOTHING)
    return rendered


def written(code: str, system: str = systems.LOINC, /, **elements: Any) -> Json:
    """An Observation as a client writes it."""
    least = {
        "resourceType": "Observation",
        "id": "new",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/harold"},
        "effectiveDateTime": "2025-09-16T08:30:00-07:00",
    }
    return {key: value for key, value in {**least, **elements}.items() if value is not None}


def claimed(resource: Json, current: CareObservation | None = None, lookups: Lookups | None = None) -> Absorbed:
    lookups = lookups or known()
    outcome = CARE_OBSERVATION.absorb(resource, lookups, current)
    assert isinstance(outcome, Absorbed), outcome
    stored = Residual.from_json(decode(encode(outcome.residual.to_json())))
    assert same(comparable(CARE_OBSERVATION.render(outcome.row, "", lookups, stored)), comparable(resource))
    return outcome


def refused(resource: Json, current: CareObservation | None = None) -> str:
    outcome = CARE_OBSERVATION.absorb(resource, known(), current)
    assert isinstance(outcome, NotClaimed), outcome
    return outcome.reason


def quantity(value: Json, /, **members: Any) -> Json:
    return {"value": value, **members}


def component(code: Json, value: Json, /, **members: Any) -> Json:
    return {"code": code, "valueQuantity": {"value": value, **members}}


# ---- a row shown ---------------------------------------------------------------------------------------------------


def test_a_blood_pressure_is_one_observation_with_two_components() -> None:
    pressure = shown("bp", {"diastolic": 85, "systolic": 153}, "mmHg", source="DEVICE", source_identifier="omron-7741")
    assert pressure["code"] == {"coding": [{"system": systems.LOINC, "code": "85354-9"}], "text": "Blood Pressure"}
    systolic, diastolic = pressure["component"]
    assert (systolic["code"], systolic["valueQuantity"]) == (SYSTOLIC, {"value": 153, **MMHG})
    assert (diastolic["code"], diastolic["valueQuantity"]) == (DIASTOLIC, {"value": 85, **MMHG})
    assert systolic["referenceRange"] == [{"low": {"value": 90, **MMHG}, "high": {"value": 130, **MMHG}}]
    assert systolic["interpretation"][0]["coding"][0]["code"] == "H"
    assert "referenceRange" not in diastolic
    base = f"{systems.FHIR_PROFILE}bp"
    assert pressure["meta"]["profile"] == [f"{systems.US_CORE}us-core-blood-pressure", base]
    assert not {"valueQuantity", "dataAbsentReason"} & set(pressure)


def test_a_blood_pressure_written_with_a_stroke_is_read() -> None:
    numbers = [item["valueQuantity"]["value"] for item in shown("bp", "128/76", "mmHg")["component"]]
    assert numbers == [128, 76]


def test_a_member_that_is_null_says_that_it_is_unknown() -> None:
    diastolic = shown("bp", {"systolic": 131, "diastolic": None}, "mmHg")["component"][1]
    assert diastolic["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_a_pulse_beside_pressures_is_not_in_millimetres_of_mercury() -> None:
    pulse = shown("bp", {"systolic": 120, "diastolic": 80, "pulse": 70}, "mmHg")["component"][2]
    assert pulse["valueQuantity"] == {"value": 70}
    own = shown("bp", {"systolic": 120, "pulse": {"value": 70, "unit": "bpm"}}, "mmHg")["component"][1]
    assert own["valueQuantity"] == {"value": 70, "unit": "bpm", "system": systems.UCUM, "code": "/min"}


def test_unknown_members_have_local_codes() -> None:
    left, right = shown("rom", {"right": 88, "left": "stiff"}, "degrees")["component"]
    assert left == {
        "code": {"coding": [{"system": systems.METRIC_MEMBER, "code": "left"}], "text": "left"},
        "valueString": "stiff",
    }
    assert right["valueQuantity"] == {"value": 88, "unit": "degrees", "system": systems.UCUM, "code": "deg"}


@pytest.mark.parametrize(
    ("metric", "value", "unit", "element", "expected"),
    [
        ("hr", 66, "bpm", "valueQuantity", {"value": 66, "unit": "bpm", "system": systems.UCUM, "code": "/min"}),
        ("hr", {"value": 66}, None, "valueQuantity", {"value": 66, "unit": "bpm", "system": systems.UCUM,
                                                      "code": "/min"}),
        ("wt", Decimal("171.30"), "kg", "valueQuantity", {"value": Decimal("171.30"), "unit": "kg",
                                                          "system": systems.UCUM, "code": "kg"}),
        ("glu", "78.0", "mg/dL", "valueQuantity", {"value": Decimal("78.0"), "unit": "mg/dL",
                                                   "system": systems.UCUM, "code": "mg/dL"}),
        ("glu", "<5", "C", "valueQuantity", {"value": 5, "comparator": "<", "unit": "C"}),
        ("spo2", Decimal("0.97"), None, "valueQuantity", {"value": Decimal("0.97")}),
        ("spo2", 97, None, "valueQuantity", {"value": 97, "unit": "%", "system": systems.UCUM, "code": "%"}),
        ("pain", 9, None, "valueQuantity", {"value": 9}),
        ("pain", "7-8", None, "valueString", "7-8"),
        ("glu", "9,8", "mg/dL", "valueString", "9,8"),
        ("note", "5", None, "valueString", "5"),
        ("exer", False, None, "valueBoolean", False),
        ("exer", "Yes", None, "valueBoolean", True),
        ("note", "yes", None, "valueString", "yes"),
        ("mood", "ok", None, "valueCodeableConcept", {
            "coding": [{"system": f"{systems.METRIC_OPTION}mood", "code": "ok"}], "text": "ok"}),
        ("mood", "so so", None, "valueCodeableConcept", {"text": "so so"}),
        ("mood", {"system": "SNOMED", "code": "1", "text": "x"}, None, "valueCodeableConcept", {
            "coding": [{"code": "1"}], "text": "x"}),
        ("mood", None, None, "dataAbsentReason", {"coding": [{"system": systems.DATA_ABSENT_CODE,
                                                              "code": "unknown"}]}),
        ("note", " ", None, "dataAbsentReason", {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}),
        ("note", [1, Decimal("2.50")], None, "valueString", "[1,2.50]"),
    ],
)  # fmt: skip
def test_a_json_value_is_shown_by_what_it_is(
    metric: str, value: Json, unit: str | None, element: str, expected: Json
) -> None:
    rendered = shown(metric, value, unit)
    assert same(rendered[element], expected)
    assert len([name for name in rendered if name.startswith("value") or name == "dataAbsentReason"]) == 1


def test_what_a_meter_says_beside_its_value_is_a_component() -> None:
    high = shown("glu", {"value": "HI", "deviceCode": ">600"}, "mg/dL")
    assert high["valueString"] == "HI"
    assert high["component"][0]["valueString"] == ">600"


@pytest.mark.parametrize(
    ("metric", "system", "code"),
    [
        ("glu", systems.OBSERVATION_CATEGORY, "laboratory"),
        ("hr", systems.OBSERVATION_CATEGORY, "vital-signs"),
        ("pain", systems.OBSERVATION_CATEGORY, "survey"),
        ("rom", systems.OBSERVATION_CATEGORY, "therapy"),
    ],
)
def test_the_category_is_the_metrics(metric: str, system: str, code: str) -> None:
    assert shown(metric, 1)["category"] == [{"coding": [{"system": system, "code": code}]}]


@pytest.mark.parametrize(
    ("columns", "coding"),
    [
        ({"code_system": "LOINC", "code": "LOINC:2986-8"}, (systems.LOINC, "2986-8")),
        ({"code_system": "LOINC", "code": "2986-7"}, (systems.METRIC, "key")),  # its check digit is wrong
        ({"code_system": None, "code": "2986-8"}, (systems.METRIC, "key")),
        ({"code_system": "CPT", "code": "99453"}, (systems.METRIC, "key")),
        ({"code_system": "urn:oid:1.2", "code": "a b"}, ("urn:oid:1.2", "a b")),
        ({"key": "  "}, None),
    ],
)
def test_a_code_that_fhir_does_not_know_is_a_local_one(columns: Any, coding: tuple[str, str] | None) -> None:
    metric = MetricDefinition(**{"id": "m", "organization_id": SHARED, "key": "key", "name": "Name",
                                 "value_type": "number", "category": "sleep", **columns})  # fmt: skip
    rendered = CARE_OBSERVATION.render(row("m", 1), "", known((metric,)))
    expected = [] if coding is None else [{"system": coding[0], "code": coding[1]}]
    assert rendered["code"] == {**({"coding": expected} if expected else {}), "text": "Name"}
    assert rendered["category"] == [{"coding": [{"system": systems.METRIC_CATEGORY, "code": "sleep"}]}]


def test_context_is_for_the_care_platform_only() -> None:
    assert same(shown("hr", 66, context="WELLNESS"), shown("hr", 66))


# ---- usual ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "flag"),
    [(188, "mg/dL", "H"), (Decimal("69.9"), None, "L"), ("99", "mg/dl", "N"), ("<5", "mg/dL", None)],
)
def test_a_value_is_held_against_the_metrics_normal_range(value: Json, unit: str | None, flag: str | None) -> None:
    rendered = shown("glu", value, unit)
    limits = rendered["referenceRange"][0]
    assert (limits["low"]["value"], str(limits["high"]["value"]), limits["text"]) == (70, "99.0", "70 to 99, fasting")
    assert limits["low"]["unit"] == rendered["valueQuantity"]["unit"]
    found = rendered.get("interpretation", [{"coding": [{"code": None}]}])
    assert found[0]["coding"][0]["code"] == flag


@pytest.mark.parametrize(("value", "unit"), [(Decimal("10.4"), "mmol/L"), ("HI", "mg/dL"), (None, "mg/dL")])
def test_what_is_in_another_unit_or_no_number_has_no_range(value: Json, unit: str) -> None:
    assert not {"referenceRange", "interpretation"} & set(shown("glu", value, unit))


def test_fhir_C1_a_range_that_a_client_left_out_stays_out() -> None:
    source = row("glu", 188, "mg/dL")
    rendered = shown("glu", 188, "mg/dL")
    bare = {name: rendered[name] for name in rendered if name not in {"referenceRange", "interpretation", "meta"}}
    outcome = claimed(bare, source)
    assert outcome.row == source
    corrected = dataclasses.replace(outcome.row, value=190)
    again = CARE_OBSERVATION.render(corrected, "", known(), outcome.residual)
    assert (again["valueQuantity"]["value"], "referenceRange" in again) == (190, False)


def test_a_range_that_the_metric_is_given_later_takes_nothing_from_what_a_client_wrote() -> None:
    metric = MetricDefinition("bmi", ORGANIZATION, "bmi", "BMI", "number", "kg/m2")
    extended = quantity(Decimal("27.60"), unit="kg/m2", extension=[{"url": "urn:x", "valueString": "seen"}])
    resource = written("bmi", systems.METRIC, valueQuantity=extended)
    outcome = claimed(resource, lookups=known((metric,)))
    later = known((dataclasses.replace(metric, normal_range={"max": 25}),))
    again = CARE_OBSERVATION.render(outcome.row, "", later, outcome.residual)
    assert same(comparable(again), comparable(resource))


# ---- written through FHIR ------------------------------------------------------------------------------------------


def test_a_blood_pressure_written_through_fhir_is_one_row() -> None:
    outcome = claimed(
        written("85354-9", component=[component(DIASTOLIC, Decimal("76.0"), **MMHG), component(SYSTOLIC, 128, **MMHG)])
    )
    assert outcome.row.metric_id == "bp"
    assert same(outcome.row.value, {"diastolic": Decimal("76.0"), "systolic": 128})
    assert outcome.row.unit == "mmHg"
    assert outcome.row.recorded_at == datetime(2025, 9, 16, 15, 30, tzinfo=UTC)


def test_a_component_in_another_unit_keeps_its_own() -> None:
    pulse = {"coding": [{"system": systems.LOINC, "code": "8867-4"}]}
    mean = {"coding": [{"system": systems.LOINC, "code": "8478-0"}]}
    outcome = claimed(
        written(
            "85354-9",
            component=[
                component(SYSTOLIC, 128, **MMHG),
                component(pulse, 71, unit="/min"),
                component(mean, 93, **MMHG),
                {"code": {"text": "Position"}, "valueString": "sitting"},
                {"code": DIASTOLIC, "dataAbsentReason": {"coding": [{"code": "error"}]}},
            ],
        )
    )
    assert outcome.row.unit == "mmHg"
    assert outcome.row.value == {
        "systolic": 128,
        "pulse": {"value": 71, "unit": "/min"},
        "http://loinc.org|8478-0": {"value": 93, "unit": "mmHg"},
        "Position": "sitting",
        "diastolic": None,
    }


@pytest.mark.parametrize(
    ("code", "elements", "metric", "value", "unit"),
    [
        ("29463-7", {"valueQuantity": quantity(Decimal("82.10"), unit="kg", system=systems.UCUM, code="kg")},
         "wt", Decimal("82.10"), "kg"),
        ("29463-7", {"valueQuantity": quantity(180, unit="pounds", system=systems.UCUM, code="[lb_av]")},
         "wt", 180, "lbs"),
        ("29463-7", {"valueQuantity": quantity(180, system=systems.UCUM, code="g")}, "wt", 180, "g"),
        ("29463-7", {"valueQuantity": quantity(Decimal("1.8E2"), unit="stone")}, "wt", 180, "stone"),
        ("29463-7", {"valueInteger": 180}, "wt", 180, None),
        ("2339-0", {"valueQuantity": quantity(Decimal("5.0"), comparator="<", unit="mg/dL")}, "glu", "<5.0", "mg/dL"),
    ],
)  # fmt: skip
def test_a_number_is_taken_digit_for_digit_with_its_unit(
    code: str, elements: Json, metric: str, value: Json, unit: str | None
) -> None:
    taken = claimed(written(code, **elements)).row
    assert (taken.metric_id, taken.metric_organization_id, taken.unit) == (metric, SHARED, unit)
    assert same(taken.value, value)


@pytest.mark.parametrize(
    ("key", "elements", "value"),
    [
        ("pain", {"valueQuantity": quantity(7)}, 7),
        ("exer", {"valueBoolean": True}, True),
        ("note", {"valueString": "Боль"}, "Боль"),
        ("mood", {"valueCodeableConcept": {"text": "so so"}}, "so so"),
        ("mood", {"valueCodeableConcept": {"coding": [{"system": f"{systems.METRIC_OPTION}mood", "code": "bad"}]}},
         "bad"),
        ("mood", {"valueCodeableConcept": {"coding": [
            {"system": systems.SNOMED, "code": "1", "display": "One", "version": "2"}], "text": "one"}},
         {"system": systems.SNOMED, "code": "1", "display": "One", "text": "one"}),
        ("exer", {"dataAbsentReason": {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "asked-declined"}]}},
         None),
    ],
)  # fmt: skip
def test_a_local_code_and_the_kind_of_value_name_the_metric(key: str, elements: Json, value: Json) -> None:
    taken = claimed(written(key, systems.METRIC, **elements)).row
    assert (taken.metric_id, same(taken.value, value)) == (key, True)


def test_the_organizations_own_metric_comes_before_a_shared_one() -> None:
    taken = claimed(written("8867-4", valueQuantity=quantity(66))).row
    assert (taken.metric_id, taken.metric_organization_id) == ("own", ORGANIZATION)
    assert claimed({**shown("hr", 66), "status": "corrected"}, row("hr", 66)).row.metric_id == "hr"


@pytest.mark.parametrize(
    "resource",
    [
        written("8867-4", valueQuantity=quantity(66), effectiveDateTime="2025-09"),
        written("8867-4", valueQuantity=quantity(66), effectiveDateTime="2025-09-16"),
        written("8867-4", valueQuantity=quantity(66), effectiveDateTime=None, effectivePeriod={"start": "2025"}),
        written("8867-4", valueQuantity=quantity(66), status="preliminary"),
        written("8867-4", valueQuantity=quantity(66), status="amended"),
        written("8867-4", valueQuantity=quantity(66), subject={"reference": "Patient/customer"}),
        written("8867-4", valueQuantity=quantity(66), subject={"reference": "Group/1"}),
        written("8867-4", valueQuantity=quantity(66), code={"text": "Heart rate"}),
        written("8867-4", valueString="66"),
        written("8867-4", valueRange={"low": {"value": 60}}),
        written("8867-4", valueQuantity={"unit": "bpm"}),
        written("8867-4"),
        written("85353-1", hasMember=[{"reference": "Observation/1"}]),
        written("85354-9", component=[component(SYSTOLIC, 1), component(SYSTOLIC, 2)]),
        written("85354-9", component=[{"code": SYSTOLIC, "valuePeriod": {"start": "2025"}}]),
        written("85354-9", component=[component({"text": "value"}, 1)]),
        written("85354-9", component=[component(SYSTOLIC, 1)], modifierExtension=[{"url": "urn:x"}]),
    ],
)
def test_never_the_nearest_value_is_taken(resource: Json) -> None:
    assert refused(resource)


def test_map_L4_a_changed_value_keeps_the_shape_of_what_did_not_change() -> None:
    text = row("glu", "78.0", "mg/dL")
    assert claimed({**shown("glu", "78.0", "mg/dL"), "status": "corrected"}, text).row.value == "78.0"
    moved = {**shown("glu", "78.0", "mg/dL"), "valueQuantity": quantity(Decimal("78.0"), unit="mmol/L")}
    assert (claimed(moved, text).row.value, claimed(moved, text).row.unit) == ("78.0", "mmol/L")
    answered = {**shown("exer", "yes"), "valueBoolean": False}
    assert claimed(answered, row("exer", "yes")).row.value is False
    pressure = shown("bp", {"systolic": "131", "diastolic": 80}, "mmHg")
    pressure["component"][1] = component(DIASTOLIC, 82, **MMHG)
    changed = claimed(pressure, row("bp", {"systolic": "131", "diastolic": 80}, "mmHg")).row
    assert (changed.value, changed.unit) == ({"systolic": "131", "diastolic": 82}, "mmHg")


def test_a_value_that_an_update_drops_stays_and_one_said_to_be_absent_goes() -> None:
    current = row("glu", 188, "mg/dL")
    rendered = {**shown("glu", 188, "mg/dL")}
    del rendered["valueQuantity"]
    assert claimed(rendered, current).row.value == 188
    error = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "error"}]}
    gone = claimed({**rendered, "dataAbsentReason": error}, current).row
    assert (gone.value, gone.unit) == (None, "mg/dL")


def test_an_update_with_the_code_of_its_metric_may_say_what_the_metric_is_not_made_for() -> None:
    current = row("glu", 188, "mg/dL")
    rendered = {**shown("glu", 188, "mg/dL"), "valueString": "HI"}
    del rendered["valueQuantity"]
    assert claimed(rendered, current).row.value == "HI"


def test_map_L4_another_writers_value_wins_over_what_fhir_said_of_the_old_one() -> None:
    error = {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "error"}]}
    outcome = claimed(written("2339-0", dataAbsentReason=error))
    assert outcome.row.value is None
    again = CARE_OBSERVATION.render(
        dataclasses.replace(outcome.row, value=101, unit="mg/dL"), "", known(), outcome.residual
    )
    assert ("dataAbsentReason" in again, again["valueQuantity"]["value"]) == (False, 101)


# ---- metric definitions --------------------------------------------------------------------------------------------


def needed(resource: Json) -> Need:
    (need,) = (need for need in CARE_OBSERVATION.needs(resource) if need.kind == METRIC)
    return need


def test_a_metric_that_nobody_defined_is_made_from_the_observation() -> None:
    resource = written(
        "39156-5",
        code={"coding": [{"system": systems.LOINC, "code": "39156-5", "display": "Body Mass Index"}], "text": "BMI"},
        category=[{"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
        valueQuantity=quantity(Decimal("27.60"), unit="kg/m2", system=systems.UCUM, code="kg/m2"),
    )
    need = needed(resource)
    assert need.value == "http://loinc.org|39156-5|number"
    made = new_metric(ORGANIZATION, need)
    assert made is not None
    assert made == new_metric(ORGANIZATION, needed({**resource, "id": "another"}))
    assert made.id != getattr(new_metric("another", need), "id", None)
    assert (made.key, made.name, made.value_type) == ("39156-5", "Body Mass Index", "number")
    assert (made.unit, made.ucum, made.category) == ("kg/m2", "kg/m2", "VITALS")
    assert (made.code_system, made.code, made.origin) == ("LOINC", "39156-5", "fhir")
    assert metrics_by_key([made])[need.value] == made
    outcome = claimed(resource, lookups=known((made,)))
    assert (outcome.row.metric_id, outcome.row.metric_organization_id) == (made.id, ORGANIZATION)


def test_a_scale_and_a_number_of_one_code_are_one_metric() -> None:
    assert needed(written("pain", systems.METRIC, valueQuantity=quantity(7))).value in known().metrics


def test_a_definition_of_the_catalogue_comes_before_one_that_an_observation_called_for() -> None:
    need = needed(written("8867-4", valueQuantity=quantity(66)))
    made = new_metric(ORGANIZATION, need)
    assert made is not None
    assert metrics_by_key((made, *METRICS))[need.value].id == "own"
    shared = [metric for metric in METRICS if metric.organization_id == SHARED]
    assert metrics_by_key((made, *shared))[need.value] == made


def test_an_observation_without_a_value_calls_for_no_definition() -> None:
    need = needed(written("8867-4", dataAbsentReason={"text": "sensor error"}))
    assert need.value == "http://loinc.org|8867-4|"
    assert new_metric(ORGANIZATION, need) is None
    assert need.value in known().metrics


def test_renaming_a_metric_rewrites_its_name_and_nothing_a_client_wrote() -> None:
    resource = written(
        "8867-4",
        code={"coding": [{"system": systems.LOINC, "code": "8867-4"}, {"system": "urn:own", "code": "p"}]},
        valueQuantity=quantity(Decimal("66.0"), unit="beats/minute"),
    )
    outcome = claimed(resource)
    renamed = known(tuple(dataclasses.replace(metric, name="Pulse", unit="1/min") for metric in METRICS))
    again = CARE_OBSERVATION.render(outcome.row, "", renamed, outcome.residual)
    assert same(comparable(again), comparable(resource))
    rendered = CARE_OBSERVATION.render(row("hr", 66, "bpm"), "", renamed)
    before = shown("hr", 66, "bpm")
    assert rendered.pop("code") == {**before.pop("code"), "text": "Pulse"}
    assert same(rendered, before)


# ---- where it comes from -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "identifier", "uri"),
    [
        ("MANUAL", None, f"{systems.SOURCE}MANUAL"),
        ("IMPORT", "labcorp feed/2", f"{systems.SOURCE}IMPORT/labcorp%20feed%2F2"),
        ("API", "apple-health", f"{systems.SOURCE}API/apple-health"),
        ("API", "https://feed.example/a", "https://feed.example/a"),
        ("API", f"{systems.SOURCE}x", f"{systems.SOURCE}API/https%3A%2F%2Ffhir-server.example%2Fsource%2Fx"),
        ("DEVICE", None, f"{systems.SOURCE}DEVICE"),
        ("MANUAL", "", f"{systems.SOURCE}MANUAL/"),
    ],
)
def test_a_source_without_a_device_is_meta_source(source: str, identifier: str | None, uri: str) -> None:
    assert source_of(source, identifier) == uri
    assert source_from(uri) == (source, identifier)
    assert shown("hr", 66, source=source, source_identifier=identifier)["meta"]["source"] == uri


def test_a_device_is_named_by_its_identifier() -> None:
    rendered = shown("hr", 66, source="DEVICE", source_identifier="omron-7741")
    assert rendered["device"]["identifier"] == {"system": systems.MEASURING_DEVICE, "value": "omron-7741"}
    assert "source" not in rendered["meta"]


@pytest.mark.parametrize(
    ("elements", "source", "identifier"),
    [
        ({}, "API", None),
        ({"meta": {"source": "https://clinic.example/feed"}}, "API", "https://clinic.example/feed"),
        ({"meta": {"source": f"{systems.SOURCE}IMPORT/x"}}, "IMPORT", "x"),
        ({"meta": {"source": f"{systems.SOURCE}oura_api"}}, "API", None),
        ({"device": {"identifier": {"value": "omron"}}, "meta": {"source": "urn:x"}}, "DEVICE", "omron"),
        ({"device": {"reference": "Device/7", "display": "Omron"}}, "DEVICE", "Device/7"),
        ({"device": {"display": "Omron"}}, "DEVICE", "Omron"),
    ],
)
def test_a_written_source_is_taken(elements: Json, source: str, identifier: str | None) -> None:
    taken = claimed(written("8867-4", valueQuantity=quantity(66), **elements)).row
    assert (taken.source, taken.source_identifier) == (source, identifier)


def test_a_source_that_an_update_drops_loses_its_identifier_only() -> None:
    current = row("hr", 66, "bpm", source="DEVICE", source_identifier="omron-7741")
    rendered = CARE_OBSERVATION.render(current, "", known())
    taken = claimed({name: rendered[name] for name in rendered if name not in {"device", "meta"}}, current).row
    assert (taken.source, taken.source_identifier) == ("DEVICE", None)


# ---- enrollment, notes ---------------------------------------------------------------------------------------------


def test_an_observation_is_based_on_the_plan_of_its_enrollment() -> None:
    assert shown("hr", 66, enrollment_id="rpm")["basedOn"] == [{"reference": "CarePlan/rpm"}]
    order, plan = {"reference": "ServiceRequest/1"}, {"reference": "CarePlan/rpm", "display": "RPM"}
    assert claimed(written("8867-4", valueQuantity=quantity(66), basedOn=[order, plan])).row.enrollment_id == "rpm"


@pytest.mark.parametrize("reference", ["CarePlan/other", "CarePlan/native", "ServiceRequest/1"])
def test_the_plan_of_another_patient_is_no_enrollment_of_this_one(reference: str) -> None:
    outcome = claimed(written("8867-4", valueQuantity=quantity(66), basedOn=[{"reference": reference}]))
    assert outcome.row.enrollment_id is None


def test_notes_are_the_words_of_all_annotations() -> None:
    assert shown("hr", 66, notes="after stairs")["note"] == [{"text": "after stairs"}]
    notes = [{"text": "at rest", "time": "2025"}, {"text": "sitting"}]
    assert claimed(written("8867-4", valueQuantity=quantity(66), note=notes)).row.notes == "at rest\n\nsitting"


# ---- sample data ---------------------------------------------------------------------------------------------------


@needs_samples
def test_every_sample_observation_survives_its_mapper() -> None:
    rows = care_platform_rows()
    metrics = [dataclasses.replace(each, organization_id=SHARED) for each in rows["metric_definitions"]]
    lookups = Lookups(
        organization_id=rows["observations"][0].organization_id,
        rows={("metric_definitions", SHARED, metric.id): metric for metric in metrics},
        homes={f"CarePlan/{plan.id}": Home("enrollments", plan.id) for plan in rows["enrollments"]},
    )
    elements: Counter[str] = Counter()
    for source in rows["observations"]:
        rendered = CARE_OBSERVATION.render(source, "", lookups)
        assert resource_issues(rendered) == []
        assert CARE_OBSERVATION.absorb(rendered, lookups, source) == Absorbed(source, NOTHING)
        elements.update(name for name in rendered if name.startswith("value") or name == "dataAbsentReason")
    assert elements == {"valueQuantity": 127, "valueBoolean": 27, "valueString": 5, "valueCodeableConcept": 1,
                        "dataAbsentReason": 1}  # fmt: skip


class Patients(dict[str, Home]):
    """Every Patient and every fullUrl is a patient of the care platform."""

    def get(self, key: str, default: Any = None) -> Any:
        return Home("patients", key.partition("/")[2] or key) if key.startswith(("Patient/", "urn:")) else default


def offered(observations: list[Json]) -> Counter[str]:
    """Offer Observations as the server does, defining the metrics that they name; what became of them."""
    metrics: dict[str, MetricDefinition] = {}
    outcomes: Counter[str] = Counter()
    for resource in observations:
        for need in CARE_OBSERVATION.needs(resource):
            made = new_metric(ORGANIZATION, need) if need.kind == METRIC else None
            if made is not None:
                metrics.setdefault(need.value, made)
        lookups = Lookups(
            organization_id=ORGANIZATION,
            homes=Patients(),
            metrics=metrics,
            rows={("metric_definitions", ORGANIZATION, metric.id): metric for metric in metrics.values()},
        )
        outcome = CARE_OBSERVATION.absorb(resource, lookups)
        outcomes["claimed" if isinstance(outcome, Absorbed) else outcome.reason] += 1
        if isinstance(outcome, Absorbed):
            stored = Residual.from_json(decode(encode(outcome.residual.to_json())))
            rendered = CARE_OBSERVATION.render(outcome.row, "", lookups, stored)
            assert same(comparable(rendered), comparable(resource))
            again = CARE_OBSERVATION.absorb(rendered, lookups, outcome.row)
            assert isinstance(again, Absorbed)
            assert again.row == outcome.row
    return outcomes


def observations_of(paths: list[Any]) -> list[Json]:
    return [item for path in paths for item in resources(path) if item["resourceType"] == "Observation"]


@needs_samples
def test_map_L1_every_observation_of_two_synthea_patients_becomes_a_row() -> None:
    outcomes = offered(observations_of(bundles()[:2]))
    assert set(outcomes) == {"claimed"}


@needs_samples
@pytest.mark.slow
def test_map_L1_every_synthea_observation_becomes_a_row() -> None:
    assert offered(observations_of(bundles())) == {"claimed": 16436}


@needs_samples
def test_map_L1_official_examples_are_taken_as_they_are_or_not_at_all() -> None:
    outcomes = offered(observations_of(examples()))
    assert outcomes["claimed"] == 6
    assert sum(outcomes.values()) == 99
