"""kill -9 at any moment: whatever was answered is on record, and the trail verifies (security AD-3, AD-4)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from storage.audit import AuditKey
from storage.audit_seals import Trail, export, open_trails, seal
from storage.audit_verify import verify
from tests.acceptance.inside import Inside
from tests.acceptance.test_killed import Process
from tests.audit.conftest import KEY
from tests.conftest import new_database_url
from tests.site import FHIR_JSON, patient

READER = """
import asyncio, sys
from tests.audit.conftest import a_record, make_store
from storage.audit import AuditWriter

async def main():
    writer = AuditWriter(make_store(sys.argv[1]))
    async def serve(first):
        for n in range(first, 10**6, 8):
            await writer.record(a_record(n))
            print(f"user-{n}", flush=True)
    await asyncio.gather(*(serve(n) for n in range(8)))

asyncio.run(main())
"""


def test_security_AD3_what_was_answered_before_kill_9_is_on_record(fresh_database_url: str, store, trail: Trail):
    command = [sys.executable, "-c", READER, fresh_database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        answered = [reader.stdout.readline().strip() for _ in range(200)]
        reader.kill()
        answered += [line.strip() for line in reader.stdout if line.endswith("\n")]
    recorded = {row["actor_id"] for row in export(trail, "loop-health")}
    assert len(answered) >= 200
    assert set(answered) <= recorded
    assert not verify(trail, "loop-health", KEY).findings


CLIENTS = 8
SEED = random.SystemRandom().getrandbits(32)
"""When the server is killed; a failure names it."""


class Killable(Process):
    """A server of several processes, in a group of their own, so that all of them die at once."""

    def __init__(self, url: str, folder: Path, workers: int) -> None:
        super().__init__(url, folder)
        self.workers = workers

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        more = ("--workers", str(self.workers)) if arguments[0] == "serve" else ()
        return subprocess.Popen(
            [sys.executable, "-m", "fhir_server", *arguments, *more],
            env=self.environment | {"FHIR_SERVER_GRAPH_USER_LIMIT": ""},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )


def requests_of(client: int) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """Give what a client asks in turn: writes, reads of them, searches, what is not there, and the other API."""
    mine = f"c{client}"
    for number in range(1_000_000):
        yield "PUT", f"/fhir/Patient/{mine}", patient(f"Turn {number}", id=mine)
        yield "GET", f"/fhir/Patient/{mine}", None
        yield "POST", "/fhir/Patient", patient(f"Created {number}")
        yield "GET", "/fhir/Patient?_count=5", None
        yield "GET", f"/fhir/Patient/{mine}/_history", None
        yield "GET", "/fhir/Patient/nobody", None
        yield "GET", "/graph/profiles?limit=3", None


def ask(process: Killable, name: str, client: int, answered: dict[str, int]) -> None:
    """Ask one thing after the other until nobody answers; note the status of every answer by request id."""
    headers = {"Authorization": f"Bearer {process.site.token()}", "Content-Type": FHIR_JSON}
    with httpx.Client(base_url=process.settings.base_url, headers=headers, timeout=30) as fhir:
        for number, (method, path, body) in enumerate(requests_of(client)):
            request_id = f"{name}-{client}-{number}"
            try:
                answer = fhir.request(method, path, json=body, headers={"X-Request-Id": request_id})
            except httpx.TransportError:
                return
            answered[request_id] = answer.status_code


def kill_under_load(process: Killable, name: str, moment: float) -> dict[str, int]:
    """Let the clients at the server, kill all of its processes after so many seconds, and return what was answered."""
    answered: dict[str, int] = {}
    with process.running() as server:
        threads = [threading.Thread(target=ask, args=(process, name, n, answered)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while len(answered) < 5 * CLIENTS:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        time.sleep(moment)
        os.killpg(server.pid, signal.SIGKILL)
        for thread in threads:
            thread.join(30)
        assert server.wait(10) == -signal.SIGKILL
    return answered


@pytest.mark.parametrize(("engine", "workers", "rounds"), [("postgresql", 2, 3), ("sqlite", 1, 2)])
def test_security_AD3_AD4_all_processes_killed_under_load_no_answer_lacks_its_record(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, workers: int, rounds: int
):
    url = new_database_url(engine, request, tmp_path)
    process = Killable(url, tmp_path, workers)
    moments = random.Random(SEED)
    answered: dict[str, int] = {}
    for number in range(rounds):
        answered |= kill_under_load(process, f"r{number}", moments.uniform(0, 0.8))
    assert {200, 201, 404} == set(answered.values())
    inside = Inside(url)
    missing = set(answered) - inside.recorded()
    inside.close()
    assert not missing, f"seed {SEED}"
    key = AuditKey(process.settings.derive("audit"))
    records = 0
    for trail in open_trails(url, role=None):
        for organization in ("*", "loop-health", "health-hub"):
            seal(trail, organization, key)  # what the last ones left, as a worker does when it starts
            result = verify(trail, organization, key)
            assert (result.findings, result.unsealed) == ((), 0), f"seed {SEED}"
            records += result.records
    assert records >= len(answered)
