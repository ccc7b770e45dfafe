"""Patient/[id]/$everything?_at=: the record as it was at an instant (decision 17; security AZ-6, AZ-9)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import httpx
import pytest

from storage.access import Access, Reach, Right
from storage.codec import decode
from storage.engine import Database
from storage.errors import ResourceGone, ResourceNotFound
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.search.everything import Everything
from storage.search.searcher import Searcher
from storage.store import ResourceStore
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, SYSTEM, Shop, bound, observed, person
from tests.site import issues

OWN = dict.fromkeys(Right, Reach.COMPARTMENT)
ALL = dict.fromkeys(Right, Reach.ORGANIZATION)


@dataclass
class Record:
    """A patient's record, and instants in its life."""

    shop: Shop
    searcher: Searcher = field(init=False)

    def __post_init__(self) -> None:
        database = self.shop.database
        self.searcher = Searcher(database, b"a secret for tests", database.ids.milliseconds)

    async def instant(self) -> int:
        """Return an instant between what was written and what will be: the first millisecond that does not count."""
        await asyncio.sleep(0.004)
        async with self.shop.database.begin(ORGANIZATION, CHANGE) as unit:
            now = unit.now
        await asyncio.sleep(0.004)
        return now

    async def at(self, at: int | None, access: Access = SYSTEM, **how: Any) -> list[str]:
        """Return Type/id/version of everything, page by page, in order."""
        asked = Everything("a", how.pop("count", 2), at=at, **how)
        found: list[str] = []
        while True:
            page = await self.searcher.everything(asked, access)
            found += [f"{each.key}/{decode(each.body)['meta']['versionId']}" for each in page.matches]
            if page.next_cursor is None:
                return found
            asked = replace(asked, cursor=page.next_cursor)


@pytest.fixture
async def record(fresh_database: Database) -> Record:
    fresh_database.flush = flush
    return Record(Shop(fresh_database, ResourceStore(fresh_database, Places())))


async def test_each_resource_is_as_it_was_then(record: Record) -> None:
    shop = record.shop
    before = await record.instant()
    await shop.put("Patient/a", person("One"))
    await shop.put("Observation/kept", observed("Patient/a"))
    await shop.put("Observation/changed", observed("Patient/a"))
    await shop.put("Observation/deleted", observed("Patient/a"))
    await shop.put("Patient/b", person())
    await shop.put("Observation/of-b", observed("Patient/b"))
    first = await record.instant()
    await shop.put("Patient/a", person("Two"))
    await shop.put("Observation/changed", observed("Patient/a", status="amended"))
    await shop.delete("Observation/deleted")
    await shop.put("Observation/new", observed("Patient/a"))
    second = await record.instant()
    await shop.put("Observation/changed", observed("Patient/a", status="corrected"))
    await shop.put("Observation/deleted", observed("Patient/a"))
    for count in (1, 2, 50):
        assert sorted(await record.at(first, count=count)) == [
            "Observation/changed/1",
            "Observation/deleted/1",
            "Observation/kept/1",
            "Patient/a/1",
        ]
        assert (await record.at(first, count=count))[0] == "Patient/a/1"
        assert sorted(await record.at(second, count=count)) == [
            "Observation/changed/2",
            "Observation/kept/1",
            "Observation/new/1",
            "Patient/a/2",
        ]
    now = await record.instant()
    assert await record.at(now) == await record.at(None)
    assert await record.at(2**50) == await record.at(None)
    with pytest.raises(ResourceNotFound):
        await record.at(before)
    assert await record.at(first, access=bound("a")) == await record.at(first)
    with pytest.raises(ResourceNotFound):
        await record.at(first, access=bound("b"))


async def test_a_record_whose_patient_was_deleted_is_gone_then_and_not_before(record: Record) -> None:
    await record.shop.put("Patient/a", person())
    first = await record.instant()
    await record.shop.delete("Patient/a")
    second = await record.instant()
    await record.shop.put("Patient/a", person())
    with pytest.raises(ResourceGone):
        await record.at(second)
    assert await record.at(first) == ["Patient/a/1"]
    await record.shop.delete("Patient/a")
    assert await record.at(first) == ["Patient/a/1"]


async def test_what_is_in_another_record_today_or_was_then_is_not_shown(record: Record) -> None:
    shop = record.shop
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/left", observed("Patient/a"))
    await shop.put("Observation/came", observed("Patient/b"))
    both = [{"reference": "Patient/a"}, {"reference": "Patient/b"}]
    await shop.put("Observation/both", observed(None, performer=both))
    await shop.put("Observation/parted", observed(None, performer=both))
    first = await record.instant()
    await shop.put("Observation/left", observed("Patient/b"))
    await shop.put("Observation/came", observed("Patient/a"))
    await shop.put("Observation/both", observed(None, performer=both, status="amended"))
    await shop.put("Observation/parted", observed(None, performer=both[:1]))
    for access in (SYSTEM, bound("a")):
        assert sorted(await record.at(first, access)) == ["Observation/both/1", "Observation/parted/1", "Patient/a/1"]


async def test_the_directory_is_what_the_record_referred_to_then(record: Record) -> None:
    shop = record.shop
    for name in ("first", "second", "general"):
        await shop.put(f"Practitioner/{name}", {"resourceType": "Practitioner", "active": True})
    await shop.put("Patient/a", person(generalPractitioner=[{"reference": "Practitioner/general"}]))
    await shop.put("Observation/o", observed("Patient/a", performer=[{"reference": "Practitioner/first"}]))
    first = await record.instant()
    await shop.put("Patient/a", person())
    await shop.put("Observation/o", observed("Patient/a", performer=[{"reference": "Practitioner/second"}]))
    await shop.put("Practitioner/first", {"resourceType": "Practitioner", "active": False})
    await shop.put("Practitioner/third", {"resourceType": "Practitioner"})
    app = replace(bound("a"), rights={"Patient": OWN, "Observation": OWN, "Practitioner": ALL})
    for access in (SYSTEM, app):
        for count in (1, 50):
            assert await record.at(first, access, count=count) == [
                "Patient/a/1",
                "Observation/o/1",
                "Practitioner/first/1",
                "Practitioner/general/1",
            ]
        assert await record.at(None, access) == ["Patient/a/2", "Observation/o/2", "Practitioner/second/1"]
        assert await record.at(first, access, types=frozenset({"Practitioner"})) == [
            "Practitioner/first/1",
            "Practitioner/general/1",
        ]
    without = replace(bound("a"), rights={"Patient": OWN, "Observation": OWN})
    assert await record.at(first, without) == ["Patient/a/1", "Observation/o/1"]


async def test_care_dates_types_and_since_are_those_of_that_time(record: Record) -> None:
    shop = record.shop
    await shop.put("Patient/a", person())
    await shop.put("Observation/o", observed("Patient/a", effectiveDateTime="2020-01-01"))
    middle = await record.instant()
    await shop.put("Observation/later", observed("Patient/a", effectiveDateTime="2020-01-02"))
    at = await record.instant()
    await shop.put("Observation/o", observed("Patient/a", effectiveDateTime="2024-01-01"))
    day = 86_400_000_000
    new_year = 18_262 * day
    only = frozenset({"Observation"})
    assert await record.at(at, types=only, period=(new_year, new_year + day)) == ["Observation/o/1"]
    assert await record.at(at, types=only, period=(new_year + 400 * day, 2**62)) == []
    assert await record.at(at, since=middle) == ["Observation/later/1"]


def test_everything_at_an_instant_over_http(fhir: httpx.Client, site: Any) -> None:
    made = fhir.post("/Patient", json={"resourceType": "Patient", "name": [{"family": "One"}]}).json()
    own = made["id"]
    observation = observed(f"Patient/{own}")
    for _ in range(3):
        fhir.post("/Observation", json=observation)
    first = fhir.get(f"/Patient/{own}/$everything").json()["entry"]
    at = max(each["resource"]["meta"]["lastUpdated"] for each in first)
    fhir.put(f"/Patient/{own}", json={"resourceType": "Patient", "id": own, "name": [{"family": "Two"}]})
    fhir.post("/Observation", json=observation)
    then = fhir.get(f"/Patient/{own}/$everything", params={"_at": at})
    assert then.status_code == 200
    assert then.json()["entry"] == first
    assert len(fhir.get(f"/Patient/{own}/$everything").json()["entry"]) == 5
    seen: list[Any] = []
    url: str | None = f"/Patient/{own}/$everything?_count=1&_at={at}"
    while url:
        page = fhir.get(url).json()
        seen += page["entry"]
        url = {each["relation"]: each["url"] for each in page["link"]}.get("next")
    assert [each["fullUrl"] for each in seen] == [each["fullUrl"] for each in first]
    assert seen == first
    before = fhir.get(f"/Patient/{own}/$everything?_at=2000")
    assert (before.status_code, issues(before)[0]["code"]) == (404, "not-found")
    assert fhir.get(f"/Patient/{own}/$everything?_at=then").status_code == 400
    body = {"resourceType": "Parameters", "parameter": [{"name": "_at", "valueInstant": at}]}
    assert fhir.post(f"/Patient/{own}/$everything", json=body).json()["entry"] == first
    app = site.client("patient/*.rs", role="PATIENT", patient=own)
    assert app.get(f"/Patient/{own}/$everything", params={"_at": at}).json()["entry"] == first
    other = site.client("patient/*.rs", role="PATIENT", patient="another")
    assert other.get(f"/Patient/{own}/$everything", params={"_at": at}).status_code == 404
    narrow = site.client("system/Observation.rs").get(f"/Patient/{own}/$everything", params={"_at": at})
    assert narrow.status_code == 403
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": f"Patient/{own}/$everything?_at={at}"}}],
    }
    assert fhir.post("/", json=bundle).json()["entry"][0]["resource"]["entry"] == first


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_answered_then_is_answered_for_then(record: Record, seed: int) -> None:
    random, shop = Random(seed), record.shop
    doctors = [f"Practitioner/{name}" for name in ("x", "y", "z")]
    await shop.put("Patient/a", person())
    for name in doctors:
        await shop.put(name, {"resourceType": "Practitioner"})
    app = replace(bound("a"), rights={"Patient": OWN, "Observation": OWN, "Practitioner": ALL})
    answered: dict[int, list[list[str]]] = {}
    for step in range(25):
        name = f"Observation/o{random.randrange(5)}"
        match random.randrange(5):
            case 0:
                await shop.delete(name)
            case 1:
                await shop.put(random.choice(doctors), {"resourceType": "Practitioner", "language": f"x-{step}"})
            case 2:
                general = [{"reference": each} for each in random.sample(doctors, 1)]
                await shop.put("Patient/a", person(f"Name{step}", generalPractitioner=general))
            case _:
                by = [{"reference": each} for each in random.sample(doctors, random.randrange(3))]
                await shop.put(
                    name, observed("Patient/a", note=[{"text": str(step)}], **({"performer": by} if by else {}))
                )
        if step % 4 == 0:
            now = await record.instant()
            answered[now] = [await record.at(None, access, count=50) for access in (SYSTEM, app)]
    for at, answers in answered.items():
        for count in (1, 3, 50):
            assert [await record.at(at, access, count=count) for access in (SYSTEM, app)] == answers
