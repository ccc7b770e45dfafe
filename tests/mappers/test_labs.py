"""lab_results ⇄ Observation and DiagnosticReport (mapping.md Observation, settled §1.9, §2.2)."""

from __future__ import annotations

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from mappers import systems
from mappers.diagnostic_report import LAB_REPORT
from mappers.json_values import decode, encode, same
from mappers.lab_observation import LAB_OBSERVATION
from mappers.labs import is_loinc
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import MEMBER, REFERENCE, Need
from mappers.residual import NOTHING, Residual
from mappers.rows import LabResult
from tests.builders import CUSTOMERS, lookups

TSH = {
    "value": Decimal("5.21"), "unit": "uIU/mL", "referenceRange": {"min": Decimal("0.45"), "max": Decimal("4.5")},
    "status": "high", "code": "LOINC:3016-3", "method": "CLIA",
}  # fmt: skip
REPORT = LabResult(
    "6689bf44-ff0c-52a9-8713-7da6655e7055", "loop-health", CUSTOMERS[0], "reviewed",
    {"tsh": TSH, "vitamin_d": {"value": "22.0", "unit": "ng/mL"}}, "upload_1", "2026-03-15", date(2026, 3, 15),
    "Quest Diagnostics", "https://storage.example.com/labs/1.pdf", "recheck",
)  # fmt: skip


def of(entry: Any, key: str = "tsh") -> LabResult:
    return dataclasses.replace(REPORT, biomarkers={key: entry})


def shown(entry: Any, key: str = "tsh") -> dict[str, Any]:
    return LAB_OBSERVATION.render(of(entry, key), key, lookups())


@pytest.mark.parametrize(
    ("value", "element", "expected"),
    [
        (650, "valueQuantity", {"value": 650, "unit": "x"}),
        ("22.0", "valueQuantity", {"value": Decimal("22.0"), "unit": "x"}),
        ("<5.0", "valueQuantity", {"value": Decimal("5.0"), "comparator": "<", "unit": "x"}),
        (">= 60", "valueQuantity", {"value": 60, "comparator": ">=", "unit": "x"}),
        ("Non-Reactive", "valueString", "Non-Reactive"),
        ("9,8", "valueString", "9,8"),  # a comma may mean two things
        ("1,200", "valueString", "1,200"),
        (Decimal("1E+2000"), "valueString", "1E+2000"),  # more digits than a column keeps
        ("9" * 5000, "valueString", "9" * 5000),
        (True, "valueBoolean", True),
        (None, "dataAbsentReason", {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}),
        ("", "dataAbsentReason", {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}),
    ],
)
def test_a_value_shows_as_what_it_is(value: Any, element: str, expected: Any) -> None:
    observation = shown({"value": value, "unit": "x"})
    assert same(observation[element], expected)
    assert [name for name in observation if name.startswith(("value", "dataAbsent"))] == [element]


@pytest.mark.parametrize(
    ("key", "code", "unit", "loinc"),
    [
        ("testosterone_total", "LOINC:2986-8", "ng/dL", "2986-8"),
        ("testosterone_total", "2986-8", "ng/dL", "2986-8"),  # bare
        ("free_t3", "2986-8x", "pg/mL", "3051-0"),  # a wrong code: the table's
        ("free_t3", "LOINC:2986-7", "pg/mL", "3051-0"),  # a wrong check digit
        ("vitamin_d", None, "ng/ml", "62292-8"),
        ("vitamin_d", None, "nmol/L", None),  # the table's code is for mass
        ("colesterol total", None, "mmol/L", None),
        ("glucose_fasting", None, "mg/dL", None),  # no code is known
    ],
)
def test_a_biomarker_has_its_own_code_else_the_tables_else_a_local_one(
    key: str, code: str | None, unit: str, loinc: str | None
) -> None:
    concept = shown({"value": 1, "unit": unit, "code": code}, key)["code"]
    assert [c["code"] for c in concept["coding"] if c["system"] == systems.LOINC] == ([loinc] if loinc else [])
    assert concept["coding"][-1] == {"system": systems.BIOMARKER, "code": key}
    assert concept["text"] == key


@pytest.mark.parametrize(("code", "valid"), [("3016-3", True), ("3016-4", False), ("718-7", True), ("x", False)])
def test_a_loinc_number_has_a_check_digit(code: str, valid: bool) -> None:
    assert (is_loinc(code) is not None) is valid


@pytest.mark.parametrize(
    ("flag", "code"),
    [("low", "L"), ("normal", "N"), ("high", "H"), ("critical_low", "LL"), ("critical_high", "HH"), ("odd", None)],
)
def test_a_flag_is_an_interpretation(flag: str, code: str | None) -> None:
    found = shown({"value": 1, "status": flag}).get("interpretation")
    assert found == ([{"coding": [{"system": systems.INTERPRETATION, "code": code}]}] if code else None)


