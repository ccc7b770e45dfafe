"""Limits of clients at the FHIR interface: off unless somebody sets them (settled §5, security RL-1)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from fhir_server.limits.clients import ClientLimits
from fhir_server.limits.limit import Limit, Standing
from fhir_server.settings import Settings
from storage.engine import create_database
from storage.installation import client_rate_limits
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.tables.enums import ClientType
from tests.site import Site, running_site


async def _register(settings: Settings, client_id: str, a_minute: int | None) -> None:
    database = create_database(settings.database_url)
    async with database.platform() as connection:
        await ClientRepository(connection).insert(
            Client(client_id, ClientType.PUBLIC, name=client_id, rate_limit=a_minute)
        )
    await database.close()


def registered(settings: Settings) -> None:
    asyncio.run(_register(settings, "tests", 3))
    asyncio.run(_register(settings, "other", None))


@pytest.fixture
def limited(fresh_database_url: str) -> Iterator[tuple[Site, Site]]:
    """Two workers on one database, whose client `tests` may make three requests a minute."""
    with running_site(fresh_database_url, registered) as one, running_site(fresh_database_url) as other:
        yield one, other


def test_security_RL1_a_client_is_refused_above_its_limit_by_every_worker(limited: tuple[Site, Site]) -> None:
    one, other = (each.client() for each in limited)
    answers = [one.get("/Patient"), other.get("/Patient/nobody"), one.get("/Patient"), other.get("/Patient")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert [re.findall(r"r=(\d+)", answer.headers["RateLimit"]) for answer in answers] == [["2"], ["1"], ["0"], ["0"]]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"client";q=3;w=60'}
    refused = answers[-1]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    (issue,) = refused.json()["issue"]
    assert (issue["severity"], issue["code"]) == ("error", "throttled")


def test_security_RL1_who_has_no_valid_token_is_not_counted(limited: tuple[Site, Site]) -> None:
    site = limited[0]
    client = site.client()
    for _ in range(5):
        assert client.get("/Patient", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get("/Patient").headers["RateLimit"].startswith('"client";r=2')


def test_security_RL1_metadata_is_everybodys(limited: tuple[Site, Site]) -> None:
    client = limited[0].client()
    assert {client.get("/metadata").status_code for _ in range(5)} == {200}


def test_security_RL1_without_a_limit_nothing_is_counted_or_told(fresh_database_url: str) -> None:
    with running_site(fresh_database_url) as site:
        answer = site.client().get("/Patient")
    assert answer.status_code == 200
    assert not [name for name in answer.headers if "ratelimit" in name]


def test_security_RL1_a_limit_of_the_settings_is_for_every_client(fresh_database_url: str) -> None:
    with running_site(fresh_database_url, fhir_limit=Limit(1, 60)) as site:
        client = site.client()
        assert [client.get("/Patient").status_code for _ in range(2)] == [200, 429]


async def test_security_RL1_a_limit_of_its_own_comes_before_that_of_the_settings(fresh_database_url: str) -> None:
    database = create_database(fresh_database_url)
    async with database.platform() as connection:
        for client_id, a_minute in (("slow", 5), ("free", None)):
            await ClientRepository(connection).insert(Client(client_id, ClientType.PUBLIC, rate_limit=a_minute))
    await database.open()
    found = await client_rate_limits(database)
    await database.close()
    assert found == {"slow": 5}


class Nobody:
    """A limiter that nobody may ask."""

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Standing:
        raise AssertionError("nobody has a limit")


def test_a_server_without_limits_does_not_ask_anybody() -> None:
    limits = ClientLimits(Nobody(), None)
    assert not limits.is_on
    limits.take({"slow": 5})
    assert limits.is_on
    limits.take({})
    assert not limits.is_on


async def test_security_RL1_a_client_without_a_limit_is_not_counted() -> None:
    limits = ClientLimits(Nobody(), None)
    limits.take({"slow": 5})
    assert await limits.hit("other") is None
