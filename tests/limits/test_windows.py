"""At no moment does more than the limit lie in one window, wherever hits are counted (security RL-1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.rate_limits import MemoryRateLimits, RateLimits, create_rate_limits
from storage.rate_windows import STEPS, Ask
from storage.rls import ROLE
from tests.conftest import ENGINES, new_database_url

START = 1_800_000_000_000
_names = (f"k{number}" for number in count())


@dataclass(frozen=True)
class Hit:
    """Some hits, so many milliseconds after those before."""

    after: int
    hits: int
    cost: int


HITS = st.lists(st.builds(Hit, st.integers(0, 700), st.integers(1, 5), st.integers(1, 3)), max_size=40)
LIMITS = st.one_of(st.integers(1, 12), st.integers(STEPS + 1, STEPS + 30))


@pytest.fixture(params=["memory", *ENGINES])
async def counts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RateLimits]:
    if request.param == "memory":
        made: RateLimits = MemoryRateLimits()
    else:
        made = create_rate_limits(request.param, new_database_url(request.param, request, tmp_path), role=ROLE)
    yield made
    await made.close()


@dataclass
class Expected:
    """What a plain list of instants says."""

    granted: int
    used: int
    oldest: int


def by_hand(kept: list[int], hit: Hit, limit: int, window: int, now: int) -> Expected:
    """Grant hits one after the other, each time counting what lies in the window; `kept` are the instants granted."""
    step = 1 if limit <= STEPS else -(-window // STEPS)
    granted = 0
    for _ in range(hit.hits):
        if sum(instant > now - window for instant in kept) + hit.cost <= limit:
            kept.extend([-(-now // step) * step] * hit.cost)
            granted += 1
    inside = [instant for instant in kept if instant > now - window]
    return Expected(granted, len(inside), min(inside, default=now))


async def play(counts: RateLimits, hits: Sequence[Hit], limit: int, window: int) -> None:
    key, now, kept = next(_names), START, list[int]()
    for hit in hits:
        now += hit.after
        (answer,) = await counts.take([Ask(key, limit, window, hit.hits, hit.cost, now)])
        expected = by_hand(kept, hit, limit, window, now)
        assert Expected(answer.granted, answer.used, answer.oldest) == expected
        assert answer.now == now


@given(hits=HITS, limit=LIMITS, window=st.sampled_from([1000, 3000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
async def test_security_RL1_a_window_grants_what_a_plain_count_would(
    counts: RateLimits, hits: list[Hit], limit: int, window: int
) -> None:
    await play(counts, [hit for hit in hits if hit.cost <= limit], limit, window)
