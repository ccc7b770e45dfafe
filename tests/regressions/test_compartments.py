"""What a caller who is bound to one patient learns of others (security AZ-2, AZ-6, AZ-8; fhir_rest V6)."""

from __future__ import annotations

from itertools import count

import pytest

from storage.access import Access, Reach, Right
from storage.errors import ResourceNotFound, StorageError, UnresolvedReference, WriteOutsideAccess
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.regressions.shop import Shop, bound, observed, person

NOBODY = "nobody-has-this-id"


async def test_fhir_V6_versions_about_several_other_patients_are_not_in_the_history_of_the_next_one(shop: Shop) -> None:
    await shop.put_versions_of_many_owners()
    assert await shop.versions("Observation/o") == [7, 6, 5, 4, 3, 2, 1]
    assert await shop.versions("Observation/o", bound("a")) == [7, 6, 5]
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
    for number in (1, 2, 3, 4):
        with pytest.raises(ResourceNotFound):
            await shop.store.vread(
                (await shop.put("Observation/o", observed("Patient/a"))).version.key, number, bound("a")
            )


async def test_security_AZ6_a_resource_that_went_to_another_patient_is_gone_for_the_former_one_with_its_history(
    shop: Shop,
) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/o", observed("Patient/a"))
    await shop.put("Observation/o", observed("Patient/b"))
    with pytest.raises(ResourceNotFound):
        await shop.versions("Observation/o", bound("a"))
    assert await shop.versions("Observation/o", bound("b")) == [2]
    assert await shop.ids("Observation", bound("a")) == []
    assert await shop.ids("Observation?code=8867-4", bound("a")) == []
    assert await shop.ids("Observation?code=8867-4", bound("b")) == ["o"]


@pytest.mark.parametrize("enforce", [False, True])
async def test_security_AZ6_a_write_does_not_tell_whether_another_patient_exists(shop: Shop, enforce: bool) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/of-b", observed("Patient/b"))
    numbers = count(1)
    own = Shop(shop.database, ResourceStore(shop.database, Places(), enforce_references=enforce))

    async def answer(**elements: object) -> tuple[type, str]:
        try:
            await own.create(f"Observation/{next(numbers)}", observed("Patient/a", **elements), bound("a"))
        except StorageError as error:
            return type(error), str(error)
        return Shop, ""

    for target in ("Patient/b", "Observation/of-b"):
        absent = f"{target.partition('/')[0]}/{NOBODY}"
        asked = [await answer(derivedFrom=[{"reference": each}]) for each in (target, absent)]
        asked += [await answer(performer=[{"reference": each}]) for each in (target, absent)]
        assert asked[0] == asked[1]
        assert asked[2] == asked[3]
    assert (await answer(performer=[{"reference": "Patient/b"}]))[0] is UnresolvedReference
    assert (await answer(performer=[{"reference": "Patient/a"}]))[0] is Shop


async def test_settled_3_5_who_may_create_for_everyone_need_not_refer_to_what_is_there(shop: Shop) -> None:
    creator = Access(
        ORGANIZATION, "device", "SERVICE", "app", {"Observation": {Right.CREATE: Reach.ORGANIZATION}}
    )  # fmt: skip
    await shop.create("Observation/o", observed("Patient/not-yet"), creator)
    with pytest.raises(WriteOutsideAccess):
        await shop.create("Observation/p", observed("Patient/not-yet"), bound("a"))


async def test_security_AZ8_what_lies_in_other_compartments_as_well_is_not_taken_from_them(shop: Shop) -> None:
    """A patient's app sees what is shared, and neither deletes it nor keeps it for itself alone."""
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    shared = [{"reference": f"Patient/{name}"} for name in ("a", "b")]
    await shop.put("Observation/both", observed(None, performer=shared))
    assert await shop.ids("Observation", bound("a")) == ["both"]
    with pytest.raises(WriteOutsideAccess):
        await shop.put("Observation/both", observed("Patient/a"), bound("a"))
    with pytest.raises(WriteOutsideAccess):
        await shop.delete("Observation/both", access=bound("a"))
    assert await shop.versions("Observation/both") == [1]
    await shop.put("Observation/one", observed(None, performer=shared[:1]))
    await shop.put("Observation/one", observed("Patient/a"), bound("a"))
    await shop.put("Observation/one", observed(None, performer=shared[:1]))
    await shop.delete("Observation/one", access=bound("a"))
    assert await shop.versions("Observation/one") == [4, 3, 2, 1]
