"""References below the server's own address are local ones (FHIR R4 references.html#literal, search.html#reference)."""

from __future__ import annotations

import pytest

from storage.errors import ReferenceConflict, ResourceNotFound, UnresolvedReference, WriteOutsideAccess
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.regressions.shop import BASE, Shop, bound, observed, person

FOREIGN = "https://elsewhere.example.org/fhir"


async def test_fhir_8_5_an_absolute_reference_below_the_own_base_is_found_like_a_relative_one(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    await shop.put("Observation/relative", observed("Patient/a"))
    await shop.put("Observation/own", observed(f"{BASE}/Patient/a"))
    await shop.put("Observation/foreign", observed(f"{FOREIGN}/Patient/a"))
    for query in ("subject=Patient/a", "patient=a", f"subject={BASE}/Patient/a", "subject:Patient.name=doe"):
        assert sorted(await shop.ids(f"Observation?{query}")) == ["own", "relative"]
    assert await shop.ids(f"Observation?subject={FOREIGN}/Patient/a") == ["foreign"]
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_security_AZ2_an_absolute_reference_below_the_own_base_puts_a_resource_into_the_compartment(
    shop: Shop,
) -> None:
    await shop.put("Patient/a", person())
    await shop.put("Observation/own", observed(f"{BASE}/Patient/a"))
    await shop.put("Observation/foreign", observed(f"{FOREIGN}/Patient/a"))
    assert (await shop.read("Observation/own", bound("a")))["subject"] == {"reference": f"{BASE}/Patient/a"}
    assert await shop.ids("Observation", bound("a")) == ["own"]
    with pytest.raises(ResourceNotFound):
        await shop.read("Observation/own", bound("b"))


async def test_security_AZ8_no_absolute_reference_moves_a_resource_to_another_patient(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/o", observed("Patient/a"))
    await shop.put("Observation/o", observed(f"{BASE}/Patient/a"), bound("a"))
    for target in (f"{BASE}/Patient/b", f"{BASE}/Patient/b/_history/1", f"{FOREIGN}/Patient/a"):
        with pytest.raises(WriteOutsideAccess):
            await shop.put("Observation/o", observed(target), bound("a"))


async def test_fhir_X2_an_absolute_reference_below_the_own_base_holds_its_target_back(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    await shop.put("Practitioner/d", {"resourceType": "Practitioner"})
    await shop.put("Observation/o", observed(f"{BASE}/Patient/a", performer=[{"reference": f"{BASE}/Practitioner/d"}]))
    for name in ("Patient/a", "Practitioner/d"):
        with pytest.raises(ReferenceConflict):
            await shop.delete(name)


async def test_fhir_C5_absolute_references_below_the_own_base_have_to_resolve_where_others_have(shop: Shop) -> None:
    strict = Shop(shop.database, ResourceStore(shop.database, Places(), enforce_references=True))
    await strict.put("Patient/a", person())
    await strict.put("Observation/o", observed(f"{BASE}/Patient/a"))
    await strict.put("Observation/p", observed(f"{FOREIGN}/Patient/nobody"))
    with pytest.raises(UnresolvedReference):
        await strict.put("Observation/q", observed(f"{BASE}/Patient/nobody"))


async def test_map_an_absolute_reference_is_kept_as_written_wherever_its_resource_lives(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    quantity = {"value": 72, "unit": "beats/minute", "system": "http://unitsofmeasure.org", "code": "/min"}
    moment = "2024-05-01T10:00:00Z"
    written = observed(f"{BASE}/Patient/a", effectiveDateTime=moment, valueQuantity=quantity)
    await shop.put("Observation/o", written)
    read = await shop.read("Observation/o")
    assert {name: value for name, value in read.items() if name not in ("id", "meta")} == written
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
