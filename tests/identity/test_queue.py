"""The review queue follows the records, whoever writes them (issue 7, point 2)."""

from __future__ import annotations

import pytest

from mappers.rows import CustomerProfile, IdentityMapping
from storage.persons.matches import MatchQueue
from storage.persons.merges import merge_match, reject_match
from storage.repositories.identity_mappings import IdentityMappingRepository
from storage.repositories.profiles import ProfileRepository
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.identity.world import ADA, World


async def test_identity_records_that_are_alike_are_proposed_with_the_reasons(world: World):
    world.customer("a", **ADA, phone_number="+12125551234")
    world.customer("b", **ADA, phone_number="(212) 555-1234")
    world.customer("z", first_name="Zoe", last_name="Zimmer", date_of_birth="1999-09-09")
    (match,) = await world.matches()
    assert (match.first_id, match.second_id, match.outcome, match.status) == ("a", "b", "certain", "open")
    assert {"trait": "telephone", "agreement": "the same", "weight": match.evidence["comparisons"][5]["weight"]} in (
        match.evidence["comparisons"]
    )


async def test_identity_records_of_the_three_systems_are_compared_with_each_other(world: World):
    world.customer("c", **{**ADA, "date_of_birth": "1970-01-01"})
    world.patient("p")
    world.profile("f", "user_1", name="Ada Quimby")
    world.sql("UPDATE profiles SET dob = '1970-01-01'")
    assert await world.pairs() == {("c", "p"): "possible", ("c", "f"): "possible", ("p", "f"): "possible"}


async def test_identity_an_exact_identifier_makes_a_pair_certain_and_names_its_kind(world: World):
    world.customer("c", **{**ADA, "date_of_birth": "1970-01-01"})
    world.patient("p", "1001")
    world.mapping("c", "medical_record_number", "care", "1001")
    (match,) = await world.matches()
    assert (match.outcome, match.evidence["identifiers"]) == ("certain", ["medical_record_number"])


@pytest.mark.parametrize("one", [("stripe_customer_id", "stripe"), ("stripe_customer_id", None)])
async def test_identity_one_account_at_billing_is_one_person_however_it_is_written(world: World, one):
    world.customer("a", first_name="Ada", last_name="Quimby")
    world.customer("b", first_name="Ada", last_name="Jones")
    world.mapping("a", *one, "cus_1")
    world.mapping("b", "stripe", "stripe", "cus_1")
    assert await world.pairs() == {("a", "b"): "certain"}
    world.sql("UPDATE customer_profiles SET date_of_birth = '1970-01-01' WHERE id = 'a'")
    world.sql("UPDATE customer_profiles SET date_of_birth = '1990-01-01' WHERE id = 'b'")
    assert await world.pairs() == {("a", "b"): "possible"}


async def test_identity_a_shared_telephone_or_email_proposes_nobody(world: World):
    world.patient("p", first_name="Ada", phone="2125551234", email="home@example.org")
    world.patient("q", first_name="Bob", last_name="Zimmer", phone="2125551234", email="home@example.org")
    world.sql("UPDATE patients SET date_of_birth = '2001-05-06T00:00:00.000000Z' WHERE id = 'q'")
    world.customer("c")
    world.mapping("c", "phone", "phone", "+1 212 555 1234")
    world.mapping("c", "email", "email", "home@example.org")
    assert await world.pairs() == {}


async def test_identity_the_queue_follows_corrections_and_deletions(world: World):
    world.customer("a", **ADA)
    world.customer("b", **ADA)
    assert await world.pairs() == {("a", "b"): "possible"}
    world.sql("UPDATE customer_profiles SET phone_number = '2125551234'")
    assert await world.pairs() == {("a", "b"): "certain"}
    world.sql("UPDATE customer_profiles SET date_of_birth = '1940-03-04' WHERE id = 'a'")
    assert await world.pairs() == {}
    world.sql("UPDATE customer_profiles SET date_of_birth = '1970-01-02' WHERE id = 'a'")
    assert await world.pairs() == {("a", "b"): "certain"}
    world.sql("DELETE FROM customer_profiles WHERE id = 'a'")
    assert await world.pairs() == {}


async def test_identity_a_profile_made_through_the_repository_is_compared_in_the_same_unit_of_work(world: World):
    world.customer("a", **ADA)
    row = CustomerProfile("n", ORGANIZATION, "user_n", "new@example.org", "Ada", "Quimby")
    await world.work(lambda unit: ProfileRepository(unit).insert(row))
    async with world.database.glance(ORGANIZATION) as snapshot:
        (match,) = (await MatchQueue(snapshot).page()).rows
    assert (match.first_id, match.second_id, match.outcome) == ("a", "n", "possible")
    mapping = IdentityMapping("m", ORGANIZATION, "n", "clerk_user_id", "clerk", "login-a")
    await world.work(lambda unit: IdentityMappingRepository(unit).insert(mapping))
    assert await world.pairs() == {("a", "n"): "certain"}


async def test_identity_what_somebody_decided_stays(world: World):
    world.customer("a", **ADA)
    world.customer("b", **ADA)
    (match,) = await world.matches()
    await world.work(lambda unit: reject_match(unit, match.id, "nurse", "sisters"))
    world.sql("UPDATE customer_profiles SET phone_number = '2125551234'")
    (after,) = await world.matches()
    assert (after.status, after.reviewed_by, after.reason, after.outcome) == (
        "rejected", "nurse", "sisters", "possible",
    )  # fmt: skip
    assert after.reviewed_at is not None


async def test_identity_records_for_which_one_stands_already_are_not_proposed(world: World):
    for key in ("a", "b", "c"):
        world.customer(key, **ADA)
    found = {(each.first_id, each.second_id): each.id for each in await world.matches()}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    await world.work(lambda unit: merge_match(unit, found["a", "b"], "a", "nurse", None))
    merge = await world.work(lambda unit: merge_match(unit, found["a", "c"], "a", "nurse", None))
    assert await world.pairs() == {}
    await world.unmerge(merge)
    assert await world.pairs() == {("b", "c"): "possible"}
    assert {each.status for each in await world.matches()} == {"merged", "unmerged", "open"}


async def test_TN_records_of_two_organizations_are_never_compared(world: World):
    other = World(world.database, world.url, OTHER_ORGANIZATION)
    world.customer("a", **ADA)
    other.customer("b", **ADA)
    other.customer("a", **ADA)
    assert await world.pairs() == {}
    assert await other.pairs() == {("a", "b"): "possible"}


@pytest.mark.parametrize("wrong", ["not a day", ""])
async def test_identity_what_is_no_birth_date_is_not_known(world: World, wrong: str):
    if world.url.startswith("postgresql"):
        pytest.skip("PostgreSQL takes days only")
    world.customer("a", **ADA)
    world.customer("b", **{**ADA, "date_of_birth": wrong})
    assert await world.pairs() == {("a", "b"): "possible"}


@pytest.mark.parametrize("column", ["last_name", "date_of_birth", "phone_number", "biological_sex"])
@pytest.mark.parametrize("wrong", ["X'ff00'", "X'616461'", "12", "1.5"])
async def test_identity_a_row_that_cannot_be_read_keeps_nobody_else_from_being_compared(
    world: World, column: str, wrong: str
):
    if world.url.startswith("postgresql"):
        pytest.skip("PostgreSQL takes texts only")
    world.customer("w", **ADA)
    world.sql(f"UPDATE customer_profiles SET {column} = {wrong}")
    world.customer("a", **ADA)
    world.customer("b", **ADA)
    assert ("a", "b") in await world.pairs()
