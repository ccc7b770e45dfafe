"""All records compared at once find what is found when they change one by one (issue 7, point 2)."""

from __future__ import annotations

import random

import pytest

from storage.persons.blocks import LARGEST_BLOCK
from storage.persons.search import search_all, write_search
from tests.conftest import ORGANIZATION
from tests.identity.world import ADA, World


def fill(world: World, count: int, seed: int) -> None:
    """Insert people of few names, days and telephones, as their systems usually write them."""
    draw = random.Random(seed)
    for number in range(count):
        told = {
            "first_name": draw.choice(["Ada", "Bea", "Marie", "Maria"]),
            "last_name": draw.choice(["Quimby", "Jones", "Garcia"]),
            "phone": draw.choice(["+12125551234", "(310) 555-9999", None]),
        }
        if draw.random() < 0.5:
            world.patient(f"p{number}", **told)
        else:
            day = draw.choice(["1970-01-01", "1970-01-02", "1970-02-01", "1999-12-31", None])
            world.customer(f"c{number}", date_of_birth=day, phone_number=told.pop("phone"), **told)


@pytest.mark.parametrize("seed", [1, 2])
async def test_identity_a_search_finds_what_the_queue_has_already(world: World, seed: int):
    fill(world, 25, seed)
    queue = {each.records: each.outcome for each in await world.matches("open")}
    found = await search_all(world.database, ORGANIZATION)
    assert {pair: said.outcome.value for pair, said in found.verdicts.items()} == queue
    assert (found.records, found.passed_over) == (25, 0)
    assert queue
    assert await world.work(lambda unit: write_search(unit, found)) == []
    assert {each.records: each.outcome for each in await world.matches("open")} == queue


async def test_identity_a_search_finds_what_is_written_in_an_unusual_way(world: World):
    world.customer("b", first_name="ADÁ", last_name="quimbý", phone_number="+1(212)5551234")
    await world.settle()
    world.customer("a", **ADA, phone_number="212 / 555 / 1234")
    assert await world.pairs() == {}
    found = await search_all(world.database, ORGANIZATION)
    await world.work(lambda unit: write_search(unit, found))
    assert await world.pairs() == {("a", "b"): "possible"}


async def test_identity_a_value_that_very_many_have_says_nothing(world: World):
    rows = ", ".join(
        f"('{ORGANIZATION}', 'c{n}', 'l{n}', 'c{n}@example.org', '1900-01-01')" for n in range(LARGEST_BLOCK + 1)
    )
    world.sql(f"INSERT INTO customer_profiles (organization_id, id, external_id, email, date_of_birth) VALUES {rows}")
    found = await search_all(world.database, ORGANIZATION)
    assert (found.records, found.passed_over, found.verdicts) == (LARGEST_BLOCK + 1, 1, {})
