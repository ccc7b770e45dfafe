"""Patient of the care platform (mapping.md Patient, settled §1.2, §1.4)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_patient import CARE_PATIENT
from mappers.care_practitioner import CARE_CLINICIAN
from mappers.care_rows import CareClinician, Enrollment, Patient
from mappers.json_values import Json, same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import Lookups
from mappers.registry import mappers_of_table
from mappers.residual import NOTHING
from tests.mappers.samples import bundles, care_platform_rows, examples, needs_samples, resources

RIVERBEND = "c2ewk6gzftooira8dz5g70a7u"
MRN = systems.medical_record(RIVERBEND)
CHAN = CareClinician(
    "clwbs42z4rdjtcfvcqpiclnag", RIVERBEND, "Terrence", "Chan", "tchan@riverbend.example.com", credentials="MD"
)
HAROLD = Patient(
    "cq2d48m0xrgby7vzssc13xrsj",
    RIVERBEND,
    "Harold",
    "Jenkins",
    datetime(1948, 5, 12, tzinfo=UTC),
    medical_record_number="MRN-000123",
    gender="MALE",
    email="p1.x@mail.example.com",
    phone="+15035550111",
    address="88 NE Hancock St, Portland, OR 97212",
    emergency_contact={"name": "June Jenkins", "relationship": "spouse", "phone": "503-555-0102", "priority": 1},
    insurance_info={"type": "Medicare Part B", "memberId": "1EG4-TE5-MK73"},
)
CALL = {"coding": [{"system": systems.CONTACT_ROLE, "code": "C"}]}


def known(**changes: Any) -> Lookups:
    return Lookups(organization_id=RIVERBEND, organization_name="Riverbend Cardiology & RPM", **changes)


def enrollment(key: str, clinician: str, status: str = "ACTIVE", month: int = 8) -> Enrollment:
    start = datetime(2025, month, 1, tzinfo=UTC)
    return Enrollment(key, RIVERBEND, HAROLD.id, clinician, "program", start, status)


def claimed(resource: Json, current: Patient | None = None) -> Absorbed:
    outcome = CARE_PATIENT.absorb(resource, known(), current)
    assert isinstance(outcome, Absorbed), outcome
    assert same(comparable(CARE_PATIENT.render(outcome.row, "", known(), outcome.residual)), comparable(resource))
    return outcome


def comparable(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key != "id"}


def written(**elements: Any) -> Json:
    """The least that a client may write, with more elements."""
    least = {
        "resourceType": "Patient",
        "id": "new",
        "name": [{"family": "Wu", "given": ["Mei-Ling"]}],
        "birthDate": "1983-03-03",
    }
    return {key: value for key, value in {**least, **elements}.items() if value is not None}


def changed(**elements: Any) -> Json:
    """What Harold renders, with other elements."""
    return {**CARE_PATIENT.render(HAROLD, "", known()), **elements}


def test_a_patient_shows_record_number_name_contact_and_tenant() -> None:
    shown = CARE_PATIENT.render(HAROLD, "", known())
    assert resource_issues(shown) == []
    assert shown["identifier"][0]["value"] == "MRN-000123"
    assert shown["identifier"][0]["system"] == MRN
    assert shown["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert shown["active"] is True
    assert shown["name"] == [{"use": "official", "family": "Jenkins", "given": ["Harold"]}]
    assert [each["value"] for each in shown["telecom"]] == [HAROLD.email, HAROLD.phone]
    assert (shown["gender"], shown["birthDate"]) == ("male", "1948-05-12")
    assert shown["address"] == [{"use": "home", "text": HAROLD.address}]
    assert shown["contact"][0]["name"] == {"text": "June Jenkins"}
    assert shown["contact"][0]["relationship"][1] == {"text": "spouse"}
    assert shown["contact"][0]["telecom"] == [{"system": "phone", "value": "503-555-0102"}]
    assert shown["managingOrganization"]["display"] == "Riverbend Cardiology & RPM"


def test_equal_record_numbers_of_two_organizations_have_two_systems() -> None:
    other = dataclasses.replace(HAROLD, organization_id="c5e5pscsen1661oezgp1yibjo")
    systems_of = {CARE_PATIENT.render(row, "", known())["identifier"][0]["system"] for row in (HAROLD, other)}
    assert len(systems_of) == 2


def test_a_patient_without_a_record_number_shows_the_key_until_fhir_writes() -> None:
    row = dataclasses.replace(HAROLD, medical_record_number=None)
    shown = CARE_PATIENT.render(row, "", known())
    assert shown["identifier"] == [{"system": systems.PATIENT, "value": HAROLD.id}]
    outcome = claimed({key: value for key, value in shown.items() if key not in {"identifier", "meta"}}, row)
    assert outcome.row == row


def test_only_the_organizations_own_system_fills_the_record_number() -> None:
    foreign = {"type": {"coding": [{"system": systems.IDENTIFIER_TYPE, "code": "MR"}]}, "value": "7"}
    other = {"system": systems.medical_record("another"), "value": "8"}
    own = {"system": MRN, "value": "9", "assigner": {"display": "Riverbend"}}
    assert claimed(written(identifier=[foreign, other])).row.medical_record_number is None
    assert claimed(written(identifier=[foreign, other, own])).row.medical_record_number == "9"


@pytest.mark.parametrize("birth", [None, "1983", "1983-03"])
def test_a_partial_or_missing_birth_date_is_not_claimed(birth: str | None) -> None:
    assert isinstance(CARE_PATIENT.absorb(written(birthDate=birth), known()), NotClaimed)


@pytest.mark.parametrize("name", [None, [{"text": "Mei-Ling Wu"}], [{"family": "Wu"}]])
def test_a_patient_without_family_or_given_name_is_not_claimed(name: Json) -> None:
    assert isinstance(CARE_PATIENT.absorb(written(name=name), known()), NotClaimed)


def test_a_birth_date_is_midnight_in_utc_and_an_unchanged_one_keeps_its_time() -> None:
    assert claimed(written()).row.date_of_birth == datetime(1983, 3, 3, tzinfo=UTC)
    noon = dataclasses.replace(HAROLD, date_of_birth=datetime(1948, 5, 12, 12, tzinfo=UTC))
    assert claimed(changed(gender="other"), noon).row.date_of_birth == noon.date_of_birth


def test_a_patient_is_active_unless_the_writer_says_otherwise() -> None:
    assert claimed(written()).row.is_active
    assert not claimed(written(active=False)).row.is_active
    inactive = dataclasses.replace(HAROLD, is_active=False)
    silent = {key: value for key, value in changed().items() if key != "active"}
    assert not claimed(silent, inactive).row.is_active


def test_a_gender_of_unknown_is_a_value_of_the_column() -> None:
    assert claimed(written(gender="unknown")).row.gender == "UNKNOWN"
    nameless = dataclasses.replace(HAROLD, gender=None)
    assert CARE_PATIENT.render(nameless, "", known())["gender"] == "unknown"
    assert claimed(changed(gender="unknown"), nameless).row.gender is None


def test_a_structured_address_fills_the_column_and_comes_back_as_written() -> None:
    home = {"line": ["1 Elm St", "Apt 2"], "city": "Salem", "state": "OR", "postalCode": "97301", "country": "US"}
    outcome = claimed(written(address=[{"use": "work", "text": "office"}, home]))
    assert outcome.row.address == "1 Elm St, Apt 2, Salem, OR 97301, US"
    moved = dataclasses.replace(outcome.row, address="14 Oak")
    shown = CARE_PATIENT.render(moved, "", known(), outcome.residual)["address"]
    assert shown == [{"use": "work", "text": "office"}, {"use": "home", "text": "14 Oak"}]


def test_an_address_of_the_past_does_not_fill_the_column() -> None:
    past = {"use": "home", "text": "1 Elm St", "period": {"end": "2001"}}
    assert claimed(written(address=[past])).row.address is None


def test_the_contact_for_emergencies_fills_the_column_and_other_members_stay() -> None:
    contact = {
        "relationship": [CALL, {"text": "daughter"}],
        "name": {"family": "Jenkins", "given": ["Ann"]},
        "telecom": [{"system": "phone", "value": "1", "use": "old"}, {"system": "email", "value": "ann@example.com"}],
    }
    outcome = claimed(changed(contact=[contact]), HAROLD)
    assert outcome.row.emergency_contact == {
        "name": "Ann Jenkins",
        "relationship": "daughter",
        "email": "ann@example.com",
        "priority": 1,
    }


def test_a_dropped_contact_leaves_what_fhir_never_showed() -> None:
    without = {key: value for key, value in changed().items() if key != "contact"}
    assert claimed(without, HAROLD).row.emergency_contact == {"priority": 1}


def test_a_next_of_kin_is_no_contact_for_emergencies() -> None:
    kin = {
        "relationship": [{"coding": [{"system": systems.CONTACT_ROLE, "code": "N"}]}],
        "name": {"text": "Ann"},
    }
    outcome = claimed(changed(contact=[kin]), HAROLD)
    assert outcome.row.emergency_contact == {"priority": 1}


@pytest.mark.parametrize("value", ["June, 503-555-0102", ["June"], 7, {"relationship": "son"}, {"name": " "}, {}])
def test_a_contact_of_another_shape_stays_internal(value: Json) -> None:
    row = dataclasses.replace(HAROLD, emergency_contact=value)
    shown = CARE_PATIENT.render(row, "", known())
    assert "contact" not in shown
    assert claimed({**shown, "gender": "other"}, row).row.emergency_contact == value


def test_the_clinicians_of_active_enrollments_are_general_practitioners() -> None:
    row = dataclasses.replace(
        HAROLD,
        enrollments=(
            enrollment("late", "other", month=9),
            enrollment("early", CHAN.id),
            enrollment("again", CHAN.id, month=10),
            enrollment("past", "third", "COMPLETED"),
        ),
    )
    seen = known(rows={("clinicians", RIVERBEND, CHAN.id): CHAN})
    assert CARE_PATIENT.render(row, "", seen)["generalPractitioner"] == [
        {"reference": f"Practitioner/{CHAN.id}", "display": "Terrence Chan, MD"},
        {"reference": "Practitioner/other"},
    ]


def test_an_update_keeps_columns_that_fhir_never_shows() -> None:
    row = dataclasses.replace(HAROLD, enrollments=(enrollment("early", CHAN.id),))
    resource = {**CARE_PATIENT.render(row, "", known()), "birthDate": "1948-05-13"}
    moved = dataclasses.replace(row, date_of_birth=datetime(1948, 5, 13, tzinfo=UTC))
    assert claimed(resource, row) == Absorbed(moved, NOTHING)


def test_a_clinician_in_charge_is_not_written_through_the_patient() -> None:
    row = dataclasses.replace(HAROLD, enrollments=(enrollment("early", CHAN.id),))
    resource = {**CARE_PATIENT.render(row, "", known()), "generalPractitioner": [{"reference": "Practitioner/x"}]}
    outcome = claimed(resource, row)
    assert outcome.row == row


@needs_samples
def test_every_sample_patient_is_valid_and_survives() -> None:
    rows = care_platform_rows()
    clinicians = {("clinicians", each.organization_id, each.id): each for each in rows["clinicians"]}
    for row in rows["patients"]:
        here = Lookups(organization_id=row.organization_id, rows=clinicians)
        shown = CARE_PATIENT.render(row, "", here)
        assert resource_issues(shown) == []
        assert CARE_PATIENT.absorb(shown, here, row) == Absorbed(row, NOTHING)
        for mapper in mappers_of_table("patients"):
            for part in mapper.parts(row, here):
                assert resource_issues(mapper.render(row, part, here)) == []
    for clinician in rows["clinicians"]:
        assert resource_issues(CARE_CLINICIAN.render(clinician)) == []


@needs_samples
def test_every_synthea_patient_is_claimed_and_comes_back_as_written() -> None:
    patients = [each for path in bundles() for each in resources(path) if each["resourceType"] == "Patient"]
    for patient in patients:
        row = claimed({key: value for key, value in patient.items() if key != "meta"}).row
        assert row.address is not None
    assert patients


@needs_samples
def test_an_official_example_is_claimed_or_lacks_what_a_row_needs() -> None:
    found = [each for path in examples() for each in resources(path) if each["resourceType"] == "Patient"]
    outcomes = [CARE_PATIENT.absorb(each, known()) for each in found]
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, NotClaimed)}
    assert any(isinstance(outcome, Absorbed) for outcome in outcomes)
    assert all("is needed for patients." in reason for reason in reasons)
