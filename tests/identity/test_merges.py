"""Merging moves nothing: one record stands for another, FHIR says so, and ending it restores all (issue 7, point 2)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import ReferenceConflict, ResourceNotFound
from storage.persons.errors import AlreadyMerged, MergeRefused, NotOpen
from storage.persons.matches import MatchQueue
from storage.persons.merges import (
    Merges,
    existing,
    merge_match,
    merge_records,
    person_of,
    reject_match,
    survivors_of,
    unmerge,
)
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey, Write
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.identity.world import ADA, CHANGE, C, F, P, World


def but_meta(resource: dict[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in resource["meta"].items() if name not in {"versionId", "lastUpdated"}}
    return {**resource, "meta": meta}


async def test_identity_a_merge_is_shown_on_both_records_in_the_same_unit_of_work(world: World):
    world.customer("a")
    world.patient("b")
    await world.settle()
    await world.database.transact(
        ORGANIZATION, CHANGE, lambda unit: merge_records(unit, (C, "a"), (P, "b"), "nurse", "one person")
    )
    shown = await world.store.read(ResourceKey("Patient", "b"), world.access)
    assert b'"replaced-by"' in shown.body
    assert await world.links("a") == [("replaces", "b")]
    assert await world.links("b") == [("replaced-by", "a")]
    assert await world.survivor((P, "b")) == (C, "a")
    assert await world.survivor((C, "a")) == (C, "a")


async def test_identity_ending_a_merge_restores_both_records_as_they_were(world: World):
    world.customer("a")
    world.patient("b", "1001")
    world.profile("f", "user_1")
    world.mapping("a", "medical_record_number", "care", "1001")
    before = [but_meta(await world.patient_shown(key)) for key in ("a", "b", "f")]
    assert await world.links("a") == [("seealso", "b")]
    first = await world.merge((C, "a"), (P, "b"))
    second = await world.merge((C, "a"), (F, "f"))
    assert await world.links("a") == [("replaces", "b"), ("replaces", "f")]
    assert await world.links("b") == [("replaced-by", "a")]
    for each in (first, second):
        assert (await world.unmerge(each)).unmerge_reason == "two persons"
    assert [but_meta(await world.patient_shown(key)) for key in ("a", "b", "f")] == before
    assert await world.survivor((P, "b")) == (P, "b")
    findings = await reconcile(world.database, ORGANIZATION, fix=False)
    assert findings.agrees, findings.examples


async def test_identity_nothing_of_either_record_moves(world: World):
    world.customer("a")
    world.customer("b")
    world.mapping("a", "stripe_customer_id", "stripe", "cus_a")
    world.mapping("b", "stripe_customer_id", "stripe", "cus_b")
    await world.merge((C, "a"), (C, "b"))
    assert [world.count("identity_mappings", customer_id=key) for key in ("a", "b")] == [1, 1]
    assert await world.work(lambda unit: person_of(unit, C, "b")) == ((C, "a"), (C, "b"))


async def test_identity_a_chain_of_merges_leads_to_its_end(world: World):
    for key in ("a", "b", "c"):
        world.customer(key)
    first = await world.merge((C, "b"), (C, "a"))
    await world.merge((C, "c"), (C, "b"))
    assert await world.survivor((C, "a")) == (C, "c")
    assert await world.links("b") == [("replaces", "a"), ("replaced-by", "c")]
    assert await world.work(lambda unit: person_of(unit, C, "a")) == ((C, "c"), (C, "b"), (C, "a"))
    await world.unmerge(first)
    assert await world.survivor((C, "a")) == (C, "a")
    assert await world.survivor((C, "b")) == (C, "c")


async def test_identity_what_is_merged_already_is_refused_with_who_stands_for_it(world: World):
    for key in ("a", "b", "c"):
        world.customer(key)
    await world.merge((C, "a"), (C, "b"))
    for survivor, merged in (((C, "c"), (C, "b")), ((C, "b"), (C, "c")), ((C, "b"), (C, "a"))):
        with pytest.raises(AlreadyMerged) as refused:
            await world.merge(survivor, merged)
        assert (refused.value.record, refused.value.into) == ((C, "b"), (C, "a"))
    with pytest.raises(MergeRefused):
        await world.merge((C, "c"), (C, "c"))
    with pytest.raises(ResourceNotFound):
        await world.merge((C, "c"), (P, "c"))
    with pytest.raises(ResourceNotFound):
        await world.merge((C, "c"), ("subscriptions", "c"))


async def test_identity_a_merge_ends_once_and_a_pair_is_decided_once(world: World):
    world.customer("a", **ADA)
    world.customer("b", **ADA)
    (match,) = await world.matches()
    with pytest.raises(MergeRefused):
        await world.work(lambda unit: merge_match(unit, match.id, "z", "nurse", None))
    merge = await world.work(lambda unit: merge_match(unit, match.id, f"{C}/b", "nurse", None))
    assert (merge.survivor, merge.merged, merge.match_id) == ((C, "b"), (C, "a"), match.id)
    assert merge.evidence == match.evidence
    for decide in (
        lambda unit: merge_match(unit, match.id, "a", "nurse", None),
        lambda unit: reject_match(unit, match.id, "nurse", None),
    ):
        with pytest.raises(NotOpen):
            await world.work(decide)
    await world.unmerge(merge)
    with pytest.raises(NotOpen):
        await world.unmerge(merge)
    assert [each.status for each in await world.matches()] == ["unmerged"]
    again = await world.work(lambda unit: merge_match(unit, match.id, "a", "nurse", None))
    assert again.survivor == (C, "a")


async def test_identity_records_merged_by_hand_have_evidence_too(world: World):
    world.customer("a", **ADA)
    world.customer("z", first_name="Zoe")
    merge = await world.merge((C, "a"), (C, "z"))
    assert "below" in merge.evidence["because"]
    assert [(each.status, each.outcome) for each in await world.matches()] == [("merged", "not")]


async def test_identity_merges_that_lead_to_each_other_at_once_do_not_both_happen(world: World):
    for key in ("a", "b", "c", "d"):
        world.customer(key)
    await world.merge((C, "b"), (C, "a"))
    await world.merge((C, "d"), (C, "c"))
    tries = [world.merge((C, "d"), (C, "b")), world.merge((C, "b"), (C, "d"))]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["AlreadyMerged", "Merge"]
    assert len({await world.survivor((C, key)) for key in ("a", "b", "c", "d")}) == 1


async def test_identity_a_record_that_goes_takes_its_links_along_and_stands_for_nobody(world: World):
    world.customer("a")
    world.patient("b")
    await world.merge((C, "a"), (P, "b"))
    world.sql("DELETE FROM customer_profiles")
    assert await world.links("b") == []
    assert await world.survivor((P, "b")) == (P, "b")
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_identity_a_merge_holds_no_record_back_from_deletion_through_fhir(world: World):
    world.customer("a")
    world.patient("b")
    await world.merge((C, "a"), (P, "b"))

    async def delete(unit: Any) -> None:
        await world.store.write(unit, [Write(ResourceKey("Patient", "b"), None)], world.access)

    await world.work(delete)
    assert await world.links("a") == []


async def test_identity_a_clients_own_link_still_holds_a_record_back(world: World):
    world.customer("a")
    world.patient("b")
    shown = await world.patient_shown("a")
    own = {**shown, "link": [{"other": {"reference": "Patient/b"}, "type": "replaces"}]}

    async def write(unit: Any) -> None:
        await world.store.write(unit, [Write(ResourceKey("Patient", "a"), own)], world.access)

    async def delete(unit: Any) -> None:
        await world.store.write(unit, [Write(ResourceKey("Patient", "b"), None)], world.access)

    await world.work(write)
    assert await world.links("a") == [("replaces", "b")]
    with pytest.raises(ReferenceConflict):
        await world.work(delete)


async def test_identity_what_a_client_writes_back_of_a_merge_goes_with_the_merge(world: World):
    world.customer("a")
    world.customer("b")
    merge = await world.merge((C, "a"), (C, "b"))
    shown = await world.patient_shown("a")

    async def write(unit: Any) -> None:
        await world.store.write(unit, [Write(ResourceKey("Patient", "a"), {**shown, "active": True})], world.access)

    await world.work(write)
    await world.unmerge(merge)
    assert await world.links("a") == []


async def test_TN_a_merge_of_one_organization_is_nothing_to_another(world: World):
    other = World(world.database, world.url, OTHER_ORGANIZATION)
    for each in (world, other):
        each.customer("a")
        each.customer("b")
        await each.settle()
    merge = await world.merge((C, "a"), (C, "b"))
    assert await other.links("b") == []
    assert await other.survivor((C, "b")) == (C, "b")
    with pytest.raises(ResourceNotFound):
        await other.unmerge(merge)
    async with other.database.glance(OTHER_ORGANIZATION) as snapshot:
        assert (await Merges(snapshot).page()).total == 0
        assert (await MatchQueue(snapshot).page()).total == 0


KEYS = ("a", "b", "c", "d", "e")
STEPS = st.lists(
    st.tuples(st.sampled_from(["merge", "unmerge"]), st.sampled_from(KEYS), st.sampled_from(KEYS)), max_size=12
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_identity_whatever_is_merged_and_unmerged_the_end_of_all_is_the_beginning(world: World, steps):
    if not world.count(C):
        for key in KEYS:
            world.customer(key)
    await world.settle()
    before = [but_meta(await world.patient_shown(key)) for key in KEYS]
    into: dict[str, str] = {}
    ids: dict[str, str] = {}

    async def run(unit: Any) -> None:
        for step, one, other in steps:
            if step == "unmerge" and other in into:
                await unmerge(unit, ids.pop(other), "nurse", None)
                del into[other]
            elif step == "merge" and one != other and not {one, other} & into.keys():
                into[other] = one
                ids[other] = (await merge_records(unit, (C, one), (C, other), "nurse", None)).id
            elif step == "merge":
                with pytest.raises(MergeRefused):
                    await merge_records(unit, (C, one), (C, other), "nurse", None)

    async def end(unit: Any) -> None:
        for each in ids.values():
            await unmerge(unit, each, "nurse", None)

    await world.work(run)
    for key in KEYS:
        end_of = key
        while end_of in into:
            end_of = into[end_of]
        assert await world.survivor((C, key)) == (C, end_of)
        assert (("replaced-by", into.get(key)) in await world.links(key)) == (key in into)
    await world.work(end)
    assert [but_meta(await world.patient_shown(key)) for key in KEYS] == before


async def test_identity_as_many_records_are_looked_up_as_an_organization_has(world: World):
    """PostgreSQL takes 65,535 parameters in a statement."""
    world.customer("a")
    world.patient("b")
    await world.settle()
    await world.merge((C, "a"), (P, "b"))
    records = [(P, "b"), *((C, f"nobody-{n}") for n in range(70_000))]
    async with world.database.glance(ORGANIZATION) as snapshot:
        found = await survivors_of(snapshot, records)
        assert await existing(snapshot, [*records, (C, "a")]) == {(P, "b"), (C, "a")}
    assert found.pop((P, "b")) == (C, "a")
    assert all(record == survivor for record, survivor in found.items())
