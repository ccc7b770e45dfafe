"""Records of one person are found by exact identifiers, and by nothing else (settled §1.12, health_hub.md P1, P3)."""

from __future__ import annotations

import pytest

from storage.engine import Database
from storage.projection.person_records import Record, persons_of
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.storage.people import People

C, P, F = ("customer_profiles", "c"), ("patients", "p"), ("profiles", "f")


@pytest.fixture
def people(fresh_database_url: str) -> People:
    return People(fresh_database_url, ORGANIZATION)


async def found(database: Database, *records: Record) -> dict[Record, list[Record]]:
    """Return the other records of each record's person."""
    async with database.read(ORGANIZATION) as driver:
        return await persons_of(driver, ORGANIZATION, records)


@pytest.mark.parametrize(
    ("kind", "system", "value", "other"),
    [
        ("care_patient_id", "care", "p", P),
        ("care", "care", "p", P),
        ("patient_id", "care_platform", "p", P),
        ("medical_record_number", "care", "1001", P),
        ("mrn", "care_platform", "1001", P),
        ("hub_profile_id", "hub", "f", F),
        ("health_hub", None, "f", F),
        ("profile_id", "health_hub", "f", F),
        ("patient_emr_id", "epic", "e1", F),
        ("epic", "epic", "e1", F),
        ("clerk_user_id", "clerk", "user_1", F),
    ],
)
async def test_a_mapping_that_names_the_other_system_links(
    people: People, fresh_database: Database, kind: str, system: str | None, value: str, other: Record
):
    people.customer("c")
    people.patient("p", "1001")
    people.profile("f", "user_1")
    people.connection("f", "epic", "e1")
    people.mapping("c", kind, system, value)
    assert await found(fresh_database, C, P, F) == {C: [other], P: [], F: []} | {other: [C]}


@pytest.mark.parametrize(
    ("kind", "system", "value"),
    [
        ("email", "email", "p"),
        ("phone", "phone", "1001"),
        ("fingerprint_visitor_id", "fingerprint", "e1"),
        ("stripe_customer_id", "stripe", "p"),
        ("medical_record_number", None, "1001"),
        ("medical_record_number", "epic", "1001"),
        ("medical_record_number", "another clinic", "1001"),
        ("patient_emr_id", "athena", "e1"),
        ("patient_emr_id", None, "e1"),
        ("patient_id", None, "p"),
        ("rimo", "rimo", "p"),
        ("epic", "athena", "e1"),
    ],
)
async def test_an_identifier_that_does_not_name_the_other_record_links_nothing(
    people: People, fresh_database: Database, kind: str, system: str | None, value: str
):
    people.customer("c")
    people.patient("p", "1001")
    people.profile("f", "user_1")
    people.connection("f", "epic", "e1")
    people.mapping("c", kind, system, value)
    assert await found(fresh_database, C, P, F) == {C: [], P: [], F: []}


async def test_equal_addresses_telephones_names_and_birth_dates_link_nothing(people: People, fresh_database: Database):
    people.customer("c", first_name="Ada", last_name="Quimby", phone_number="+15550100", date_of_birth="1970-01-01")
    people.patient("p", email="c@example.org", phone="+15550100")
    people.profile("f", "user_1", name="Ada Quimby")
    assert await found(fresh_database, C, P, F) == {C: [], P: [], F: []}


@pytest.mark.parametrize(
    ("relationship", "linked"), [("self", True), ("Self", True), ("mother", False), ("child", False), (None, False)]
)
async def test_the_login_id_is_the_users_own_profiles_only(
    people: People, fresh_database: Database, relationship: str | None, linked: bool
):
    people.customer("c", login="user_1")
    people.profile("f", "user_1", relationship)
    assert await found(fresh_database, C, F) == {C: [F] if linked else [], F: [C] if linked else []}


async def test_two_users_gather_the_records_of_one_patient_of_a_provider(people: People, fresh_database: Database):
    people.profile("f", "user_1", "child")
    people.profile("g", "user_2", "child")
    people.profile("h", "user_2", "self")
    for profile, provider in (("f", "epic"), ("g", "epic"), ("h", "athena")):
        people.connection(profile, provider, "e1")
    assert await found(fresh_database, F) == {F: [("profiles", "g")]}


async def test_what_leads_from_one_record_to_the_next_leads_to_all(people: People, fresh_database: Database):
    people.customer("c", login="user_1")
    people.patient("p", "1001")
    people.profile("f", "user_1")
    people.profile("g", "user_2", "child")
    people.mapping("c", "medical_record_number", "care", "1001")
    people.connection("f", "epic", "e1")
    people.connection("g", "epic", "e1")
    assert await found(fresh_database, P) == {P: [C, F, ("profiles", "g")]}
    assert await found(fresh_database, ("profiles", "g")) == {("profiles", "g"): [C, P, F]}


async def test_TN_equal_ids_of_another_organization_lead_nowhere(
    people: People, fresh_database: Database, fresh_database_url: str
):
    people.customer("c", login="user_1")
    people.mapping("c", "care_patient_id", "care", "p")
    other = People(fresh_database_url, OTHER_ORGANIZATION)
    other.patient("p", "1001")
    other.profile("f", "user_1")
    assert await found(fresh_database, C) == {C: []}
