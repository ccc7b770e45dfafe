"""Labels of mapped resources outlive what other programs do to the row (fhir_rest §13; settled §1.2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from mappers import systems
from storage.access import Access
from storage.engine import Database
from storage.errors import ResourceGone, ResourceNotFound, VersionConflict, WriteOutsideAccess
from storage.labels import change_labels
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey
from storage.store import ResourceStore
from storage.tables import fhir, patient_graph
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, SYSTEM, Shop, bound, observed, person

TAG = {"system": "http://example.org/tags", "code": "research"}
PROFILE = "http://example.org/StructureDefinition/mine"


@pytest.fixture
async def shop(fresh_database: Database) -> Shop:
    fresh_database.flush = flush
    await Projector(fresh_database).drain()
    return Shop(fresh_database, ResourceStore(fresh_database, Places()))


async def label(shop: Shop, name: str, access: Access = SYSTEM, version: int | None = None, **meta: Any) -> None:
    """Set elements of a resource's meta, or take those away whose value is None."""

    def changed(before: Any) -> Any:
        return {name: value for name, value in {**before, **meta}.items() if value is not None}

    key = ResourceKey(*name.split("/"))
    await shop.database.transact(ORGANIZATION, CHANGE, lambda unit: change_labels(unit, key, changed, access, version))


async def home_of(shop: Shop, name: str) -> str | None:
    rows = fhir.resources.c
    ((found,),) = await shop.execute(select(rows.home_table).where(rows.id == name.partition("/")[2]))
    return found


def customer(family: str) -> dict[str, Any]:
    """A Patient that becomes a row."""
    login = {"system": systems.LOGIN, "value": "user_1"}
    return person(family, identifier=[login], telecom=[{"system": "email", "value": "p@example.com"}])


async def test_labels_of_a_row_stay_when_another_program_changes_it(shop: Shop) -> None:
    await shop.put("Patient/p", customer("Old"))
    assert await home_of(shop, "Patient/p") == "customer_profiles"
    await label(shop, "Patient/p", tag=[TAG], profile=[PROFILE])
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
    await rename(shop)
    after = await shop.read("Patient/p")
    assert after["meta"]["tag"] == [TAG]
    assert after["meta"]["profile"] == [PROFILE]
    assert "Newest" in str(after["name"])
    assert await shop.ids(f"Patient?_tag={TAG['system']}|research") == ["p"]
    await label(shop, "Patient/p", tag=None)
    assert "tag" not in (await shop.read("Patient/p"))["meta"]
    assert await shop.ids(f"Patient?_tag={TAG['system']}|research") == []
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def rename(shop: Shop) -> None:
    """Change the row behind FHIR, and have it shown."""
    rows = patient_graph.customer_profiles

    async def work(unit: UnitOfWork) -> None:
        await unit.connection.execute(update(rows).where(rows.c.id == "p").values(last_name="Newest"))
        unit.touch(rows.name, "p")

    await shop.database.transact(ORGANIZATION, CHANGE, work)


async def test_labels_that_the_mapper_renders_can_be_taken_away_and_stay_away(shop: Shop) -> None:
    values = {"external_id": "user_1", "email": "p@example.com", "first_name": "Jane", "last_name": "Old"}

    async def made_by_another_program(unit: UnitOfWork) -> None:
        rows = patient_graph.customer_profiles
        await unit.connection.execute(insert(rows).values(organization_id=ORGANIZATION, id="p", **values))
        unit.touch(rows.name, "p", new=True)

    await shop.database.transact(ORGANIZATION, CHANGE, made_by_another_program)
    before = await shop.read("Patient/p")
    rendered = before["meta"]["tag"]  # the tier
    assert before["meta"]["profile"]
    await label(shop, "Patient/p", tag=[*rendered, TAG])
    await rename(shop)
    renamed = await shop.read("Patient/p")
    assert renamed["meta"]["profile"] == before["meta"]["profile"]
    assert renamed["name"][0]["family"] == "Newest"
    await label(shop, "Patient/p", profile=None)
    meta = (await shop.read("Patient/p"))["meta"]
    assert "profile" not in meta
    assert meta["tag"] == [*rendered, TAG]
    assert (await reconcile(shop.database, ORGANIZATION, fix=True)).agrees
    assert (await shop.read("Patient/p"))["meta"] == meta
    await label(shop, "Patient/p", tag=rendered, profile=before["meta"]["profile"])
    residual = fhir.resources.c
    ((left,),) = await shop.execute(select(residual.residual).where(residual.id == "p"))
    assert left is None  # as if it had never been changed
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_a_superseded_version_keeps_its_labels(shop: Shop) -> None:
    await shop.put("Observation/o", observed(None))
    await label(shop, "Observation/o", tag=[TAG])
    await shop.put("Observation/o", observed(None, status="amended"))
    await label(shop, "Observation/o", tag=None)
    first = await shop.store.vread(ResourceKey("Observation", "o"), 1, SYSTEM)
    assert b"research" in first.body
    assert await shop.versions("Observation/o") == [2, 1]
    assert "tag" not in (await shop.read("Observation/o"))["meta"]


async def test_who_may_not_update_a_resource_may_not_label_it(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/of-b", observed("Patient/b"))
    both = [{"reference": "Patient/a"}, {"reference": "Patient/b"}]
    await shop.put("Observation/both", observed(None, performer=both))
    await shop.put("Observation/gone", observed("Patient/a"))
    await shop.delete("Observation/gone")
    for name, error in [
        ("Observation/of-b", ResourceNotFound),
        ("Observation/never", ResourceNotFound),
        ("Observation/both", WriteOutsideAccess),
        ("Observation/gone", ResourceGone),
    ]:
        with pytest.raises(error):
            await label(shop, name, bound("a"), tag=[TAG])
    await label(shop, "Patient/a", bound("a"), tag=[TAG])
    with pytest.raises(VersionConflict):
        await label(shop, "Patient/a", version=2, tag=None)
    assert (await shop.read("Patient/a"))["meta"]["tag"] == [TAG]


async def test_labels_added_at_the_same_time_are_all_there(shop: Shop) -> None:
    await shop.put("Patient/p", customer("Old"))
    key = ResourceKey("Patient", "p")

    async def add(number: int) -> None:
        def changed(before: Any) -> Any:
            return {**before, "tag": [*before.get("tag", ()), {"code": f"t{number}"}]}

        await shop.database.transact(ORGANIZATION, CHANGE, lambda unit: change_labels(unit, key, changed, SYSTEM))

    await asyncio.gather(*(add(number) for number in range(8)), rename(shop))
    meta = (await shop.read("Patient/p"))["meta"]
    assert {f"t{number}" for number in range(8)} <= {each["code"] for each in meta["tag"]}
    assert (await shop.read("Patient/p"))["name"][0]["family"] == "Newest"
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
