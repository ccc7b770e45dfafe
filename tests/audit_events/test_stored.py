"""AuditEvents that were loaded from elsewhere: they come first, and never in the place of a record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.settings import Settings
from storage.access import system_access
from storage.engine import create_database
from storage.errors import ReadOnlyHome
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.resources import ResourceKey, Write
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.transaction import Change
from tests.conftest import ORGANIZATION
from tests.site import Site, running_site

LOADED = ("loaded-a", "loaded-b", "loaded-c")


def elsewhere(key: str, **more: object) -> dict[str, Any]:
    return {
        "resourceType": "AuditEvent",
        "id": key,
        "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
        "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"who": {"display": "somebody"}, "requestor": True}],
        "source": {"observer": {"display": "another server"}},
        **more,
    }


async def store(settings: Settings, *resources: dict[str, Any]) -> None:
    database = create_database(settings.database_url, role=ROLE)
    database.flush = flush
    await database.open()
    try:
        verbs, access = ResourceStore(database, Places()), system_access(ORGANIZATION, "tester")
        writes = [Write(ResourceKey("AuditEvent", each["id"]), each) for each in resources]
        change = Change("tester", "tests", "test")
        await database.transact(ORGANIZATION, change, lambda unit: verbs.write(unit, writes, access))
    finally:
        await database.close()


@pytest.fixture(scope="module")
def site(database_url: str) -> Iterator[Site]:
    with running_site(database_url, lambda settings: asyncio.run(store(settings, *map(elsewhere, LOADED)))) as made:
        yield made


@pytest.fixture(scope="module")
def auditor(site: Site) -> httpx.Client:
    client = site.client("user/AuditEvent.rs", role="AUDITOR")
    for _ in range(4):
        client.get("/AuditEvent?_count=0")
    return client


@pytest.mark.parametrize("count", [1, 2, 3, 4, 100])
def test_pages_hold_what_is_stored_and_then_what_is_on_record(auditor: httpx.Client, count: int):
    end = auditor.get("/AuditEvent?_count=100").json()["entry"][len(LOADED)]["resource"]["recorded"]
    url = f"/AuditEvent?date=le{end}&_count={count}"
    shown: list[str] = []
    while url:
        bundle = auditor.get(url).json()
        shown += [each["resource"]["id"] for each in bundle.get("entry", []) if each["search"]["mode"] == "match"]
        url = next((each["url"] for each in bundle["link"] if each["relation"] == "next"), "")
    assert set(shown[: len(LOADED)]) == set(LOADED)
    assert len(shown) == len(set(shown))
    assert len(shown) == auditor.get(f"/AuditEvent?date=le{end}&_summary=count").json()["total"]


def test_what_is_stored_is_read_and_searched_like_anything_else(auditor: httpx.Client):
    assert auditor.get("/AuditEvent/loaded-a").json()["source"]["observer"]["display"] == "another server"
    found = auditor.get("/AuditEvent?date=2020-01-01").json()
    assert {each["resource"]["id"] for each in found["entry"]} == set(LOADED)
    assert found["total"] == 3


@pytest.mark.parametrize("key", ["4503599627370496", "r4503599627370496"])
def test_nothing_is_stored_under_the_id_of_a_record(site: Site, key: str):
    with pytest.raises(ReadOnlyHome):
        asyncio.run(store(site.settings, elsewhere(key)))
