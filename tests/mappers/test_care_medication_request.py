"""MedicationRequest ⇄ patient_medications of the care platform (mapping.md MedicationRequest)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_medication_request import CARE_MEDICATION
from mappers.care_rows import PatientMedication
from mappers.json_values import same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import Home, Lookups
from mappers.residual import NOTHING
from mappers.timing import timing_text
from tests.builders_patients import CARE_CLINICIANS, CARE_PATIENTS, AnyClinician
from tests.builders_programs import CARE_HOMES, ENROLLMENTS, PROGRAM_ROWS
from tests.builders_values import ORGANIZATION
from tests.mappers.samples import bundles, care_platform_rows, examples, needs_samples, resources

CHAN = {"reference": f"Practitioner/{CARE_CLINICIANS[0]}", "display": "Terrence Chan, MD"}
HAROLD = {"reference": f"Patient/{CARE_PATIENTS[0]}"}
LOOKUPS = Lookups(organization_id=ORGANIZATION, homes=CARE_HOMES, rows=AnyClinician(PROGRAM_ROWS))
LISINOPRIL = PatientMedication(
    id="c38tkdku2ljgvs0ikh8vh1tku",
    organization_id=ORGANIZATION,
    patient_id=CARE_PATIENTS[0],
    drug_name="lisinopril",
    dosage="20mg",
    frequency="once daily",
    route="oral",
    start_date=date(2025, 3, 1),
    end_date=date(2025, 9, 1),
    prescriber_id=CARE_CLINICIANS[0],
    rx_norm_code="314077",
    notes="added after call",
    enrollment_id=ENROLLMENTS[0],
    quantity="30 tablets",
    refills="3",
)
REPORTED = PatientMedication("m2", ORGANIZATION, CARE_PATIENTS[0], "Metformin ER", notes="patient reported")


def request(**changes: Any) -> dict[str, Any]:
    """A request that the table can hold."""
    written = {
        "resourceType": "MedicationRequest",
        "id": "rx-1",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Lisinopril"},
        "subject": HAROLD,
        "requester": CHAN,
    }
    return {key: value for key, value in {**written, **changes}.items() if value is not None}


def claimed(written: dict[str, Any], current: PatientMedication | None = None) -> PatientMedication:
    """The row of a resource that is claimed; rendered, it is what was written, and written again it changes nothing."""
    outcome = CARE_MEDICATION.absorb(written, LOOKUPS, current)
    assert isinstance(outcome, Absorbed), outcome
    assert same(CARE_MEDICATION.render(outcome.row, "", LOOKUPS, outcome.residual), written)
    assert CARE_MEDICATION.absorb(written, LOOKUPS, outcome.row) == outcome
    row: PatientMedication = outcome.row
    return row


def instruction(row: PatientMedication) -> dict[str, Any]:
    (shown,) = CARE_MEDICATION.render(row, "", LOOKUPS)["dosageInstruction"]
    return shown  # type: ignore[no-any-return]


# ---- rows to resources -----------------------------------------------------------------------------------------------


def test_a_prescribed_medication_shows_every_element_of_the_table() -> None:
    shown = CARE_MEDICATION.render(LISINOPRIL, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert shown == {
        "resourceType": "MedicationRequest",
        "id": LISINOPRIL.id,
        "meta": {"profile": [f"{systems.US_CORE}us-core-medicationrequest"]},
        "status": "active",
        "intent": "order",
        "requester": CHAN,
        "medicationCodeableConcept": {
            "coding": [{"system": systems.RXNORM, "code": "314077"}],
            "text": "lisinopril",
        },
        "subject": HAROLD,
        "basedOn": [{"reference": f"CarePlan/{ENROLLMENTS[0]}"}],
        "authoredOn": "2025-03-01",
        "dosageInstruction": [
            {
                "text": "20mg oral once daily",
                "timing": {
                    "repeat": {"frequency": 1, "period": 1, "periodUnit": "d"},
                    "code": {"text": "once daily"},
                },
                "route": {"text": "oral"},
                "doseAndRate": [
                    {"doseQuantity": {"value": 20, "unit": "mg", "system": systems.UCUM, "code": "mg"}},
                ],
            }
        ],
        "dispenseRequest": {
            "numberOfRepeatsAllowed": 3,
            "quantity": {"value": 30, "unit": "tablets"},
            "validityPeriod": {"end": "2025-09-01"},
        },
        "note": [{"text": "added after call"}],
    }


def test_what_nobody_prescribed_is_a_plan_that_was_reported() -> None:
    shown = CARE_MEDICATION.render(REPORTED, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert (shown["intent"], shown["reportedBoolean"]) == ("plan", True)
    assert not {"dosageInstruction", "authoredOn", "dispenseRequest"} & set(shown)
    unknown = {"extension": [systems.data_absent()]}
    assert (shown["requester"], shown["_authoredOn"]) == (unknown, unknown)


@pytest.mark.parametrize(
    ("row_status", "code"),
    [
        ("ACTIVE", "active"),
        ("PAUSED", "on-hold"),
        ("COMPLETED", "completed"),
        ("DISCONTINUED", "stopped"),
        ("ENTERED_IN_ERROR", "entered-in-error"),
    ],
)
def test_a_status_has_one_code_and_a_code_one_status(row_status: str, code: str) -> None:
    shown = CARE_MEDICATION.render(replace(LISINOPRIL, status=row_status), "", LOOKUPS)
    assert shown["status"] == code
    assert claimed({**shown, "status": code}, LISINOPRIL).status == row_status
    assert claimed(request(status=code)).status == row_status


def test_a_frequency_is_a_timing_where_it_is_one_and_said_in_words_where_not() -> None:
    repeats = {"BID": (2, 1, "d"), "QD": (1, 1, "d"), "every 8 hours": (1, 8, "h"), "2x/week": (2, 1, "wk")}
    for words, (frequency, period, unit) in repeats.items():
        timing = instruction(replace(LISINOPRIL, frequency=words))["timing"]
        assert timing["repeat"] == {"frequency": frequency, "period": period, "periodUnit": unit}
    assert instruction(replace(LISINOPRIL, frequency="q6h prn pain"))["timing"] == {"code": {"text": "q6h prn pain"}}


def test_as_needed_is_said_both_ways() -> None:
    shown = instruction(replace(LISINOPRIL, as_needed=True))
    assert (shown["asNeededBoolean"], shown["text"]) == (True, "20mg oral once daily as needed")
    assert instruction(replace(LISINOPRIL, as_needed=False))["asNeededBoolean"] is False
    assert "asNeededBoolean" not in instruction(LISINOPRIL)


def test_a_name_without_a_code_gets_the_one_that_the_table_knows() -> None:
    known = CARE_MEDICATION.render(replace(LISINOPRIL, rx_norm_code=None), "", LOOKUPS)["medicationCodeableConcept"]
    assert known["coding"] == [{"system": systems.RXNORM, "code": "29046", "display": "lisinopril"}]
    odd = CARE_MEDICATION.render(replace(REPORTED, rx_norm_code="ask  Ann"), "", LOOKUPS)
    assert odd["medicationCodeableConcept"] == {"text": "Metformin ER"}


def test_a_blank_name_is_shown_as_unknown() -> None:
    shown = CARE_MEDICATION.render(replace(REPORTED, drug_name=" "), "", LOOKUPS)
    assert shown["medicationCodeableConcept"]["coding"][0]["code"] == "unknown"


# ---- resources to rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "draft"}, "status"),
        ({"status": "cancelled"}, "status"),
        ({"status": "unknown"}, "status"),
        ({"intent": "proposal"}, "intent"),
        ({"intent": "original-order"}, "intent"),
        ({"doNotPerform": True}, "doNotPerform"),
        ({"subject": {"reference": "Patient/customer"}}, "patients"),
        ({"subject": {"display": "Harold"}}, "patients"),
        ({"medicationCodeableConcept": None, "medicationReference": {"reference": "#m"}}, "medication"),
        ({"medicationCodeableConcept": {"coding": [{"code": "x"}]}}, "names no medication"),
    ],
)
def test_a_request_is_not_claimed_when_the_table_cannot_hold_it(changes: dict[str, Any], reason: str) -> None:
    outcome = CARE_MEDICATION.absorb(request(**changes), LOOKUPS)
    assert isinstance(outcome, NotClaimed)
    assert reason in outcome.reason


def test_a_claimed_request_fills_the_row() -> None:
    row = claimed(
        request(
            authoredOn="2025-09-18T10:00:00+02:00",
            basedOn=[{"reference": "ServiceRequest/s"}, {"reference": f"CarePlan/{ENROLLMENTS[0]}"}],
            medicationCodeableConcept={
                "coding": [
                    {"system": "http://hl7.org/fhir/sid/ndc", "code": "1"},
                    {"system": systems.RXNORM, "code": "197361", "display": "amlodipine 5 MG Oral Tablet"},
                ]
            },
            dispenseRequest={
                "validityPeriod": {"start": "2025-09-18", "end": "2025-12"},
                "numberOfRepeatsAllowed": 2,
                "quantity": {"value": Decimal("30.0")},
            },
            note=[{"text": "a"}, {"text": "b"}],
        )
    )
    assert (row.prescriber_id, row.enrollment_id) == (CARE_CLINICIANS[0], ENROLLMENTS[0])
    assert (row.drug_name, row.rx_norm_code) == ("amlodipine 5 MG Oral Tablet", "197361")
    assert (row.start_date, row.end_date) == (date(2025, 9, 18), None), "a partial date fills no column"
    assert (row.quantity, row.refills, row.notes) == (Decimal("30.0"), 2, "a\n\nb")


@pytest.mark.parametrize(
    ("changes", "prescriber"),
    [
        ({"intent": "order"}, CARE_CLINICIANS[0]),
        ({"intent": "plan"}, None),
        ({"requester": {"reference": "Practitioner/stranger"}}, None),
        ({"requester": None, "intent": "plan", "reportedBoolean": True}, None),
        ({"reportedReference": {"reference": "RelatedPerson/r"}}, CARE_CLINICIANS[0]),
    ],
)
def test_only_an_order_of_a_clinician_has_a_prescriber(changes: dict[str, Any], prescriber: str | None) -> None:
    assert claimed(request(**changes)).prescriber_id == prescriber


def test_the_enrollment_is_the_same_patients_or_none() -> None:
    plans = [{"reference": f"CarePlan/{ENROLLMENTS[2]}"}]
    assert claimed(request(basedOn=plans)).enrollment_id is None
    assert (
        claimed(request(basedOn=[*plans, {"reference": f"CarePlan/{ENROLLMENTS[0]}"}])).enrollment_id == ENROLLMENTS[0]
    )


def test_a_medication_does_not_move_to_another_patient() -> None:
    other = {"reference": next(key for key, home in CARE_HOMES.items() if home.key == CARE_PATIENTS[1])}
    moved = {**CARE_MEDICATION.render(LISINOPRIL, "", LOOKUPS), "subject": other}
    outcome = CARE_MEDICATION.absorb(moved, LOOKUPS, LISINOPRIL)
    assert isinstance(outcome, NotClaimed)
    assert "another patient" in outcome.reason


def test_an_order_that_loses_its_prescriber_behind_fhir_shows_as_reported() -> None:
    written = request(reasonCode=[{"text": "Hypertension"}])
    outcome = CARE_MEDICATION.absorb(written, LOOKUPS)
    assert isinstance(outcome, Absorbed)
    shown = CARE_MEDICATION.render(replace(outcome.row, prescriber_id=None), "", LOOKUPS, outcome.residual)
    assert (shown["intent"], shown["reportedBoolean"], shown["reasonCode"]) == ("plan", True, written["reasonCode"])
    assert "requester" not in shown


# ---- dosage ----------------------------------------------------------------------------------------------------------

DOSE = {"doseAndRate": [{"doseQuantity": {"value": Decimal("1.0"), "unit": "tablet"}}]}
DAILY = {"timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}}


@pytest.mark.parametrize(
    ("dosage", "columns"),
    [
        ([{"text": "Take with food"}], ("Take with food", None, None, None)),
        ([DOSE | DAILY], ("1.0 tablet", None, "daily", None)),
        ([{"text": "1.0 tablet daily"} | DOSE | DAILY], ("1.0 tablet", None, "daily", None)),
        ([{"text": "One in the morning"} | DOSE | DAILY], ("1.0 tablet", None, "daily", None)),
        ([{"text": "1.0 tablet at night"} | DOSE], ("1.0 tablet at night", None, None, None)),
        ([{"text": "at night"} | DOSE], ("1.0 tablet; at night", None, None, None)),
        ([DOSE | {"patientInstruction": "with food"}], ("1.0 tablet; with food", None, None, None)),
        ([DOSE | {"additionalInstruction": [{"text": "no milk"}]}], ("1.0 tablet; no milk", None, None, None)),
        ([{"asNeededBoolean": True, "sequence": 1}], (None, None, None, True)),
        ([{"asNeededCodeableConcept": {"text": "pain"}}], (None, None, None, True)),
        ([{"route": {"coding": [{"code": "26643006", "display": "Oral route"}]}}], (None, "Oral route", None, None)),
        ([DOSE | DAILY, {"text": "at night two"}], ("1.0 tablet daily; at night two", None, None, None)),
        ([{"doseAndRate": [{"doseRange": {"low": {"value": 1}}}]}], (None, None, None, None)),
    ],
)  # fmt: skip
def test_a_written_dosage_fills_the_columns(dosage: list[dict[str, Any]], columns: tuple[Any, ...]) -> None:
    row = claimed(request(dosageInstruction=dosage))
    assert (row.dosage, row.route, row.frequency, row.as_needed) == columns


def test_a_changed_part_changes_its_column_though_the_text_was_left_as_it_was() -> None:
    shown = CARE_MEDICATION.render(LISINOPRIL, "", LOOKUPS)
    before = instruction(LISINOPRIL)
    more = {**before, "doseAndRate": [{"doseQuantity": {"value": 40, "unit": "mg"}}]}
    assert claimed({**shown, "dosageInstruction": [more]}, LISINOPRIL) == replace(LISINOPRIL, dosage="40 mg")
    often = {**before, "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}}
    assert claimed({**shown, "dosageInstruction": [often]}, LISINOPRIL) == replace(LISINOPRIL, frequency="bid")
    by_vein = {**before, "route": {"text": "IV"}}
    assert claimed({**shown, "dosageInstruction": [by_vein]}, LISINOPRIL) == replace(LISINOPRIL, route="IV")


def test_a_dosage_that_is_dropped_empties_its_columns() -> None:
    without = {
        key: value
        for key, value in CARE_MEDICATION.render(LISINOPRIL, "", LOOKUPS).items()
        if key != "dosageInstruction"
    }
    assert claimed(without, LISINOPRIL) == replace(LISINOPRIL, dosage=None, route=None, frequency=None)


@pytest.mark.parametrize(
    ("repeat", "words"),
    [
        ({"frequency": 1, "period": 6, "periodUnit": "h"}, "every 6 hours"),
        ({"frequency": 3, "period": Decimal("1.0"), "periodUnit": "wk"}, "3x/week"),
        ({"frequency": 2, "period": 8, "periodUnit": "h"}, "2x every 8 hours"),
        ({"frequency": 1, "period": 1, "periodUnit": "d", "count": 3}, None),
        ({"when": ["PC"]}, None),
    ],
)
def test_a_timing_without_words_is_told_in_words(repeat: dict[str, Any], words: str | None) -> None:
    assert timing_text({"repeat": repeat}) == words


# ---- sample data -----------------------------------------------------------------------------------------------------


@needs_samples
def test_every_sample_medication_is_valid_and_comes_back() -> None:
    rows = care_platform_rows()
    clinicians = {("clinicians", ORGANIZATION, each.id): each for each in rows["clinicians"]}
    for row in rows["patient_medications"]:
        homes = {f"Patient/{row.patient_id}": Home("patients", row.patient_id)}
        lookups = Lookups(organization_id=ORGANIZATION, homes=homes, rows=clinicians)
        shown = CARE_MEDICATION.render(row, "", lookups)
        assert resource_issues(shown) == []
        assert CARE_MEDICATION.absorb(shown, lookups, row) == Absorbed(row, NOTHING)
        assert (shown["intent"] == "order") is (row.prescriber_id is not None)


class AnyPatient(dict[str, Home]):
    """Every reference to a Patient leads to a row of `patients`."""

    def get(self, key: str, default: Any = None) -> Any:
        if key.startswith(("Patient/", "urn:uuid:")):
            return Home("patients", CARE_PATIENTS[0])
        return dict.get(self, key, default)


def offered(resource: dict[str, Any]) -> Absorbed | NotClaimed:
    known = replace(LOOKUPS, homes=AnyPatient(CARE_HOMES))
    outcome = CARE_MEDICATION.absorb(resource, known)
    if isinstance(outcome, Absorbed):
        assert same(CARE_MEDICATION.render(outcome.row, "", known, outcome.residual), resource)
    return outcome


@needs_samples
def test_every_synthea_request_is_claimed_and_comes_back_as_written() -> None:
    found = [one for path in bundles() for one in resources(path) if one["resourceType"] == "MedicationRequest"]
    rows = [outcome.row for outcome in map(offered, found) if isinstance(outcome, Absorbed)]
    assert len(rows) == len(found) > 0
    assert Counter(row.status for row in rows) == {"DISCONTINUED": 596, "ACTIVE": 214}
    assert all(row.rx_norm_code and row.start_date for row in rows)
    dosed = [one for one in found if "doseAndRate" in one.get("dosageInstruction", [{}])[0]]
    assert sum(row.dosage is not None and row.frequency is not None for row in rows) == len(dosed)


@needs_samples
def test_official_requests_come_back_as_written_or_say_why_they_are_not_claimed() -> None:
    found = [one for path in examples() for one in resources(path) if one["resourceType"] == "MedicationRequest"]
    outcomes = [offered(one) for one in found]
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, NotClaimed)}
    assert any(isinstance(outcome, Absorbed) for outcome in outcomes)
    assert all(any(word in reason for word in ("medicationCodeableConcept", "intent", "status")) for reason in reasons)
