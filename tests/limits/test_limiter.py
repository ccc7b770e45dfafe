"""One limiter for many callers: grouped, shared, and never in the way when its store is away (security RL-1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.limits.addresses import network_of
from fhir_server.limits.grouped import MOST_KEYS, GroupedLimiter
from fhir_server.limits.limit import Limit, Standing
from fhir_server.limits.limiter import PAUSE_SECONDS, SharedLimiter, digest_of
from fhir_server.limits.refusals import MOST, Refusals
from storage.errors import DatabaseUnavailable
from storage.rate_limits import MemoryRateLimits
from storage.rate_windows import Answer, Ask

START = 1_800_000_000
LIMIT = Limit(100, 60)


@dataclass
class Clock:
    """Time as tests want it, in seconds; wall clock and monotonic clock are the same."""

    seconds: float = START

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Counts:
    """A store with a clock of its own, which tells what it was asked for and fails on demand."""

    clock: Clock
    asked: list[list[Ask]] = field(default_factory=list)
    is_away: bool = False
    cleaned: int = 0
    memory: MemoryRateLimits = field(default_factory=MemoryRateLimits)

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        self.asked.append(list(asks))
        await asyncio.sleep(0)
        if self.is_away:
            raise DatabaseUnavailable
        now = round(self.clock() * 1000)
        return await self.memory.take([Ask(ask.key, ask.limit, ask.window, ask.hits, ask.cost, now) for ask in asks])

    async def clean(self) -> None:
        if self.is_away:
            raise DatabaseUnavailable
        self.cleaned += 1

    async def close(self) -> None:
        pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> Counts:
    return Counts(clock)


@pytest.fixture
def grouped(counts: Counts, clock: Clock) -> GroupedLimiter:
    return GroupedLimiter(counts, Refusals(clock, clock))


def shared(first: GroupedLimiter, clock: Clock) -> SharedLimiter:
    return SharedLimiter(first, GroupedLimiter(Counts(clock), Refusals(clock, clock)), clock)


async def test_security_RL1_a_hundred_of_a_hundred_and_fifty_are_let_through_and_the_rest_is_told_when(
    grouped: GroupedLimiter,
) -> None:
    standings = [await grouped.hit("one", LIMIT) for _ in range(150)]
    assert standings[0] == Standing(True, 100, 99, START + 60, 0)
    assert standings[99] == Standing(True, 100, 0, START + 60, 0)
    assert standings[100:] == [Standing(False, 100, 0, START + 60, 60)] * 50


async def test_security_RL1_who_waits_as_told_is_let_through(grouped: GroupedLimiter, clock: Clock) -> None:
    for _ in range(100):
        await grouped.hit("one", LIMIT)
        clock.seconds += 0.25
    refused = await grouped.hit("one", LIMIT)
    assert (refused.allowed, refused.retry_after, refused.reset_at) == (False, 35, START + 60)
    clock.seconds += refused.retry_after - 0.001
    assert not (await grouped.hit("one", LIMIT)).allowed
    clock.seconds += 0.001
    assert (await grouped.hit("one", LIMIT)).allowed
    assert not (await grouped.hit("one", LIMIT)).allowed


async def test_security_RL1_keys_and_limits_are_counted_apart(grouped: GroupedLimiter) -> None:
    one = Limit(1, 60)
    assert (await grouped.hit("one", one)).allowed
    assert (await grouped.hit("two", one)).allowed
    assert (await grouped.hit("one", Limit(1, 30))).allowed
    assert not (await grouped.hit("one", one)).allowed


async def test_security_RL1_whoever_is_refused_costs_no_statement_until_there_is_room(
    grouped: GroupedLimiter, counts: Counts, clock: Clock
) -> None:
    limit = Limit(1, 60)
    await grouped.hit("one", limit)
    asked = len(counts.asked)
    assert [(await grouped.hit("one", limit)).retry_after for _ in range(50)] == [60] * 50
    clock.seconds += 59.5
    assert (await grouped.hit("one", limit)).retry_after == 1
    assert len(counts.asked) == asked
    clock.seconds += 0.5
    assert (await grouped.hit("one", limit)).allowed


async def test_security_RL1_what_comes_while_a_statement_is_under_way_goes_in_the_next(
    grouped: GroupedLimiter, counts: Counts
) -> None:
    standings = await asyncio.gather(*(grouped.hit(f"k{number % 3}", LIMIT) for number in range(30)))
    assert [[(ask.key, ask.hits) for ask in asks] for asks in counts.asked] == [
        [(f"k{n}/100/60", 10) for n in range(3)]
    ]
    assert [standing.remaining for standing in standings[::3]] == list(range(99, 89, -1))


async def test_security_RL1_a_statement_has_a_bounded_number_of_keys(grouped: GroupedLimiter, counts: Counts) -> None:
    await asyncio.gather(*(grouped.hit(f"k{number}", LIMIT) for number in range(MOST_KEYS + 1)))
    assert [len(asks) for asks in counts.asked] == [MOST_KEYS, 1]


async def test_security_RL1_hits_of_different_cost_take_turns(grouped: GroupedLimiter) -> None:
    limit = Limit(10, 60)
    asked = [1, 1, 7, 2, 1]
    standings = await asyncio.gather(*(grouped.hit("one", limit, cost) for cost in asked))
    assert [(standing.allowed, standing.remaining) for standing in standings] == [
        (True, 9),
        (True, 8),
        (True, 1),
        (False, 1),
        (True, 0),
    ]


async def test_security_RL1_a_request_that_is_cancelled_keeps_nobody_waiting(grouped: GroupedLimiter) -> None:
    gone = asyncio.create_task(grouped.hit("one", LIMIT))
    stays = asyncio.create_task(grouped.hit("one", LIMIT))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays).allowed


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 4)), max_size=60), st.integers(1, 9))
@settings(deadline=None)
async def test_security_RL1_no_window_lets_more_through_than_its_limit(hits: list[tuple[int, int]], most: int) -> None:
    clock = Clock()
    limiter = GroupedLimiter(Counts(clock), Refusals(clock, clock))
    limit, allowed = Limit(most, 1), list[float]()
    for wait, together in hits:
        clock.seconds += wait / 1000
        free = most - sum(instant > clock.seconds - 1 for instant in allowed)
        standings = await asyncio.gather(*(limiter.hit("one", limit) for _ in range(together)))
        granted = sum(standing.allowed for standing in standings)
        assert granted == min(together, free)
        allowed += [clock.seconds] * granted


async def test_security_RL1_a_cost_above_the_limit_is_never_granted(grouped: GroupedLimiter, clock: Clock) -> None:
    assert not (await shared(grouped, clock).hit("one", Limit(5, 60), cost=6)).allowed


async def test_security_RL1_while_the_store_is_away_each_worker_counts_for_itself(
    grouped: GroupedLimiter, counts: Counts, clock: Clock
) -> None:
    limiter = shared(grouped, clock)
    counts.is_away = True
    limit = Limit(3, 60)
    assert [(await limiter.hit("one", limit)).allowed for _ in range(4)] == [True, True, True, False]
    assert len(counts.asked) == 1  # and the store is left alone for a while
    counts.is_away = False
    clock.seconds += PAUSE_SECONDS
    assert (await limiter.hit("one", limit)).allowed
    assert len(counts.asked) == 2


async def test_security_RL1_all_who_wait_are_answered_when_the_store_goes_away(
    grouped: GroupedLimiter, counts: Counts, clock: Clock
) -> None:
    counts.is_away = True
    limiter = shared(grouped, clock)
    standings = await asyncio.gather(*(limiter.hit(f"k{number}", LIMIT) for number in range(100)))
    assert all(standing.allowed for standing in standings)


async def test_cleaning_survives_a_store_that_is_away(grouped: GroupedLimiter, counts: Counts, clock: Clock) -> None:
    counts.is_away = True
    await shared(grouped, clock).clean()
    counts.is_away = False
    await shared(grouped, clock).clean()
    assert counts.cleaned == 1


def test_security_RL1_strangers_cannot_fill_the_memory_with_refusals(clock: Clock) -> None:
    refusals = Refusals(clock, clock)
    for number in range(MOST + 10):
        refusals.note(f"k{number}", START + 60)
    assert refusals.of(f"k{MOST - 1}", LIMIT) is not None
    assert refusals.of(f"k{MOST}", LIMIT) is None
    clock.seconds += 60
    refusals.note("later", START + 120)
    assert refusals.of("later", LIMIT) is not None
    assert refusals.of("k0", LIMIT) is None


def test_security_PH1_keys_tell_nobodys_name() -> None:
    digests = {digest_of("loop-health user_2a1b"), digest_of("loop-health user_2a1c")}
    assert len(digests) == 2
    assert not any("user" in digest for digest in digests)


@pytest.mark.parametrize("text", ["100", "0/60", "100/0", "-1/60", "100/60s", "1e3/60", "100/86401", "100 / 60"])
def test_a_limit_that_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="100/60"):
        Limit.parse(text)


def test_a_limit_is_read_as_it_is_written() -> None:
    assert str(Limit.parse(" 100/60 ")) == "100/60"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unix:socket", "unix:socket"),
    ],
)
def test_security_RL1_of_ipv6_the_network_is_counted_which_one_subscriber_has(address: str, counted: str) -> None:
    assert network_of(address) == counted
