"""The rules of a table hold whoever writes: a treatment's states through FHIR and through its repository alike."""

from __future__ import annotations

from typing import Any

import pytest

from storage.engine import Database
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.repositories.errors import TransitionRefused
from storage.repositories.subscriptions import SubscriptionRepository
from storage.tables import patient_graph as tables
from tests.conftest import ORGANIZATION
from tests.storage.test_homes import CHANGE, CUSTOMER, TREATMENT, World, same


@pytest.fixture
async def world(fresh_database: Database) -> World:
    """A store in which a customer has an approved treatment."""
    fresh_database.flush = flush
    await Projector(fresh_database).drain()
    made = World(fresh_database)
    await made.write(CUSTOMER)
    await made.sql(TREATMENT.replace("'active'", "'approved'"))
    return made


async def with_status(world: World, status: str, exact: str) -> dict[str, Any]:
    """Return the treatment's CarePlan as a client writes it that wants another status."""
    plan = await world.read("CarePlan/t1")
    extension = plan.get("_status", {}).get("extension", [])
    plan["status"] = status
    plan.pop("_status", None)
    if extension:
        changed = [{**each, "valueCode": exact} for each in extension]
        plan["_status"] = {"extension": changed}
    return plan


async def test_a_transition_through_fhir_stamps_the_row_writes_an_event_and_shows_what_was_written(
    world: World,
) -> None:
    plan = await with_status(world, "active", "active")
    await world.write(plan)
    (row,) = await world.rows(tables.subscriptions)
    assert (row["status"], row["started_at"] is not None) == ("active", True)
    (event,) = await world.rows(tables.patient_events)
    assert (event["type"], event["data"]["treatmentId"]) == ("treatment_started", "t1")
    assert same(await world.read("CarePlan/t1"), plan)
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_a_transition_that_the_machine_does_not_have_is_refused_through_fhir_too(world: World) -> None:
    before = await world.rows(tables.subscriptions)
    with pytest.raises(TransitionRefused) as refused:
        await world.write(await with_status(world, "completed", "completed"))
    assert refused.value.allowed == ("active", "cancelled")
    assert await world.rows(tables.subscriptions) == before
    assert await world.rows(tables.patient_events) == []


async def test_a_transition_through_the_repository_shows_in_fhir(world: World) -> None:
    async with world.database.begin(ORGANIZATION, CHANGE) as unit:
        await SubscriptionRepository(unit).update("t1", {"status": "active"})
    plan = await world.read("CarePlan/t1")
    assert (plan["status"], "start" in plan["period"], plan["meta"]["versionId"]) == ("active", True, "2")
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees
