"""A history across resources is what the histories of its resources are together, for whoever asks (V1, V3, V6)."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from storage.access import Access
from storage.engine import Database
from storage.errors import ResourceNotFound
from storage.history.instance import HistoryQuery
from storage.history.stream import StreamQuery, Streams
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.resources import ResourceKey, Version
from storage.store import ResourceStore
from tests.regressions.shop import SYSTEM, Shop, bound, observed, person

PATIENTS = ("a", "b", "c")
NAMES = [f"Observation/o{number}" for number in range(6)]
STEPS = 40


async def live(shop: Shop, random: Random) -> None:
    """Write, move and delete Observations: about one patient, several, or nobody."""
    for name in PATIENTS:
        await shop.put(f"Patient/{name}", person())
    for step in range(STEPS):
        name = random.choice(NAMES)
        about = random.sample(PATIENTS, random.choice((0, 1, 1, 2)))
        if random.random() < 0.2:
            await shop.delete(name)
        elif len(about) == 1:
            await shop.put(name, observed(f"Patient/{about[0]}", note=[{"text": str(step)}]))
        else:
            performers = [{"reference": f"Patient/{each}"} for each in about]
            more = {"performer": performers} if performers else {}
            await shop.put(name, observed(None, note=[{"text": str(step)}], **more))


async def one_by_one(shop: Shop, access: Access, **how: Any) -> list[Version]:
    """Return the versions of each resource by its own history, together in order."""
    found: list[Version] = []
    for name in (*NAMES, *(f"Patient/{each}" for each in PATIENTS)):
        key = ResourceKey(*name.split("/"))
        try:
            page = await shop.store.history(key, HistoryQuery(1000, **how), access)
        except ResourceNotFound:
            continue
        found += page.versions
    place = lambda each: (each.last_updated, each.version, each.key.resource_type, each.key.id)  # noqa: E731
    return sorted(found, key=place, reverse=True)


async def across(streams: Streams, access: Access, **how: Any) -> tuple[list[Version], int | None]:
    """Return the versions of all pages, and the total that the first page told."""
    query = StreamQuery("", 7, **how)
    page = await streams.page(query, access)
    total, found = page.total, list(page.versions)
    while page.next_cursor is not None:
        page = await streams.page(replace(query, cursor=page.next_cursor), access)
        found += page.versions
    return found, total


@pytest.mark.parametrize("seed", range(4))
async def test_fhir_V6_histories_across_resources_and_of_one_agree(fresh_database: Database, seed: int) -> None:
    fresh_database.flush = flush
    shop = Shop(fresh_database, ResourceStore(fresh_database, Places()))
    streams = Streams(fresh_database, b"a secret for tests", fresh_database.ids.milliseconds)
    await live(shop, Random(seed))
    times = sorted({each.last_updated for each in await one_by_one(shop, SYSTEM)})
    periods = [(times[at], times[at] + length) for at in (0, 10, -1) for length in (1, 20)]
    asked: list[dict[str, Any]] = [{}, {"since": times[15]}, *({"at": period} for period in periods)]
    for access in (SYSTEM, *(bound(name, "Patient", "Observation") for name in PATIENTS)):
        for how in asked:
            expected = await one_by_one(shop, access, **how)
            found, total = await across(streams, access, **how)
            assert found == expected
            assert total in {None, len(expected)}
            assert total is not None or "at" in how