@pytest.mark.parametrize(
    ("lab_date", "lab_day", "effective"),
    [
        ("2026-03-15", date(2026, 3, 15), "2026-03-15"),
        ("2026-02-25T08:12:00-06:00", date(2026, 2, 25), "2026-02-25T08:12:00-06:00"),
        ("3/15/2026", date(2026, 3, 15), "2026-03-15"),
        ("3/15/2026", None, None),
        (None, None, None),
    ],
)
def test_the_date_is_shown_as_written_where_it_is_a_date_time(
    lab_date: str | None, lab_day: date | None, effective: str | None
) -> None:
    row = dataclasses.replace(REPORT, lab_date=lab_date, lab_day=lab_day)
    assert LAB_OBSERVATION.render(row, "tsh", lookups()).get("effectiveDateTime") == effective
    assert LAB_REPORT.render(row, "", lookups()).get("effectiveDateTime") == effective


@pytest.mark.parametrize(("status", "code"), [("pending", "preliminary"), ("reviewed", "final"), ("archived", "final")])
def test_the_status_of_a_report_is_that_of_its_results(status: str, code: str) -> None:
    row = dataclasses.replace(REPORT, status=status)
    report = LAB_REPORT.render(row, "", lookups())
    assert LAB_OBSERVATION.render(row, "tsh", lookups())["status"] == report["status"] == code
    exact = report.get("_status", {}).get("extension")
    assert exact == ([{"url": systems.EXACT_STATUS, "valueCode": "archived"}] if status == "archived" else None)


def updated(key: str = "tsh", **elements: Any) -> Absorbed | NotClaimed:
    observation = {**LAB_OBSERVATION.render(REPORT, key, lookups()), **elements}
    return LAB_OBSERVATION.absorb(observation, lookups(), REPORT)


def test_updating_one_observation_patches_that_biomarker_alone() -> None:
    outcome = updated(
        valueQuantity={"value": Decimal("4.10"), "unit": "uIU/mL", "system": systems.UCUM, "code": "u[IU]/mL"},
        interpretation=[{"coding": [{"system": systems.INTERPRETATION, "code": "N"}]}],
    )
    biomarkers = {**REPORT.biomarkers, "tsh": {**TSH, "value": Decimal("4.10"), "status": "normal"}}
    assert outcome == Absorbed(dataclasses.replace(REPORT, biomarkers=biomarkers), NOTHING)


def test_a_unit_changes_with_the_limits_in_it() -> None:
    new = {"unit": "mIU/L", "system": systems.UCUM, "code": "m[IU]/L"}
    outcome = updated(valueQuantity={"value": 5, **new}, referenceRange=[{"high": {"value": 4, **new}}])
    assert isinstance(outcome, Absorbed)
    tsh = outcome.row.biomarkers["tsh"]
    assert (tsh["value"], tsh["unit"], tsh["referenceRange"]) == (5, "mIU/L", {"max": 4})


def test_limits_in_another_unit_than_the_value_stay_out_of_the_row() -> None:
    outcome = updated(referenceRange=[{"high": {"value": 4, "unit": "mg/dL"}}])
    assert isinstance(outcome, Absorbed)
    assert "referenceRange" not in outcome.row.biomarkers["tsh"]
    read = LAB_OBSERVATION.render(outcome.row, "tsh", lookups(), outcome.residual)
    assert read["referenceRange"] == [{"high": {"value": 4, "unit": "mg/dL"}}]


def test_a_text_that_was_a_number_stays_a_text() -> None:
    outcome = updated("vitamin_d", valueQuantity={"value": Decimal("28.50"), "unit": "ng/mL"})
    assert isinstance(outcome, Absorbed)
    assert outcome.row.biomarkers["vitamin_d"]["value"] == "28.50"


def test_what_biomarkers_share_is_overridden_in_one_observation_only() -> None:
    outcome = updated(status="amended", effectiveDateTime="2026-03-16", performer=[{"display": "LabCorp"}])
    assert isinstance(outcome, Absorbed)
    assert outcome.row == REPORT
    observation = LAB_OBSERVATION.render(outcome.row, "tsh", lookups(), outcome.residual)
    assert (observation["status"], observation["effectiveDateTime"]) == ("amended", "2026-03-16")
    assert LAB_OBSERVATION.render(outcome.row, "vitamin_d", lookups())["status"] == "final"


def test_the_subject_of_a_lab_observation_may_not_change() -> None:
    outcome = updated(subject={"reference": f"Patient/{CUSTOMERS[2]}"})
    assert isinstance(outcome, NotClaimed)
    assert "entered-in-error" in outcome.reason


def test_a_laboratory_observation_alone_is_not_claimed() -> None:
    observation = LAB_OBSERVATION.render(REPORT, "tsh", lookups())
    assert isinstance(LAB_OBSERVATION.absorb(observation, lookups()), NotClaimed)


def test_a_biomarker_can_be_taken_out_of_its_report() -> None:
    assert set(LAB_OBSERVATION.without(REPORT, "tsh").biomarkers) == {"vitamin_d"}


