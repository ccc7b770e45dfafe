"""The store's verbs: versions, visibility, conflicts (FHIR R4 http.html; security AZ-6, AZ-8, DU-3, DU-4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from storage.access import Access, Reach, Right, system_access
from storage.codec import decode
from storage.engine import Database
from storage.errors import (
    InteractionForbidden,
    ReferenceConflict,
    ResourceGone,
    ResourceNotFound,
    UnresolvedReference,
    VersionConflict,
    WriteOutsideAccess,
)
from storage.history.instance import HistoryQuery
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.resources import ANY_VERSION, ResourceKey, Write, Written
from storage.store import ResourceStore
from storage.tables import fhir
from storage.transaction import Change
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

CHANGE = Change(actor="tester", client_id="tests", api="test")
SYSTEM = system_access(ORGANIZATION, "tester")
ALL_COMPARTMENT = dict.fromkeys(Right, Reach.COMPARTMENT)


def patient_access(patient: str, *types: str) -> Access:
    """A caller bound to one patient."""
    return Access(
        ORGANIZATION, "someone", "PATIENT", "app", dict.fromkeys(types or ("Patient", "Observation"), ALL_COMPARTMENT),
        patient=patient,
    )  # fmt: skip


def patient(family: str = "Doe", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "name": [{"family": family}], **more}


def observation(subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
        "subject": {"reference": subject},
        **more,
    }


@dataclass
class Shop:
    """A store and its short cuts."""

    database: Database
    store: ResourceStore

    async def write(self, *writes: Write, access: Access = SYSTEM) -> list[Written]:
        return await self.database.transact(
            access.organization_id, CHANGE, lambda unit: self.store.write(unit, writes, access)
        )

    async def put(self, id_: str, resource: dict[str, Any], access: Access = SYSTEM, **how: Any) -> Written:
        key = ResourceKey(resource["resourceType"], id_)
        return (await self.write(Write(key, resource | {"id": id_}, **how), access=access))[0]

    async def delete(self, name: str, access: Access = SYSTEM, **how: Any) -> Written:
        return (await self.write(Write(ResourceKey(*name.split("/")), None, **how), access=access))[0]

    async def read(self, name: str, access: Access = SYSTEM) -> dict[str, Any]:
        return decode((await self.store.read(ResourceKey(*name.split("/")), access)).body)


@pytest.fixture
async def shop(fresh_database: Database) -> Shop:
    fresh_database.flush = flush
    await Projector(fresh_database).drain()
    return Shop(fresh_database, ResourceStore(fresh_database, Places()))


async def test_fhir_C1_a_created_resource_is_read_back_as_written(shop: Shop) -> None:
    await shop.put("p1", patient(birthDate="1980-01"))
    body = await shop.read("Patient/p1")
    assert body["birthDate"] == "1980-01"
    assert body["meta"]["versionId"] == "1"


async def test_fhir_R3_every_version_stays_readable(shop: Shop) -> None:
    await shop.put("p1", patient("One"))
    await shop.put("p1", patient("Two"))
    await shop.delete("Patient/p1")
    await shop.put("p1", patient("Four"))
    key = ResourceKey("Patient", "p1")
    families = [decode((await shop.store.vread(key, n, SYSTEM)).body)["name"][0]["family"] for n in (1, 2, 4)]
    assert families == ["One", "Two", "Four"]
    with pytest.raises(ResourceGone):
        await shop.store.vread(key, 3, SYSTEM)
    with pytest.raises(ResourceNotFound):
        await shop.store.vread(key, 5, SYSTEM)


async def test_fhir_R1_a_deleted_resource_is_gone_and_an_unknown_one_not_found(shop: Shop) -> None:
    await shop.put("p1", patient())
    await shop.delete("Patient/p1")
    with pytest.raises(ResourceGone):
        await shop.read("Patient/p1")
    with pytest.raises(ResourceNotFound):
        await shop.read("Patient/p2")


async def test_fhir_V1_history_is_newest_first_with_the_deletion(shop: Shop) -> None:
    await shop.put("p1", patient("One"))
    await shop.put("p1", patient("Two"))
    await shop.delete("Patient/p1")
    page = await shop.store.history(ResourceKey("Patient", "p1"), HistoryQuery(count=2), SYSTEM)
    assert [(v.version, v.deleted) for v in page.versions] == [(3, True), (2, False)]
    assert page.total == 3
    rest = await shop.store.history(ResourceKey("Patient", "p1"), HistoryQuery(2, before=page.next_before), SYSTEM)
    assert [v.version for v in rest.versions] == [1]
    assert rest.next_before is None


async def test_fhir_U4_equal_content_makes_no_version_whatever_the_order_of_elements(shop: Shop) -> None:
    await shop.put("p1", patient(gender="female", birthDate="1980-01-01"))
    again = await shop.put("p1", {"birthDate": "1980-01-01", "gender": "female", **patient()})
    assert (again.changed, again.version and again.version.version) == (False, 1)


async def test_fhir_H12_a_digit_more_is_a_change(shop: Shop) -> None:
    from decimal import Decimal

    await shop.put("o1", observation("Patient/x", valueQuantity={"value": Decimal("1.1")}))
    changed = await shop.put("o1", observation("Patient/x", valueQuantity={"value": Decimal("1.10")}))
    assert changed.changed
    assert b'"value":1.10' in (await shop.store.read(ResourceKey("Observation", "o1"), SYSTEM)).body


async def test_fhir_U5_tags_of_the_earlier_version_stay(shop: Shop) -> None:
    tag = {"system": "urn:t", "code": "a"}
    await shop.put("p1", patient(meta={"tag": [tag]}))
    await shop.put("p1", patient("Other"))
    assert (await shop.read("Patient/p1"))["meta"]["tag"] == [tag]


async def test_fhir_U3_a_stale_or_missing_version_is_refused(shop: Shop) -> None:
    await shop.put("p1", patient())
    await shop.put("p1", patient("Two"), expected_version=1)
    with pytest.raises(VersionConflict):
        await shop.put("p1", patient("Three"), expected_version=1)
    with pytest.raises(VersionConflict):
        await shop.put("unknown", patient(), expected_version=ANY_VERSION)
    with pytest.raises(VersionConflict):
        await shop.delete("Patient/p1", expected_version=1)


async def test_security_DU4_of_many_writers_with_if_match_exactly_one_wins(shop: Shop) -> None:
    await shop.put("p1", patient())
    results = await asyncio.gather(
        *(shop.put("p1", patient(f"Writer {n}"), expected_version=1) for n in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Written) for result in results) == 1
    assert sum(isinstance(result, VersionConflict) for result in results) == 7


async def test_security_DU4_writers_without_if_match_are_serialised_and_all_versions_kept(shop: Shop) -> None:
    await shop.put("p1", patient())
    await asyncio.gather(*(shop.put("p1", patient(f"Writer {n}")) for n in range(4)))
    page = await shop.store.history(ResourceKey("Patient", "p1"), HistoryQuery(count=10), SYSTEM)
    assert [version.version for version in page.versions] == [5, 4, 3, 2, 1]


async def test_security_DU4_two_creates_of_one_id_at_once_make_two_versions(shop: Shop) -> None:
    await asyncio.gather(*(shop.put("new", patient(f"Writer {n}")) for n in range(3)))
    assert (await shop.read("Patient/new"))["meta"]["versionId"] == "3"


async def test_fhir_X2_what_others_refer_to_is_not_deleted(shop: Shop) -> None:
    await shop.put("p1", patient())
    await shop.put("e1", {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}})
    await shop.put("o1", observation("Patient/p1", encounter={"reference": "Encounter/e1"}))
    for name in ("Patient/p1", "Encounter/e1"):
        with pytest.raises(ReferenceConflict) as refused:
            await shop.delete(name)
        assert refused.value.referrers == ("Observation/o1",)
    gone = await shop.write(
        *(Write(ResourceKey(*name.split("/")), None) for name in ("Patient/p1", "Encounter/e1", "Observation/o1"))
    )
    assert all(result.changed for result in gone)


async def test_fhir_X1_deleting_nothing_does_nothing(shop: Shop) -> None:
    assert (await shop.delete("Patient/never")).version is None


async def test_security_AZ6_another_patients_resource_is_as_absent(shop: Shop) -> None:
    await shop.put("p1", patient())
    await shop.put("p2", patient())
    await shop.put("o2", observation("Patient/p2"))
    mine = patient_access("p1")
    for name in ("Observation/o2", "Observation/never", "Patient/p2"):
        key = ResourceKey(*name.split("/"))
        with pytest.raises(ResourceNotFound):
            await shop.read(name, mine)
        with pytest.raises(ResourceNotFound):
            await shop.store.vread(key, 1, mine)
        with pytest.raises(ResourceNotFound):
            await shop.store.history(key, HistoryQuery(count=5), mine)
    with pytest.raises(ResourceNotFound):
        await shop.put("o2", observation("Patient/p1"), mine)
    with pytest.raises(ResourceNotFound):
        await shop.put("never", observation("Patient/p1"), mine)
    assert (await shop.delete("Observation/o2", mine)).version is None
    assert (await shop.read("Observation/o2"))["subject"]["reference"] == "Patient/p2"


async def test_security_AZ8_a_patient_writes_into_the_own_compartment_only(shop: Shop) -> None:
    await shop.put("p1", patient())
    await shop.put("p2", patient())
    mine = patient_access("p1")
    created = Write(ResourceKey("Observation", "o1"), observation("Patient/p1", id="o1"), must_not_exist=True)
    assert (await shop.write(created, access=mine))[0].created
    foreign = Write(ResourceKey("Observation", "o9"), observation("Patient/p2", id="o9"), must_not_exist=True)
    with pytest.raises(WriteOutsideAccess):
        await shop.write(foreign, access=mine)
    with pytest.raises(WriteOutsideAccess):
        await shop.put("o1", observation("Patient/p2"), mine)


async def test_security_AZ4_a_type_without_a_right_is_refused(shop: Shop) -> None:
    await shop.put("p1", patient())
    with pytest.raises(InteractionForbidden):
        await shop.read("Patient/p1", patient_access("p1", "Observation"))


async def test_security_AZ3_a_compartment_without_a_patient_reaches_nothing(shop: Shop) -> None:
    nobody = Access(ORGANIZATION, "a", "PATIENT", "app", {"Patient": ALL_COMPARTMENT}, patient=None)
    with pytest.raises(InteractionForbidden):
        await shop.read("Patient/p1", nobody)


async def test_security_TN1_equal_ids_of_two_organizations_never_meet(shop: Shop) -> None:
    other = system_access(OTHER_ORGANIZATION, "tester")
    await shop.put("p1", patient("Ours"))
    await shop.put("p1", patient("Theirs"), other)
    assert (await shop.read("Patient/p1"))["name"] == [{"family": "Ours"}]
    assert (await shop.read("Patient/p1", other))["name"] == [{"family": "Theirs"}]
    await shop.delete("Patient/p1", other)
    assert (await shop.read("Patient/p1"))["name"] == [{"family": "Ours"}]


async def test_fhir_C5_references_are_enforced_where_configured(fresh_database: Database) -> None:
    strict = Shop(fresh_database, ResourceStore(fresh_database, Places(), enforce_references=True))
    with pytest.raises(UnresolvedReference) as refused:
        await strict.put("o1", observation("Patient/p1"))
    assert str(refused.value.expression) == "Observation.subject.reference"
    await strict.write(
        Write(ResourceKey("Observation", "o1"), observation("Patient/p1", id="o1")),
        Write(ResourceKey("Patient", "p1"), patient(id="p1")),
    )


async def test_security_DU2_a_failing_write_leaves_nothing(shop: Shop) -> None:
    with pytest.raises(VersionConflict):
        await shop.write(
            Write(ResourceKey("Patient", "p1"), patient(id="p1")),
            Write(ResourceKey("Patient", "p2"), patient(id="p2"), expected_version=7),
        )
    with pytest.raises(ResourceNotFound):
        await shop.read("Patient/p1")


@pytest.mark.parametrize("change", [lambda r: r, lambda r: r | {"gender": "female"}, lambda r: None])
async def test_the_index_agrees_with_the_store_after_every_write(
    shop: Shop, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> None:
    first = patient(gender="male", telecom=[{"system": "phone", "value": "1"}], meta={"tag": [{"code": "x"}]})
    await shop.put("p1", first)
    changed = change(first)
    key = ResourceKey("Patient", "p1")
    await shop.write(Write(key, None if changed is None else changed | {"id": "p1"}))
    findings = await reconcile(shop.database, ORGANIZATION, fix=False)
    assert findings.agrees


async def test_reconcile_finds_and_mends_a_broken_index(shop: Shop) -> None:
    await shop.put("p1", patient(gender="male"))
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        own = fhir.index_tokens.c.organization_id == ORGANIZATION
        await unit.connection.execute(fhir.index_tokens.delete().where(own))
    assert not (await reconcile(shop.database, ORGANIZATION, fix=True)).agrees
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees
