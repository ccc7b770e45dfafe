"""Clinicians, diagnoses, consents and insurance of the care platform (mapping.md "Outside the four")."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_condition import CARE_CONDITION
from mappers.care_practitioner import CARE_CLINICIAN, clinician_words, is_npi
from mappers.care_rows import CareClinician, Patient, PatientCondition, PatientConsent
from mappers.consent import CONSENT
from mappers.coverage import COVERAGE, INSURANCE
from mappers.json_values import Json
from mappers.lens import NotClaimed
from mappers.lookups import NO_LOOKUPS
from mappers.organization import TENANT
from mappers.rows import Organization

RIVERBEND = "c2ewk6gzftooira8dz5g70a7u"
HAROLD = "cq2d48m0xrgby7vzssc13xrsj"
CHAN = CareClinician(
    "clwbs42z4rdjtcfvcqpiclnag",
    RIVERBEND,
    "Terrence",
    "Chan",
    "tchan@riverbend.example.com",
    specialization="Cardiology",
    license_number="OR-MD-44120",
    npi_number="1234567893",
    credentials="MD, PhD",
)
GRANTED = datetime(2025, 8, 1, 9, tzinfo=UTC)
REVOKED = datetime(2025, 9, 1, 9, tzinfo=UTC)


# ---- clinicians ------------------------------------------------------------------------------------------------------


def test_a_clinician_shows_identifiers_name_and_qualifications() -> None:
    shown = CARE_CLINICIAN.render(CHAN)
    assert resource_issues(shown) == []
    assert [(each["system"], each["value"]) for each in shown["identifier"]] == [
        (systems.CLINICIAN, CHAN.id),
        (systems.NPI, "1234567893"),
        (systems.CLINICIAN_LICENSE, "OR-MD-44120"),
    ]
    assert shown["name"] == [{"use": "official", "family": "Chan", "given": ["Terrence"], "suffix": ["MD", "PhD"]}]
    assert [each["code"]["coding"][0]["code"] for each in shown["qualification"]] == ["MD", "PHD"]
    assert shown["telecom"] == [{"system": "email", "use": "work", "value": CHAN.email}]
    assert shown["active"] is True


@pytest.mark.parametrize(
    ("text", "valid"),
    [("1234567893", True), ("9999900019", False), ("1234567890", False), ("12345678930", False), ("", False)],
)
def test_an_npi_has_ten_digits_and_a_check_digit(text: str, valid: bool) -> None:
    assert is_npi(text) is valid


def test_what_is_no_npi_does_not_claim_to_be_one() -> None:
    shown = CARE_CLINICIAN.render(dataclasses.replace(CHAN, npi_number="12345678930"))
    assert {"system": systems.NPI_AS_WRITTEN, "value": "12345678930"} in shown["identifier"]
    assert all(each["system"] != systems.NPI for each in shown["identifier"])


def test_a_credential_without_a_code_keeps_its_words() -> None:
    shown = CARE_CLINICIAN.render(dataclasses.replace(CHAN, credentials="PT"))
    assert shown["qualification"] == [{"code": {"text": "PT"}}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({}, "Terrence Chan, MD, PhD"), ({"credentials": None, "first_name": ""}, "Chan"),
     ({"first_name": " ", "last_name": ""}, None)],
)  # fmt: skip
def test_a_reference_to_a_clinician_shows_the_name_where_there_is_one(changes: Any, words: str | None) -> None:
    assert clinician_words(dataclasses.replace(CHAN, **changes)) == words
    assert clinician_words(None) is None


# ---- diagnoses -------------------------------------------------------------------------------------------------------


def diagnosis(**columns: Any) -> PatientCondition:
    return PatientCondition("c1", RIVERBEND, HAROLD, **columns)


def test_a_diagnosis_shows_its_codes_onset_and_state() -> None:
    row = diagnosis(icd10="i10", snomed="38341003", label="Hypertension", onset_date=date(2020, 1, 2))
    shown = CARE_CONDITION.render(row)
    assert resource_issues(shown) == []
    assert shown["code"] == {
        "coding": [{"system": systems.ICD_10_CM, "code": "I10"}, {"system": systems.SNOMED, "code": "38341003"}],
        "text": "Hypertension",
    }
    assert shown["onsetDateTime"] == "2020-01-02"
    assert shown["clinicalStatus"]["coding"][0]["code"] == "active"
    assert shown["subject"] == {"reference": f"Patient/{HAROLD}"}


def test_words_in_a_code_column_are_no_code() -> None:
    assert CARE_CONDITION.render(diagnosis(icd10="knee pain"))["code"] == {"text": "knee pain"}


def test_a_diagnosis_that_says_nothing_has_an_unknown_code() -> None:
    shown = CARE_CONDITION.render(diagnosis())
    assert shown["code"] == {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}


@pytest.mark.parametrize(
    ("status", "clinical", "verification"),
    [
        ("RESOLVED", "resolved", None),
        ("in-active", None, None),
        ("Remission", "remission", None),
        ("entered-in-error", None, "entered-in-error"),
        ("chronic", None, None),
    ],
)
def test_a_status_is_shown_where_fhir_has_it_and_never_guessed(
    status: str, clinical: str | None, verification: str | None
) -> None:
    shown = CARE_CONDITION.render(diagnosis(status=status, label="x"))
    assert resource_issues(shown) == []
    assert code_of(shown.get("clinicalStatus")) == clinical
    assert code_of(shown.get("verificationStatus")) == verification


def code_of(concept: Json) -> str | None:
    return concept["coding"][0]["code"] if concept else None


# ---- consents --------------------------------------------------------------------------------------------------------


def consent(consent_type: str = "TREATMENT", **columns: Any) -> PatientConsent:
    return PatientConsent("k1", RIVERBEND, HAROLD, consent_type, **columns)


@pytest.mark.parametrize(
    ("columns", "status", "provision"),
    [
        ({"granted_at": GRANTED}, "active", {"period": {"start": "2025-08-01T09:00:00Z"}}),
        (
            {"granted_at": GRANTED, "revoked_at": REVOKED},
            "inactive",
            {"period": {"start": "2025-08-01T09:00:00Z", "end": "2025-09-01T09:00:00Z"}},
        ),
        ({"granted_at": REVOKED, "revoked_at": GRANTED}, "inactive", {"period": {"start": "2025-09-01T09:00:00Z"}}),
        ({}, "proposed", None),
    ],
)
def test_a_consent_is_active_from_when_it_is_given_until_it_is_revoked(
    columns: Any, status: str, provision: Json
) -> None:
    shown = CONSENT.render(consent(**columns))
    assert resource_issues(shown) == []
    assert (shown["status"], shown.get("provision")) == (status, provision)


@pytest.mark.parametrize(
    ("consent_type", "scope"),
    [
        ("TREATMENT", "treatment"),
        ("data sharing", "patient-privacy"),
        ("BILLING", None),
    ],
)
def test_a_consent_has_the_scope_that_hl7_knows_and_no_other(consent_type: str, scope: str | None) -> None:
    shown = CONSENT.render(consent(consent_type, granted_at=GRANTED))
    assert resource_issues(shown) == []
    assert shown["scope"].get("text", code_of(shown["scope"]) if scope else None) == (scope or consent_type)
    assert shown["category"][1]["text"] == consent_type


# ---- insurance -------------------------------------------------------------------------------------------------------


def insured(info: Json) -> Patient:
    born = datetime(1948, 5, 12, tzinfo=UTC)
    return Patient(HAROLD, RIVERBEND, "Harold", "Jenkins", born, insurance_info=info)


@pytest.mark.parametrize("info", [None, {}, [], "Medicare", {"type": " "}, {"plan": "gold"}, {"type": 7}])
def test_insurance_that_says_nothing_known_gives_no_coverage(info: Json) -> None:
    assert COVERAGE.parts(insured(info)) == ()


def test_coverage_shows_type_payer_and_member() -> None:
    shown = COVERAGE.render(
        insured({"type": "Medicare Advantage", "payer": "Providence", "memberId": "PVD-8812"}), INSURANCE
    )
    assert resource_issues(shown) == []
    assert shown["type"] == {"text": "Medicare Advantage"}
    assert shown["payor"] == [{"display": "Providence"}]
    assert shown["subscriberId"] == "PVD-8812"
    assert shown["beneficiary"] == {"reference": f"Patient/{HAROLD}"}


def test_nobody_is_named_as_payor_who_is_not_in_the_row() -> None:
    shown = COVERAGE.render(insured({"type": "Medicare Part B"}), INSURANCE)
    assert resource_issues(shown) == []
    assert shown["payor"] == [{"extension": [systems.data_absent()]}]


def test_a_patient_who_pays_alone_is_the_payor() -> None:
    shown = COVERAGE.render(insured({"type": "Self pay"}), INSURANCE)
    assert resource_issues(shown) == []
    assert shown["type"]["coding"][0]["code"] == "pay"
    assert shown["payor"] == [shown["beneficiary"]]


@pytest.mark.parametrize(
    ("mapper", "row"),
    [
        (CARE_CLINICIAN, CHAN),
        (CARE_CONDITION, diagnosis(label="x")),
        (CONSENT, consent()),
        (COVERAGE, insured({"type": "Medicaid"})),
    ],
)
def test_these_are_read_only_and_name_where_they_are_written(mapper: Any, row: Any) -> None:
    part = mapper.parts(row)[0]
    outcome = mapper.absorb(mapper.render(row, part), NO_LOOKUPS, row, part)
    assert isinstance(outcome, NotClaimed)
    assert "/care/" in outcome.reason


# ---- organizations ---------------------------------------------------------------------------------------------------


def test_a_clinic_is_a_healthcare_provider_with_a_domain() -> None:
    shown = TENANT.render(Organization(RIVERBEND, "Riverbend Cardiology & RPM", type="CLINIC", domain="riverbend"))
    assert resource_issues(shown) == []
    assert code_of(shown["type"][0]) == "prov"
    assert shown["type"][0]["text"] == "CLINIC"
    assert {"system": systems.ORGANIZATION_DOMAIN, "value": "riverbend"} in shown["identifier"]


def test_an_organization_of_another_type_keeps_its_words() -> None:
    assert TENANT.render(Organization("x", "X", type="PAYER"))["type"] == [{"text": "PAYER"}]
