"""Redis and Valkey count like the database does (security RL-1)."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fhir_server.limits.limit import Limit
from fhir_server.limits.limiter import create_limiter
from fhir_server.limits.remote import CountsUnavailable, RemoteLimiter
from fhir_server.settings import Settings, SettingsInvalid, load_settings
from storage.engine import create_database
from tests.limits.test_limiter import Clock
from tests.site import free_port, running_site

SERVERS = ("valkey-server", "redis-server")


class Server:
    """A Redis or Valkey that keeps nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = next(path for path in map(shutil.which, SERVERS) if path)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for this module; fails, never skips, where the program is missing."""
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["redis", "valkey"])
def url(redis: Server, request: pytest.FixtureRequest) -> str:
    return f"{request.param}://127.0.0.1:{redis.port}/0"


@pytest.fixture
async def two(url: str) -> AsyncIterator[tuple[RemoteLimiter, RemoteLimiter]]:
    """The limiters of two workers."""
    made = RemoteLimiter(url), RemoteLimiter(url)
    yield made
    for each in made:
        await each.close()


async def test_security_RL1_two_workers_let_exactly_a_hundred_of_a_hundred_and_fifty_through(
    two: tuple[RemoteLimiter, RemoteLimiter], url: str
) -> None:
    limit = Limit(100, 600)

    async def client(limiter: RemoteLimiter) -> int:
        return sum([(await limiter.hit(f"many {url}", limit)).allowed for _ in range(15)])

    assert sum(await asyncio.gather(*(client(each) for each in two for _ in range(5)))) == 100


async def test_security_RL1_who_is_refused_is_told_when_to_come_back(
    two: tuple[RemoteLimiter, RemoteLimiter], url: str
) -> None:
    one, other = two
    limit = Limit(2, 60)
    first, last = await one.hit(f"told {url}", limit), await other.hit(f"told {url}", limit)
    assert (first.remaining, last.remaining) == (1, 0)
    refused = await one.hit(f"told {url}", limit)
    assert not refused.allowed
    assert 50 <= refused.retry_after <= 60
    assert abs(refused.reset_at - time.time() - refused.retry_after) <= 2


async def test_security_RL1_a_window_slides(url: str) -> None:
    limiter, limit = RemoteLimiter(url), Limit(2, 3)
    assert [(await limiter.hit(f"slides {url}", limit)).allowed for _ in range(3)] == [True, True, False]
    deadline = time.monotonic() + 30
    while not (await limiter.hit(f"slides {url}", limit)).allowed:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await limiter.close()


async def test_security_RL1_workers_count_alone_while_redis_is_away_and_together_when_it_is_back(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path)
    server.start()
    address = f"redis://127.0.0.1:{server.port}/0"
    clock, limit = Clock(), Limit(2, 60)
    settings = Settings(database_url="sqlite:////nowhere/fhir.sqlite", limits_url=address)
    limiter = create_limiter(settings, create_database(settings.database_url), monotonic=clock)
    assert (await limiter.hit("one", limit)).remaining == 1
    server.stop()
    assert [(await limiter.hit("one", limit)).remaining for _ in range(2)] == [1, 0]
    server.start()
    clock.seconds += 60
    assert (await limiter.hit("one", limit)).remaining == 1
    await limiter.close()
    server.stop()


async def test_a_redis_that_is_away_is_told() -> None:
    limiter = RemoteLimiter(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(CountsUnavailable):
        await limiter.hit("one", Limit(1, 60))
    await limiter.close()


def test_security_RL1_two_servers_count_in_redis(fresh_database_url: str, redis: Server) -> None:
    more = {
        "fhir_limit": Limit(3, 60),
        "limits_url": f"redis://127.0.0.1:{redis.port}/{fresh_database_url[0] == 'p':d}",
    }
    with running_site(fresh_database_url, **more) as one, running_site(fresh_database_url, **more) as other:
        clients = [one.client(), other.client()] * 2
        answers = [client.get("/Patient") for client in clients]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [re.findall(r"r=(\d)", answer.headers["RateLimit"]) for answer in answers] == [["2"], ["1"], ["0"], ["0"]]


def test_settings_that_count_nowhere_are_refused_and_tell_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_SERVER_LIMITS_URL", "memcached://user:hidden@host")
    with pytest.raises(SettingsInvalid, match="redis://") as refused:
        load_settings()
    assert "hidden" not in str(refused.value)
    monkeypatch.setenv("FHIR_SERVER_LIMITS_URL", "redis://:hidden@host:6379/0")
    assert "hidden" not in repr(load_settings())


def test_limits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_SERVER_GRAPH_USER_LIMIT", "7/30")
    monkeypatch.setenv("FHIR_SERVER_GRAPH_ADDRESS_LIMIT", "")
    settings = load_settings()
    assert (settings.graph_user_limit, settings.graph_address_limit) == (Limit(7, 30), None)
    assert (settings.graph_webhook_limit, settings.fhir_limit) == (Limit(20, 60), None)
    monkeypatch.setenv("FHIR_SERVER_FHIR_LIMIT", "many")
    with pytest.raises(SettingsInvalid, match="FHIR_SERVER_FHIR_LIMIT"):
        load_settings()
