"""Workers together let through what the limit says, not one more and not one less (security RL-1)."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import make_url

from fhir_server.limits.limit import Limit
from fhir_server.limits.limiter import create_limiter, running_limiter
from fhir_server.settings import Settings
from storage.engine import Database, create_database
from storage.errors import DatabaseUnavailable
from storage.rate_limits import create_rate_limits
from storage.rate_limits_sqlite import limits_path
from storage.rate_windows import Ask
from storage.rls import ROLE
from tests.conftest import new_database_url
from tests.limits.worker import KEYS
from tests.postgres import execute

WORKER = Path(__file__).with_name("worker.py")
WORKERS = 2


def test_security_RL1_two_processes_let_exactly_a_hundred_of_a_hundred_and_fifty_through(
    fresh_database_url: str,
) -> None:
    command = [sys.executable, str(WORKER), fresh_database_url]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(WORKERS)
        ]
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * WORKERS
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
        let_through = [json.loads(worker.stdout.readline()) for worker in workers]
    assert {key: sum(each[key] for each in let_through) for key in let_through[0]} == dict.fromkeys(KEYS, 100)


@pytest.fixture
def limiter_settings(database: Database, database_url: str) -> Settings:
    return Settings(database_url=database_url, database_role=ROLE)


async def test_security_RL1_the_limiter_of_a_worker_counts_in_the_database(
    limiter_settings: Settings, database: Database
) -> None:
    limit = Limit(2, 60)
    async with running_limiter(limiter_settings, database) as one, running_limiter(limiter_settings, database) as other:
        assert (await one.hit("somebody", limit)).remaining == 1
        assert (await other.hit("somebody", limit)).remaining == 0
        assert not (await one.hit("somebody", limit)).allowed


async def test_what_counts_no_more_is_deleted(
    limiter_settings: Settings, database: Database, database_url: str
) -> None:
    counts = create_rate_limits(database.dialect, database_url, role=ROLE)
    await counts.take([Ask("old", 5, 1000, now=1_800_000_000), Ask("new", 5, 1000)])
    await counts.clean()
    old, new = await counts.take([Ask("old", 5, 1000, now=1_800_000_000), Ask("new", 5, 10_000_000)])
    await counts.close()
    assert (old.used, new.used) == (1, 2)


async def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/no/folder/fhir.sqlite", "postgresql://nobody@127.0.0.1:1/none"]
    for url in urls:
        counts = create_rate_limits(url.partition(":")[0], url, role=None)
        with pytest.raises(DatabaseUnavailable):
            await counts.take([Ask("one", 5, 1000)])
        await counts.close()


async def test_security_RL1_hits_go_on_in_each_worker_when_the_database_goes_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no/folder/fhir.sqlite"
    limiter = create_limiter(Settings(database_url=url), create_database(url))
    allowed = [(await limiter.hit("one", Limit(2, 60))).allowed for _ in range(3)]
    await limiter.close()
    assert allowed == [True, True, False]


async def test_a_limits_file_that_is_no_database_is_told_and_the_next_try_is_a_new_one(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = new_database_url("sqlite", request, tmp_path)
    path = limits_path(url)
    path.write_bytes(b"something else" * 100)
    counts = create_rate_limits("sqlite", url, role=None)
    with pytest.raises(DatabaseUnavailable):
        await counts.take([Ask("one", 5, 1000)])
    path.unlink()
    (answer,) = await counts.take([Ask("one", 5, 1000)])
    await counts.close()
    assert answer.granted == 1


async def test_hits_never_wait_for_the_writer_of_a_sqlite_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = new_database_url("sqlite", request, tmp_path)
    writer = sqlite3.connect(str(make_url(url).database), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    counts = create_rate_limits("sqlite", url, role=None)
    (answer,) = await counts.take([Ask("one", 5, 1000)])
    await counts.close()
    writer.execute("ROLLBACK")
    writer.close()
    assert answer.granted == 1


def test_hits_cost_no_write_to_disk_on_postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = new_database_url("postgresql", request, tmp_path)
    assert execute(url, "SELECT relpersistence FROM pg_class WHERE relname = 'rate_limit_hits'") == [("u",)]
