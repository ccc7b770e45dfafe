"""Patient ⇄ customer_profiles (mapping.md Patient, settled §1.1, §1.2, §1.4, §1.11)."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import pytest

from mappers import systems
from mappers.json_values import same
from mappers.lens import Absorbed, NotClaimed
from mappers.patient import PATIENT
from mappers.residual import NOTHING
from mappers.rows import CustomerProfile, IdentityMapping
from tests.builders import lookups

JANE = CustomerProfile(
    "46416154-6565-532d-9584-05bbb662ff86", "loop-health", "user_2a1b3c4d5e6f", "jane.doe@example.com", "Jane", "Doe",
    date(1985, 6, 15), "female", "+12125551234", "America/Los_Angeles", "premium", tags=["high-risk"],
)  # fmt: skip


def written(**elements: Any) -> dict[str, Any]:
    """A Patient that a client writes: the least that a profile needs, and more."""
    login = {"system": systems.LOGIN, "value": "user_1"}
    telecom = [{"system": "email", "value": "a@example.com"}]
    return {"resourceType": "Patient", "id": "p1", "identifier": [login], "telecom": telecom, **elements}


def claimed(resource: dict[str, Any], current: CustomerProfile | None = None) -> Absorbed:
    outcome = PATIENT.absorb(resource, lookups(), current)
    assert isinstance(outcome, Absorbed)
    return outcome


def test_a_profile_shows_its_columns() -> None:
    patient = PATIENT.render(JANE, "", lookups())
    assert patient["name"] == [{"use": "official", "family": "Doe", "given": ["Jane"]}]
    assert patient["telecom"] == [
        {"system": "email", "value": "jane.doe@example.com"},
        {"system": "phone", "value": "+12125551234"},
    ]
    assert (patient["gender"], patient["birthDate"], patient["active"]) == ("female", "1985-06-15", True)
    assert {"url": systems.TIMEZONE, "valueCode": "America/Los_Angeles"} in patient["extension"]
    assert patient["managingOrganization"] == {"reference": "Organization/loop-health", "display": "Loop Health"}
    assert [tag["code"] for tag in patient["meta"]["tag"]] == ["premium", "high-risk"]


def test_only_published_identifiers_show_and_each_once() -> None:
    mappings = tuple(
        IdentityMapping(str(i), "loop-health", JANE.id, kind, None, value)
        for i, (kind, value) in enumerate(
            [("clerk_user_id", "user_2a1b3c4d5e6f"), ("clerk_user_id", "second"), ("fingerprint_visitor_id", "12d3")]
        )
    )
    row = dataclasses.replace(JANE, identity_mappings=mappings)
    shown = PATIENT.render(row, "", lookups(published=frozenset({"clerk_user_id"})))["identifier"]
    assert shown == [
        {"system": systems.LOGIN, "value": "user_2a1b3c4d5e6f"},
        {"system": systems.LOGIN, "value": "second"},
    ]


@pytest.mark.parametrize("missing", ["identifier", "telecom"])
def test_a_patient_without_login_or_email_is_not_claimed(missing: str) -> None:
    resource = {key: value for key, value in written().items() if key != missing}
    outcome = PATIENT.absorb(resource, lookups())
    assert isinstance(outcome, NotClaimed)
    assert f"Patient.{missing}" in outcome.reason


def test_a_patient_with_a_modifier_extension_is_not_claimed() -> None:
    resource = written(modifierExtension=[{"url": "https://other.example/m", "valueBoolean": True}])
    assert isinstance(PATIENT.absorb(resource, lookups()), NotClaimed)


def test_a_partial_birth_date_leaves_the_column_null_and_is_shown_until_the_column_changes() -> None:
    outcome = claimed(written(birthDate="1974-12"))
    assert outcome.row.date_of_birth is None
    assert PATIENT.render(outcome.row, "", lookups(), outcome.residual)["birthDate"] == "1974-12"
    changed = dataclasses.replace(outcome.row, date_of_birth=date(1974, 12, 25))
    assert PATIENT.render(changed, "", lookups(), outcome.residual)["birthDate"] == "1974-12-25"


def test_the_extension_of_a_birth_date_goes_when_the_date_changes_behind_fhir() -> None:
    time = {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime",
                           "valueDateTime": "1974-12-25T14:35:45-05:00"}]}  # fmt: skip
    outcome = claimed(written(birthDate="1974-12-25", _birthDate=time))
    assert PATIENT.render(outcome.row, "", lookups(), outcome.residual)["_birthDate"] == time
    changed = dataclasses.replace(outcome.row, date_of_birth=date(1974, 12, 26))
    assert "_birthDate" not in PATIENT.render(changed, "", lookups(), outcome.residual)


def test_a_dropped_email_stays_in_the_column_and_out_of_fhir_until_it_changes() -> None:
    resource = {**written(), "telecom": [{"system": "phone", "value": "+1 555"}]}
    outcome = claimed(resource, JANE)
    assert outcome.row.email == JANE.email
    assert same(PATIENT.render(outcome.row, "", lookups(), outcome.residual)["telecom"], resource["telecom"])
    changed = dataclasses.replace(outcome.row, email="new@example.com")
    shown = PATIENT.render(changed, "", lookups(), outcome.residual)["telecom"]
    assert {"system": "email", "value": "new@example.com"} in shown


def test_what_no_column_holds_survives_a_change_of_a_column_beside_it() -> None:
    mine = {"system": "http://hospital.example/mrn", "value": "12345", "use": "usual"}
    login = {"system": systems.LOGIN, "value": "user_1"}
    outcome = claimed({**written(), "identifier": [mine, login], "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"], "text": "Peter Chalmers"},
        {"use": "usual", "given": ["Jim"]},
    ]})  # fmt: skip
    assert (outcome.row.first_name, outcome.row.last_name) == ("Peter", "Chalmers")
    changed = dataclasses.replace(outcome.row, external_id="user_2", first_name="Pete")
    shown = PATIENT.render(changed, "", lookups(), outcome.residual)
    assert shown["identifier"] == [mine, {"system": systems.LOGIN, "value": "user_2"}]
    assert shown["name"] == [
        {"use": "official", "family": "Chalmers", "given": ["Pete", "James"]},  # its text spoke of Peter
        {"use": "usual", "given": ["Jim"]},
    ]


def test_enrichment_that_a_client_left_out_stays_out() -> None:
    outcome = claimed(written())
    assert outcome.residual.bare
    shown = PATIENT.render(outcome.row, "", lookups(), outcome.residual)
    assert not {"meta", "gender", "name", "extension"} & set(shown)
    unwritten = PATIENT.render(outcome.row, "", lookups())
    assert unwritten["gender"] == "unknown"
    assert unwritten["name"] == [{"extension": [systems.data_absent()]}]


def test_a_maiden_name_is_not_taken_for_the_name() -> None:
    outcome = claimed(written(name=[{"use": "maiden", "family": "Windsor"}]))
    assert outcome.row.last_name is None


def test_dropping_an_identifier_keeps_the_identity_mapping() -> None:
    mapping = IdentityMapping("m", "loop-health", JANE.id, "stripe_customer_id", "stripe", "cus_1")
    row = dataclasses.replace(JANE, identity_mappings=(mapping,))
    resource = PATIENT.render(row, "", lookups())
    assert len(resource["identifier"]) == 2
    outcome = claimed({**resource, "identifier": resource["identifier"][:1]}, row)
    assert outcome.row == row
    shown = PATIENT.render(outcome.row, "", lookups(), outcome.residual)
    assert shown["identifier"] == resource["identifier"][:1]


def test_a_gender_of_unknown_is_no_biological_sex() -> None:
    assert claimed(written(gender="unknown"), JANE).row.biological_sex is None


def test_an_update_keeps_columns_that_fhir_never_shows() -> None:
    row = dataclasses.replace(JANE, conditions=("pcos",), metadata={"source": "referral"}, tags=["a", 3])
    changed = {**PATIENT.render(row, "", lookups()), "birthDate": "1985-06-16"}
    outcome = claimed(changed, row)
    assert outcome == Absorbed(dataclasses.replace(row, date_of_birth=date(1985, 6, 16)), NOTHING)
