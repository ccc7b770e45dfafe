"""What is referred to is not deleted (fhir_rest X2, settled §3.5)."""

from __future__ import annotations

import asyncio

import pytest

from storage.access import Access
from storage.errors import ReferenceConflict, UnresolvedReference
from storage.projection.places import Places
from storage.resources import ResourceKey, Write
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, SYSTEM, Resource, Shop, bound, observed, person
from tests.regressions.waiting import until_somebody_waits


def provenance(target: str) -> dict[str, object]:
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"display": "somebody"}}],
    }


async def test_fhir_X2_one_referrer_counts_among_any_number_of_those_without_weight(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    for number in range(130):
        await shop.put(f"Provenance/{number:03}", provenance("Patient/a"))
    await shop.put("ServiceRequest/s", observed("Patient/a", resourceType="ServiceRequest", intent="order"))
    with pytest.raises(ReferenceConflict) as refused:
        await shop.delete("Patient/a")
    assert refused.value.referrers == ("ServiceRequest/s",)
    await shop.delete("Patient/a", "ServiceRequest/s")


async def test_fhir_X2_a_conflict_names_the_referrers_of_what_it_is_about(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
        await shop.put(f"Observation/of-{name}", observed(f"Patient/{name}"))
    with pytest.raises(ReferenceConflict) as refused:
        await shop.delete("Patient/a", "Patient/b")
    about = refused.value.resource_id
    assert refused.value.referrers == (f"Observation/of-{about}",)


@pytest.fixture
async def strict(shop: Shop) -> Shop:
    """A store that refuses references without target."""
    await shop.put("Patient/a", person())
    return Shop(shop.database, ResourceStore(shop.database, Places(), enforce_references=True))


async def until_it_waits(shop: Shop, url: str) -> None:
    """Return when the other unit of work waits; on SQLite it does so before it begins."""
    if shop.database.dialect == "postgresql":
        await until_somebody_waits(url)


def write(name: str, resource: Resource | None) -> Write:
    key = ResourceKey(*name.split("/"))
    return Write(key, None if resource is None else {**resource, "id": key.id})


@pytest.mark.parametrize("access", [SYSTEM, bound("a")], ids=["enforced", "patient_scoped"])
async def test_settled_3_5_a_deletion_waits_for_who_refers_to_the_target_and_is_refused(
    strict: Shop, fresh_database_url: str, access: Access
) -> None:
    store = strict.store if access is SYSTEM else ResourceStore(strict.database, Places())
    observation = Write(ResourceKey("Observation", "o"), observed("Patient/a", id="o"), must_not_exist=True)
    async with strict.database.begin(ORGANIZATION, CHANGE) as unit:
        await store.write(unit, [observation], access)
        deletion = asyncio.create_task(strict.delete("Patient/a"))
        await until_it_waits(strict, fresh_database_url)
    with pytest.raises(ReferenceConflict):
        await deletion
    assert (await strict.read("Observation/o"))["subject"] == {"reference": "Patient/a"}


@pytest.mark.parametrize("access", [SYSTEM, bound("a")], ids=["enforced", "patient_scoped"])
async def test_settled_3_5_who_refers_to_a_target_waits_for_its_deletion_and_is_refused(
    strict: Shop, fresh_database_url: str, access: Access
) -> None:
    shop = strict if access is SYSTEM else Shop(strict.database, ResourceStore(strict.database, Places()))
    async with strict.database.begin(ORGANIZATION, CHANGE) as unit:
        await strict.store.write(unit, [write("Patient/a", None)], SYSTEM)
        reference = asyncio.create_task(shop.create("Observation/o", observed("Patient/a"), access))
        await until_it_waits(strict, fresh_database_url)
    with pytest.raises(UnresolvedReference):
        await reference
    assert await strict.ids("Observation") == []


async def test_settled_3_5_who_refers_to_a_target_and_who_updates_it_do_not_wait_for_each_other(strict: Shop) -> None:
    if strict.database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    async with strict.database.begin(ORGANIZATION, CHANGE) as unit:
        await strict.store.write(unit, [write("Observation/o", observed("Patient/a"))], SYSTEM)
        await strict.put("Patient/a", person("Roe"))
        await strict.put("Observation/other", observed("Patient/a"))
    async with strict.database.begin(ORGANIZATION, CHANGE) as unit:
        await strict.store.write(unit, [write("Patient/a", person("Poe"))], SYSTEM)
        await strict.put("Observation/third", observed("Patient/a"))
    assert await strict.versions("Patient/a") == [3, 2, 1]
