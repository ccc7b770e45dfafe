"""Resources of text arrays, devices, clinicians and tenants (mapping.md "Outside the four", settled §1.10)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.allergy_intolerance import ALLERGY_INTOLERANCE
from mappers.condition import CONDITION
from mappers.device import DEVICE_TABLE, WEARABLE, device_columns, device_key
from mappers.lens import NotClaimed
from mappers.lookups import NO_LOOKUPS
from mappers.medication_names import known_code
from mappers.medication_statement import MEDICATION_STATEMENT
from mappers.organization import TENANT
from mappers.practitioner import CLINICIAN
from mappers.rows import CustomerProfile, Organization, TreatmentClinician, WearableDevice
from tests.graph_samples import sample_rows

CUSTOMER = "46416154-6565-532d-9584-05bbb662ff86"


def profile(**columns: Any) -> CustomerProfile:
    """A customer with text arrays."""
    return CustomerProfile(CUSTOMER, "loop-health", "user_1", "jane@example.com", **columns)


# ---- text arrays -----------------------------------------------------------------------------------------------------


def test_blank_entries_and_missing_arrays_give_nothing() -> None:
    assert CONDITION.parts(profile(conditions=("", " "))) == ()
    assert CONDITION.parts(profile(conditions=None)) == ()


def test_an_entry_keeps_its_id_when_its_neighbours_change_and_its_case_too() -> None:
    before, after = profile(conditions=("PCOS", "HTN")), profile(conditions=("htn", "gout", "pcos"))
    ids = {
        CONDITION.render(before, part)["code"]["text"]: CONDITION.resource_id(before, part)
        for part in ("pcos#1", "htn#1")
    }
    assert CONDITION.parts(after) == ("htn#1", "gout#1", "pcos#1")
    assert CONDITION.resource_id(after, "pcos#1") == ids["PCOS"]
    assert CONDITION.resource_id(after, "htn#1") == ids["HTN"]


def test_the_same_text_twice_gives_two_resources() -> None:
    row = profile(allergies=("Sulfa", "sulfa  "))
    parts = ALLERGY_INTOLERANCE.parts(row)
    assert len({ALLERGY_INTOLERANCE.resource_id(row, part) for part in parts}) == 2
    assert [ALLERGY_INTOLERANCE.render(row, part)["code"]["text"] for part in parts] == ["Sulfa", "sulfa  "]


def test_a_condition_is_active_and_unconfirmed() -> None:
    shown = CONDITION.render(profile(conditions=("pcos",)), "pcos#1")
    assert shown["clinicalStatus"]["coding"][0]["code"] == "active"
    assert shown["verificationStatus"]["coding"][0]["code"] == "unconfirmed"
    assert shown["category"][0]["coding"][0]["code"] == "problem-list-item"
    assert shown["subject"] == {"reference": f"Patient/{CUSTOMER}"}


def test_an_entry_is_read_only_and_names_the_endpoint() -> None:
    row = profile(conditions=("pcos",))
    outcome = CONDITION.absorb(CONDITION.render(row, "pcos#1"), NO_LOOKUPS, row, "pcos#1")
    assert isinstance(outcome, NotClaimed)
    assert "/graph/profiles/{id}" in outcome.reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("levothyroxine 100mcg", "10582"),
        ("metformin 500 mg BID", "6809"),
        ("furosemide 20 mg prn", "4603"),
        ("Amlodipine 5 MG Oral Tablet", "197361"),
        ("testosterone cypionate 100mg/wk", None),
        ("ATORVASTATIN CALCIUM 40 MG TABLET", None),
        ("losartan 50 mg / hydrochlorothiazide 12.5 mg", None),
        ("creatine 5g", None),
    ],
)
def test_a_medication_has_the_code_that_the_table_knows_and_no_other(text: str, code: str | None) -> None:
    known = known_code(text)
    assert (known.code if known else None) == code


@pytest.mark.parametrize("row", sample_rows("customer_profiles"), ids=lambda row: row.external_id)
def test_every_entry_of_a_sample_profile_is_valid(row: CustomerProfile) -> None:
    for mapper in (CONDITION, ALLERGY_INTOLERANCE, MEDICATION_STATEMENT):
        for part in mapper.parts(row):
            assert resource_issues(mapper.render(row, part)) == []


# ---- derived rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [("c", "oura_api", "oura", "oura_0"), ("c", "x|y", None, ""), ('"', "/", "", None)])
def test_the_key_of_a_device_says_its_columns(columns: tuple[Any, ...]) -> None:
    named = dict(zip(("customer_id", "source", "device_type", "device_id"), columns, strict=True))
    assert device_columns(device_key(*columns)) == named


@pytest.mark.parametrize("key", ["", "oura", "[]", '["a","b","c"]', "{}"])
def test_another_text_is_no_key_of_a_device(key: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the JSON reader has its own words
        device_columns(key)


def test_a_device_shows_its_source_type_and_id() -> None:
    key = device_key(CUSTOMER, "oura_api", "oura", "oura_0")
    shown = WEARABLE.render(WearableDevice(key, "loop-health", **device_columns(key)))
    assert f"Device/{shown['id']}" == NO_LOOKUPS.reference("Device", DEVICE_TABLE, key)
    assert resource_issues(shown) == []
    assert {name: shown[name] for name in ("identifier", "type", "patient", "meta")} == {
        "identifier": [{"system": systems.WEARABLE_DEVICE, "value": "oura_0"}],
        "type": {"text": "oura"},
        "patient": {"reference": f"Patient/{CUSTOMER}"},
        "meta": {"source": f"{systems.SOURCE}oura_api"},
    }


def test_readings_that_name_no_device_have_none() -> None:
    key = device_key(CUSTOMER, "manual", None, None)
    assert WEARABLE.parts(WearableDevice(key, "loop-health", **device_columns(key))) == ()


def test_every_sample_reading_has_a_valid_device() -> None:
    readings = sample_rows("patient_wearable_readings")
    for key in {device_key(row.customer_id, row.source, row.device_type, row.device_id) for row in readings}:
        assert resource_issues(WEARABLE.render(WearableDevice(key, "loop-health", **device_columns(key)))) == []


def test_a_clinician_shows_the_name_as_written_and_says_that_the_family_name_is_unknown() -> None:
    shown = CLINICIAN.render(TreatmentClinician("dr_smith_123", "loop-health", "Dr. Sarah Smith, MD"))
    assert resource_issues(shown) == []
    assert shown["identifier"] == [{"system": systems.CLINICIAN, "value": "dr_smith_123"}]
    assert shown["name"][0]["text"] == "Dr. Sarah Smith, MD"
    assert shown["name"][0]["_family"]["extension"] == [systems.data_absent()]


def test_a_clinician_without_a_name_is_valid() -> None:
    assert resource_issues(CLINICIAN.render(TreatmentClinician("np_jones_7", "loop-health"))) == []


def test_an_organization_shows_name_state_and_contact() -> None:
    row = Organization("loop-health", "Loop Health", phone="+1 212 555 0100", website="https://loop.example")
    shown = TENANT.render(row)
    assert resource_issues(shown) == []
    assert (shown["id"], shown["name"], shown["active"]) == ("loop-health", "Loop Health", True)
    assert [entry["system"] for entry in shown["telecom"]] == ["phone", "url"]
