"""Histories across resources, as the store reads them (FHIR R4 http.html#history; fhir_rest §6, security AZ-2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from storage.access import Access, Reach, Right
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.errors import CursorInvalid, InteractionForbidden
from storage.history import stream
from storage.history.stream import StreamQuery, Streams
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.resources import ResourceKey, Version
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, SYSTEM, Shop, bound, observed, person

SECRET = b"a secret for tests"


@dataclass
class Past:
    """A store that is asked for its histories."""

    shop: Shop
    streams: Streams = field(init=False)

    def __post_init__(self) -> None:
        database = self.shop.database
        self.streams = Streams(database, SECRET, database.ids.milliseconds)

    async def all(self, resource_type: str = "", access: Access = SYSTEM, **how: Any) -> list[str]:
        """Return every version as Type/id/version, page by page."""
        return [named(each) for each in await self.versions(resource_type, access, **how)]

    async def versions(
        self, resource_type: str = "", access: Access = SYSTEM, *, count: int = 2, **how: Any
    ) -> list[Version]:
        query = StreamQuery(resource_type, count, **how)
        found: list[Version] = []
        while True:
            page = await self.streams.page(query, access)
            found.extend(page.versions)
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)


def named(version: Version) -> str:
    return f"{version.key}/{version.version}"


@pytest.fixture
async def past(fresh_database: Database) -> Past:
    fresh_database.flush = flush
    return Past(Shop(fresh_database, ResourceStore(fresh_database, Places())))


async def fill(shop: Shop) -> None:
    """Two patients, of one of whom there is an Observation with four versions."""
    await shop.put("Patient/a", person("One"))
    await shop.put("Patient/b", person())
    await shop.put("Observation/o", observed("Patient/a"))
    await shop.put("Patient/a", person("Two"))
    await shop.put("Observation/o", observed("Patient/a", status="amended"))
    await shop.delete("Observation/o")
    await shop.put("Observation/o", observed("Patient/a", status="corrected"))


ALL = [
    "Observation/o/4", "Observation/o/3", "Observation/o/2", "Patient/a/2", "Observation/o/1", "Patient/b/1",
    "Patient/a/1",
]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_fhir_V1_a_history_of_everything_holds_every_version_once_newest_first(past: Past, count: int) -> None:
    await fill(past.shop)
    assert await past.all(count=count) == ALL
    assert await past.all("Patient", count=count) == [name for name in ALL if name.startswith("Patient")]
    assert await past.all("Observation", count=count) == [name for name in ALL if name.startswith("Observation")]
    assert await past.all("Encounter", count=count) == []


async def test_fhir_V1_a_deletion_has_no_body_and_other_versions_have_their_own(past: Past) -> None:
    await fill(past.shop)
    bodies = {named(each): each.body for each in await past.versions()}
    assert [name for name, body in bodies.items() if not body] == ["Observation/o/3"]
    assert b'"One"' in bodies["Patient/a/1"]
    assert b'"Two"' in bodies["Patient/a/2"]
    assert b'"amended"' in bodies["Observation/o/2"]


async def test_fhir_V1_versions_of_one_instant_are_told_apart_by_number_type_and_id(past: Past) -> None:
    now = past.shop.database.ids.milliseconds()
    past.shop.database.ids.milliseconds = lambda: now  # SQLite takes the time from here
    await fill(past.shop)
    past.shop.database.ids.milliseconds = lambda: now + 5
    found = await past.versions(count=1)
    assert sorted(map(named, found)) == sorted(ALL)
    assert [(each.last_updated, each.version) for each in found] == sorted(
        ((each.last_updated, each.version) for each in found), reverse=True
    )


async def test_fhir_V1_the_total_counts_all_pages(past: Past) -> None:
    await fill(past.shop)
    first = await past.streams.page(StreamQuery("", 3), SYSTEM)
    assert first.total == 7
    assert first.next_cursor is not None
    await past.shop.put("Patient/c", person())
    second = await past.streams.page(StreamQuery("", 3, cursor=first.next_cursor), SYSTEM)
    assert second.total == 7
    assert (await past.streams.page(StreamQuery("", 50), SYSTEM)).total == 8
    assert (await past.streams.page(StreamQuery("Patient", 0), SYSTEM)).total == 4
    app = bound("a", "Patient", "Observation")
    assert (await past.streams.page(StreamQuery("", 1), app)).total == 6


async def test_a_total_above_ten_thousand_is_not_given(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(past.shop)
    monkeypatch.setattr(stream, "MOST_COUNTED", 6)
    assert (await past.streams.page(StreamQuery("", 3), SYSTEM)).total is None
    assert (await past.streams.page(StreamQuery("Observation", 3), SYSTEM)).total == 4


async def test_fhir_V3_what_appears_while_paging_is_not_mixed_in(past: Past) -> None:
    await fill(past.shop)
    query = StreamQuery("", 2)
    page = await past.streams.page(query, SYSTEM)
    found = list(page.versions)
    number = 0
    while page.next_cursor is not None:
        number += 1
        await past.shop.put("Patient/b", person(f"Another{number}"))
        await past.shop.put(f"Patient/new-{number}", person())
        page = await past.streams.page(replace(query, cursor=page.next_cursor), SYSTEM)
        found += page.versions
    assert list(map(named, found)) == ALL


async def test_fhir_V3_since_an_instant_and_current_at_some_time(past: Past) -> None:
    await fill(past.shop)
    found = await past.versions()
    at = {named(each): each.last_updated for each in found}
    assert sorted(at.values(), reverse=True) == list(at.values())
    since = at["Patient/a/2"]
    assert await past.all(since=since) == [name for name in ALL if at[name] >= since]
    assert await past.all("Patient", since=since) == [name for name in ALL if name[0] == "P" and at[name] >= since]
    assert await past.all(since=at["Observation/o/4"] + 1) == []
    for low, high in [*pairwise(sorted(set(at.values()))), (0, 1), (since, since + 1), (2**60, 2**61)]:
        expected = [name for name in ALL if at[name] < high and not any(low >= at[each] for each in after(name))]
        for access in (SYSTEM, bound("a")):
            seen = [name for name in expected if access is SYSTEM or name != "Patient/b/1"]
            assert await past.all(at=(low, high), access=access) == seen


def after(name: str) -> list[str]:
    """Return the later versions of a resource."""
    key, _, number = name.rpartition("/")
    return [each for each in ALL if each.rpartition("/")[0] == key and int(each.rpartition("/")[2]) > int(number)]


async def test_fhir_V3_a_list_narrows_to_what_it_names(past: Past) -> None:
    await fill(past.shop)
    whole = {ResourceKey("Patient", "a"): None, ResourceKey("Patient", "none"): None}
    assert await past.all(listed=whole) == ["Patient/a/2", "Patient/a/1"]
    some = {ResourceKey("Observation", "o"): frozenset({2, 9}), ResourceKey("Patient", "b"): None}
    assert await past.all(listed=some, count=1) == ["Observation/o/2", "Patient/b/1"]
    assert await past.all("Observation", listed=some) == ["Observation/o/2"]
    assert await past.all(listed={}) == []
    assert await past.all(listed=whole | some, access=bound("b")) == ["Patient/b/1"]


async def test_fhir_V6_a_patients_app_sees_the_versions_of_its_compartment_only(past: Past) -> None:
    shop = past.shop
    shared = await shop.put_versions_of_many_owners()
    await shop.put("Observation/of-b", observed("Patient/b"))
    await shop.put("Observation/both", observed(None, performer=shared))
    await shop.put("Observation/both", observed(None, performer=shared, status="amended"))
    for count in (1, 3, 50):
        own = await past.all("Observation", access=bound("a"), count=count)
        assert own == [f"Observation/o/{number}" for number in (7, 6, 5)]
        assert await past.all(access=bound("a"), count=count) == [*own, "Patient/a/1"]
        assert await past.all("Observation", access=bound("c"), count=count) == [
            "Observation/both/2",
            "Observation/both/1",
        ]
    assert await past.all("Observation", access=bound("nobody")) == []


async def test_fhir_V6_the_deletion_of_a_patients_resource_is_in_the_patients_history(past: Past) -> None:
    await past.shop.put("Patient/a", person())
    await past.shop.put("Observation/o", observed("Patient/a"))
    await past.shop.delete("Observation/o")
    assert await past.all("Observation", access=bound("a")) == ["Observation/o/2", "Observation/o/1"]
    assert await past.all("Observation", access=bound("b")) == []


async def test_fhir_V6_each_type_is_shown_as_far_as_the_caller_sees_it(past: Past) -> None:
    await fill(past.shop)
    await past.shop.put("Practitioner/p", {"resourceType": "Practitioner"})
    rights = {
        "Observation": {Right.SEARCH: Reach.COMPARTMENT},
        "Practitioner": {Right.SEARCH: Reach.ORGANIZATION},
        "Patient": {Right.READ: Reach.COMPARTMENT},
    }
    app = Access(ORGANIZATION, "someone", "PATIENT", "app", rights, patient="a")
    assert await past.all(access=app) == ["Practitioner/p/1", *(name for name in ALL if name.startswith("Observation"))]
    with pytest.raises(InteractionForbidden):
        await past.all("Patient", access=app)
    with pytest.raises(InteractionForbidden):
        await past.all(access=replace(app, rights={}))


async def test_security_AZ10_a_place_belongs_to_its_caller_and_its_history(past: Past) -> None:
    await fill(past.shop)
    cursor = (await past.streams.page(StreamQuery("", 2), SYSTEM)).next_cursor
    for query, access in [
        (StreamQuery("", 2, cursor=cursor), bound("a")),
        (StreamQuery("Patient", 2, cursor=cursor), SYSTEM),
        (StreamQuery("", 2, cursor=cursor, parameters=(("_since", "2020"),)), SYSTEM),
        (StreamQuery("", 2, cursor=f"{cursor}x"), SYSTEM),
    ]:
        with pytest.raises(CursorInvalid):
            await past.streams.page(query, access)


async def test_an_organizations_history_is_its_own(past: Past) -> None:
    await fill(past.shop)
    other = replace(SYSTEM, organization_id="health-hub")
    assert await past.all(access=other) == []
    assert (await past.streams.page(StreamQuery("", 0), other)).total == 0


@pytest.fixture
async def on_postgres(postgres: Any) -> AsyncIterator[Past]:
    database = create_database(postgres.fresh(), ids=IdSource(), role=ROLE)
    await database.open()
    database.flush = flush
    yield Past(Shop(database, ResourceStore(database, Places())))
    await database.close()


async def test_a_history_stops_before_the_oldest_running_transaction(on_postgres: Past) -> None:
    past = on_postgres
    await past.shop.put("Patient/before", person())
    async with past.shop.database.begin(ORGANIZATION, CHANGE):
        await past.shop.put("Patient/during", person())
        assert await past.all() == ["Patient/before/1"]
        assert (await past.streams.page(StreamQuery("", 0), SYSTEM)).total == 1
    assert await past.all() == ["Patient/during/1", "Patient/before/1"]


async def test_fhir_B10_a_unit_of_work_sees_in_a_history_what_it_wrote(past: Past) -> None:
    from storage.reading import UnitReader
    from storage.resources import Write

    await past.shop.put("Patient/a", person())

    async def work(unit: UnitOfWork) -> list[str]:
        key = ResourceKey("Patient", "b")
        await past.shop.store.write(unit, [Write(key, person() | {"id": "b"})], SYSTEM)
        page = await past.streams.reading(UnitReader(unit)).page(StreamQuery("Patient", 5), SYSTEM)
        return [named(each) for each in page.versions]

    assert await past.shop.database.transact(ORGANIZATION, CHANGE, work) == ["Patient/b/1", "Patient/a/1"]