def test_shared_columns_are_written_through_the_report() -> None:
    report = LAB_REPORT.render(REPORT, "", lookups())
    report |= {"effectiveDateTime": "2026-03", "performer": [{"display": "LabCorp"}], "conclusion": "fine"}
    outcome = LAB_REPORT.absorb(report, lookups(), REPORT)
    assert isinstance(outcome, Absorbed)
    row = outcome.row
    assert (row.lab_date, row.lab_day, row.provider, row.notes) == ("2026-03", None, "LabCorp", "fine")
    assert outcome.residual == NOTHING


# ---- a report that comes with its results (settled §1.9) ------------------------------------------------------------


def result(name: str, loinc: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "laboratory", "display": "Lab"}]}],
        "code": {"coding": [{"system": systems.LOINC, "code": loinc}], "text": name},
        "subject": {"reference": f"Patient/{CUSTOMERS[0]}"},
        "encounter": {"reference": "Encounter/e1"},
        "valueQuantity": {"value": Decimal("5.10"), "unit": "g/dL", "system": systems.UCUM, "code": "g/dL"},
        **elements,
    }


def report(*names: str) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "report1",
        "status": "final",
        "code": {"text": "Blood count"},
        "subject": {"reference": f"Patient/{CUSTOMERS[0]}"},
        "effectiveDateTime": "2015-03-09T05:05:47+00:00",
        "result": [{"reference": f"Observation/{name}", "display": name} for name in names],
    }


MEMBERS = {"Observation/hb": result("hb", "718-7"), "Observation/odd": result("odd", "21000-5")}


def test_a_report_needs_its_results_and_its_subject() -> None:
    assert LAB_REPORT.needs(report("hb")) == {
        Need(MEMBER, "Observation/hb"), Need(REFERENCE, f"Patient/{CUSTOMERS[0]}")
    }  # fmt: skip


def test_a_report_and_its_results_become_one_row_and_come_back_unchanged() -> None:
    known = lookups(members=MEMBERS)
    written = report("hb", "odd")
    outcome = LAB_REPORT.absorb(written, known)
    assert isinstance(outcome, Absorbed)
    assert outcome.row.biomarkers == {
        "hemoglobin": {"value": Decimal("5.10"), "unit": "g/dL", "code": "LOINC:718-7"},
        "odd": {"value": Decimal("5.10"), "unit": "g/dL", "code": "LOINC:21000-5"},
    }
    assert (outcome.row.status, outcome.row.lab_day) == ("reviewed", date(2015, 3, 9))
    assert same(LAB_REPORT.render(outcome.row, "", known, stored(outcome)), written)
    assert LAB_REPORT.adopts is not None
    parts = LAB_REPORT.adopts(written, known)
    assert parts == {"Observation/hb": "hemoglobin", "Observation/odd": "odd"}
    for reference, part in parts.items():
        part_outcome = LAB_OBSERVATION.absorb(MEMBERS[reference], known, outcome.row, part)
        assert isinstance(part_outcome, Absorbed)
        assert part_outcome.row == outcome.row
        read = LAB_OBSERVATION.render(outcome.row, part, known, stored(part_outcome))
        assert same({**read, "id": MEMBERS[reference]["id"]}, MEMBERS[reference])


def stored(outcome: Absorbed) -> Residual:
    return Residual.from_json(decode(encode(outcome.residual.to_json())))


@pytest.mark.parametrize(
    "members",
    [
        {"Observation/hb": MEMBERS["Observation/hb"]},  # the other one does not come with it
        {**MEMBERS, "Observation/odd": result("odd", "718-7")},  # two of one key
        {**MEMBERS, "Observation/odd": result("odd", "1-1", subject={"reference": f"Patient/{CUSTOMERS[2]}"})},
        {**MEMBERS, "Observation/odd": result("odd", "21000-5", status="entered-in-error")},
        {**MEMBERS, "Observation/odd": result("odd", "21000-5", category=[{"text": "vital signs"}])},
        {**MEMBERS, "Observation/odd": result("odd", "21000-5", component=[{"code": {"text": "a"}}])},
    ],
)
def test_a_report_whose_results_are_not_all_plain_and_with_it_is_not_claimed(members: dict[str, Any]) -> None:
    assert isinstance(LAB_REPORT.absorb(report("hb", "odd"), lookups(members=members)), NotClaimed)


def test_results_keep_their_references_when_the_database_reorders_the_biomarkers() -> None:
    known = lookups(members=MEMBERS)
    outcome = LAB_REPORT.absorb(report("odd", "hb"), known)
    assert isinstance(outcome, Absorbed)
    turned = dataclasses.replace(outcome.row, biomarkers=dict(reversed(outcome.row.biomarkers.items())))
    read = LAB_REPORT.render(turned, "", known, stored(outcome))
    assert same(read["result"], report("odd", "hb")["result"])
