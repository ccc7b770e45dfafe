"""How long key sets of others are kept, and how often they are asked for (smart.md J5; security OA-10)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest

from fhir_server.oauth.documents import MOST_KEPT
from fhir_server.oauth.jwks_cache import KeySets, KeysUnknown
from fhir_server.outgoing import Fetched, FetchFailed

ADDRESS = "https://client.example/jwks"


class Network:
    """Key sets as clients would serve them; counts how often it is asked."""

    def __init__(self) -> None:
        self.body: bytes | None = self.holding("a")
        self.headers: Mapping[str, str] = {}
        self.asked = 0
        self.clock = 0.0
        self.sets = KeySets(self.fetch, monotonic=lambda: self.clock)

    @staticmethod
    def holding(*kids: str) -> bytes:
        return json.dumps({"keys": [{"kty": "RSA", "kid": kid} for kid in kids]}).encode()

    async def fetch(self, _address: str) -> Fetched:
        self.asked += 1
        await asyncio.sleep(0)
        if self.body is None:
            raise FetchFailed("not reachable")
        return Fetched(self.headers, self.body)

    async def has(self, kid: str, owner: str = "client") -> bool:
        return bool(await self.sets.keys(owner, ADDRESS, kid))


@pytest.fixture
def network() -> Network:
    return Network()


async def test_security_OA10_a_set_is_kept_for_an_hour(network: Network):
    for clock in (0.0, 1000.0, 3599.0):
        network.clock = clock
        assert await network.has("a")
    assert network.asked == 1
    network.clock = 3600.0
    assert await network.has("a")
    assert network.asked == 2


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("max-age=10", 10),
        ("public, MAX-AGE=60", 60),
        ('max-age="5"', 5),
        ("max-age=86400", 3600),
        ("max-age=soon", 3600),
        ("no-store", 0),
        ("private, no-cache", 0),
        ("max-age=0", 0),
    ],
)
async def test_smart_J5_a_set_is_kept_no_longer_than_it_says(network: Network, said: str, seconds: int):
    network.headers = {"cache-control": said}
    await network.has("a")
    for clock, asked in ((seconds - 1, 1), (seconds, 2)):
        if clock >= 0:
            network.clock = float(clock)
            await network.has("a")
            assert network.asked == asked


async def test_security_OA10_an_unknown_kid_asks_again_at_most_once_a_minute(network: Network):
    await network.has("a")
    network.body = network.holding("a", "b")
    assert await network.has("b")
    assert network.asked == 2
    for clock in (0.0, 30.0, 59.0):
        network.clock = clock
        assert not await network.has("c")
    assert network.asked == 2
    network.clock = 60.0
    assert not await network.has("c")
    assert network.asked == 3
    assert await network.has("a")


async def test_a_kid_that_is_not_in_a_set_just_fetched_does_not_ask_twice(network: Network):
    assert not await network.has("z")
    assert network.asked == 1


async def test_security_OA10_one_client_does_not_use_up_anothers_questions(network: Network):
    await network.has("a", "first")
    await network.has("z", "first")
    await network.has("a", "second")
    await network.has("z", "second")
    assert network.asked == 4


async def test_security_OA10_whoever_comes_meanwhile_waits_for_the_same_answer(network: Network):
    assert all(await asyncio.gather(*(network.has("a") for _ in range(50))))
    assert network.asked == 1


async def test_whoever_gives_up_waiting_does_not_stop_the_others(network: Network):
    first = asyncio.create_task(network.has("a"))
    second = asyncio.create_task(network.has("a"))
    await asyncio.sleep(0)
    first.cancel()
    assert await second
    assert network.asked == 1


async def test_security_OA10_when_fetching_fails_the_last_set_holds_for_a_day(network: Network):
    assert await network.has("a")
    network.body = None
    for clock in (3600.0, 40_000.0, 86_400.0):
        network.clock = clock
        assert await network.has("a")
    network.clock = 86_401.0
    with pytest.raises(KeysUnknown):
        await network.has("a")
    network.clock += 10
    network.body = network.holding("new")
    assert await network.has("new")
    assert not await network.has("a")


async def test_after_a_failure_nobody_asks_for_a_while(network: Network):
    network.body = None
    for clock in (0.0, 5.0, 9.0):
        network.clock = clock
        with pytest.raises(KeysUnknown):
            await network.has("a")
    assert network.asked == 1
    network.clock = 10.0
    network.body = network.holding("a")
    assert await network.has("a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b"\xff",
        b"[" * 60_000,
        b'{"keys": ' + b"[" * 50_000,
        Network.holding(*map(str, range(21))),
    ],
)
async def test_security_OA10_what_is_no_set_of_at_most_20_keys_is_a_failure(network: Network, body: bytes):
    network.body = body
    with pytest.raises(KeysUnknown):
        await network.has("a")
    network.clock = 10.0
    network.body = network.holding(*map(str, range(20)))
    assert await network.has("19")


async def test_sets_are_bounded_and_the_one_used_longest_ago_makes_room(network: Network):
    await network.has("a", "oldest")
    for number in range(MOST_KEPT):
        await network.has("a", f"client-{number}")
    asked = network.asked
    await network.has("a", f"client-{MOST_KEPT - 1}")
    assert network.asked == asked
    await network.has("a", "oldest")
    assert network.asked == asked + 1
