"""Metrics that nobody defined are defined on demand, by as many writers as there are (settled §1.13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from sqlalchemy import select, update

from mappers.care_rows import Patient
from storage.clock import IdSource
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.repositories.care_patients import PatientRepository
from storage.resources import ResourceKey, Write
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.tables.care_platform import metric_definitions, observations
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, Resource, Shop

WRITERS: Final = 64
CODES: Final = ("8867-4", "29463-7", "8310-5", "59408-5")


@pytest.fixture
async def shop(fresh_database_url: str) -> AsyncIterator[Shop]:
    """A store with one patient of the care platform, and a connection for every writer."""
    database = create_database(fresh_database_url, ids=IdSource(), role=ROLE, pool_size=WRITERS)
    await database.open()
    database.flush = flush
    row = Patient("p", ORGANIZATION, "Ada", "Lovelace", datetime(1985, 12, 10, tzinfo=UTC))
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        await PatientRepository(unit).insert(row)
    yield Shop(database, ResourceStore(database, Places()))
    await database.close()


def measured(code: str, number: int = 1) -> Resource:
    """An Observation of a metric, by a code that nobody may have defined."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-03-20T14:30:00Z",
        "valueQuantity": {"value": number, "unit": "1"},
    }


async def metrics(shop: Shop) -> list[Any]:
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        return (await unit.connection.execute(select(metric_definitions))).all()


async def test_64_writers_who_need_the_same_metrics_define_each_once(shop: Shop) -> None:
    async def write(number: int) -> None:
        order = CODES if number % 2 else tuple(reversed(CODES))
        writes = [
            Write(ResourceKey("Observation", key), measured(code, number) | {"id": key})
            for code in order
            for key in (f"o-{number}-{code}",)
        ]
        await shop.write(*writes)

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    defined = await metrics(shop)
    assert sorted(each.code for each in defined) == sorted(CODES)
    assert {each.origin for each in defined} == {"fhir"}
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        assert len((await unit.connection.execute(select(observations.c.id))).all()) == WRITERS * len(CODES)
    await Projector(shop.database).drain()
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_the_id_of_a_definition_depends_on_organization_and_code_alone(shop: Shop) -> None:
    await shop.put("Observation/a", measured(CODES[0]))
    (first,) = await metrics(shop)
    await shop.delete("Observation/a")
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await unit.connection.execute(metric_definitions.delete())
    await shop.put("Observation/b", measured(CODES[0], 2))
    (second,) = await metrics(shop)
    assert first.id == second.id


async def test_a_definition_that_was_given_another_code_is_not_used_for_the_old_one(shop: Shop) -> None:
    await shop.put("Observation/a", measured(CODES[0]))
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await unit.connection.execute(update(metric_definitions).values(code=CODES[1]))
    await shop.put("Observation/b", measured(CODES[0]))
    assert (await shop.read("Observation/b"))["code"]["coding"][0]["code"] == CODES[0]
    assert len(await metrics(shop)) == 1
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        assert list(await unit.connection.scalars(select(observations.c.id))) == ["a"]


async def test_what_is_refused_otherwise_leaves_no_observation_behind(shop: Shop) -> None:
    good = Write(ResourceKey("Observation", "good"), measured(CODES[0]) | {"id": "good"})
    bad = Write(ResourceKey("Observation", "bad"), measured(CODES[1]) | {"id": "bad"}, expected_version=7)
    with pytest.raises(Exception, match="expected version"):
        await shop.write(good, bad)
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        assert list(await unit.connection.scalars(select(observations.c.id))) == []


async def test_an_observation_of_a_stranger_defines_nothing(shop: Shop) -> None:
    await shop.put("Observation/o", measured(CODES[0]) | {"subject": {"reference": "Patient/nobody"}})
    assert await metrics(shop) == []
