"""Patient ⇄ profiles of the health hub (mapping.md Patient, settled §1.1, §1.2, §1.4)."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Any

import fhirkit
import pytest

from mappers import systems
from mappers.hub_patient import HUB_PATIENT
from mappers.hub_rows import EmrConnection, Profile
from mappers.json_values import decode, encode, same
from mappers.lens import Absorbed, NotClaimed
from mappers.residual import NOTHING, Residual
from tests.builders import lookups
from tests.laws.test_mapping_laws import comparable
from tests.mappers.hub_samples import hub_sample
from tests.mappers.samples import examples, needs_samples, resources

LAURA = Profile(
    "de451ebd", "loop-health", "user-1", "Me", "Laura M Bianchi", date(1974, 8, 9), "self",
    profile_emr_connections=(
        EmrConnection("c1", "loop-health", "de451ebd", "epic", "erXuFY"),
        EmrConnection("c2", "loop-health", "de451ebd", "athena", "a-195900.E-41128", status="error"),
    ),
)  # fmt: skip
UNKNOWN = {"extension": [systems.data_absent()]}


def shown(row: Profile = LAURA) -> dict[str, Any]:
    return HUB_PATIENT.render(row, "", lookups())


def absorbed(resource: dict[str, Any], row: Profile = LAURA) -> Absorbed:
    outcome = HUB_PATIENT.absorb(resource, lookups(), row)
    assert isinstance(outcome, Absorbed)
    return outcome


def test_a_profile_shows_its_columns() -> None:
    patient = shown()
    assert patient["name"] == [
        {"use": "official", "text": "Laura M Bianchi", "_family": UNKNOWN},
        {"use": "usual", "text": "Me", "_family": UNKNOWN},
    ]
    assert (patient["birthDate"], patient["active"], patient["gender"]) == ("1974-08-09", True, "unknown")
    assert patient["meta"]["tag"] == [{"system": systems.RELATIONSHIP, "code": "self"}]
    assert patient["managingOrganization"]["reference"] == "Organization/loop-health"


def test_each_provider_has_a_system_of_its_own_for_the_id_of_the_person() -> None:
    assert shown()["identifier"] == [
        {"system": f"{systems.BASE}/identifier/emr/epic/Patient", "value": "erXuFY"},
        {"system": f"{systems.BASE}/identifier/emr/athena/Patient", "value": "a-195900.E-41128"},
    ]


def test_US_M3_a_profile_without_connection_is_identified_by_its_key() -> None:
    patient = shown(replace(LAURA, profile_emr_connections=()))
    assert patient["identifier"] == [{"system": systems.PROFILE, "value": "de451ebd"}]


def test_US_M7_a_profile_without_any_name_says_so() -> None:
    assert shown(replace(LAURA, legal_name=None, display_name=" "))["name"] == [UNKNOWN]


def test_a_relationship_that_is_no_code_is_shown_in_words() -> None:
    patient = shown(replace(LAURA, relationship="mother  in law"))
    assert patient["meta"]["tag"] == [{"system": systems.RELATIONSHIP, "display": "mother  in law"}]


def test_no_row_that_mappers_see_has_a_token() -> None:
    names = {each.name for row_type in (Profile, EmrConnection) for each in fields(row_type)}
    assert not {name for name in names if "token" in name}


def test_a_client_changes_names_date_of_birth_and_relationship() -> None:
    patient = shown()
    patient["name"][0]["text"] = "Laura Rossi"
    patient["name"][1]["text"] = "Laura"
    patient["birthDate"] = "1974-08-10"
    patient["meta"]["tag"][0]["code"] = "other"
    row = absorbed(patient).row
    assert row == replace(
        LAURA, legal_name="Laura Rossi", display_name="Laura", dob=date(1974, 8, 10), relationship="other"
    )


def test_parts_of_a_name_become_its_words_and_last_until_the_column_changes() -> None:
    official = {"use": "official", "family": "Rossi", "given": ["Laura", "M"]}
    outcome = absorbed({**shown(), "name": [official, {"use": "usual", "text": "Me"}]})
    assert outcome.row == replace(LAURA, legal_name="Laura M Rossi")
    rendered = HUB_PATIENT.render(outcome.row, "", lookups(), outcome.residual)
    assert rendered["name"][0] == official
    renamed = replace(outcome.row, legal_name="Laura Verdi")
    rendered = HUB_PATIENT.render(renamed, "", lookups(), outcome.residual)
    assert (rendered["name"][0]["text"], "family" in rendered["name"][0]) == ("Laura Verdi", False)


def test_a_name_without_use_is_the_legal_one() -> None:
    assert absorbed({**shown(), "name": [{"text": "Laura Rossi"}]}).row == replace(LAURA, legal_name="Laura Rossi")


def test_a_dropped_display_name_stays_in_its_column_and_out_of_FHIR() -> None:
    patient = shown()
    patient["name"].pop()
    outcome = absorbed(patient)
    assert outcome.row == LAURA
    rendered = HUB_PATIENT.render(outcome.row, "", lookups(), outcome.residual)
    assert [name["use"] for name in rendered["name"]] == ["official"]


def test_a_partial_date_of_birth_leaves_the_column_empty_and_is_kept() -> None:
    outcome = absorbed({**shown(), "birthDate": "1974"})
    assert outcome.row.dob is None
    assert HUB_PATIENT.render(outcome.row, "", lookups(), outcome.residual)["birthDate"] == "1974"


def test_what_a_client_writes_never_changes_connections() -> None:
    other = {"system": systems.emr_record("epic", "Patient"), "value": "somebody-else"}
    outcome = absorbed({**shown(), "identifier": [other]})
    assert outcome.row == LAURA
    assert HUB_PATIENT.render(outcome.row, "", lookups(), outcome.residual)["identifier"] == [other]


def test_a_new_Patient_never_becomes_a_profile() -> None:
    outcome = HUB_PATIENT.absorb(shown(), lookups())
    assert isinstance(outcome, NotClaimed)
    assert outcome.reason == "profiles rows are not created through FHIR"


@needs_samples
def test_laws_1_and_2_hold_for_the_profiles_of_the_sample_file() -> None:
    sample = hub_sample()
    assert len(sample.profiles) == 4
    for row in sample.profiles:
        rendered = HUB_PATIENT.render(row, "", sample.lookups)
        assert fhirkit.validate(encode(rendered).decode()) == []
        assert HUB_PATIENT.absorb(rendered, sample.lookups, row) == Absorbed(row, NOTHING)


@needs_samples
def test_law_1_holds_when_a_profile_is_written_as_any_official_Patient() -> None:
    patients = [each for path in examples() for each in resources(path) if each["resourceType"] == "Patient"]
    assert len(patients) >= 5
    for written in patients:
        outcome = HUB_PATIENT.absorb(written, lookups(), LAURA)
        if isinstance(outcome, NotClaimed):
            assert "modifierExtension" in written or "implicitRules" in written
            continue
        stored = Residual.from_json(decode(encode(outcome.residual.to_json())))
        assert same(comparable(HUB_PATIENT.render(outcome.row, "", lookups(), stored)), comparable(written))


@pytest.mark.parametrize("name", ["Laura\x07", "  Laura "])
def test_words_that_FHIR_shows_otherwise_stay_as_they_are_when_parts_are_added(name: str) -> None:
    row = replace(LAURA, legal_name=name)
    patient = shown(row)
    patient["name"][0]["given"] = ["Laura"]
    assert absorbed(patient, row).row == row
