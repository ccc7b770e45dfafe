"""A killed server loses nothing that it answered (security DU-1, DU-2, AD-3; fhir_rest §14).

Clients write and read until the process is killed with SIGKILL, twice on the same database. What was answered is there,
what was not answered is there as a whole or not at all, and all of it is on record.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.settings import Settings
from storage.rls import ROLE
from tests.acceptance.agreement import disagreements
from tests.acceptance.equality import content, differences, exact
from tests.acceptance.inside import Inside
from tests.site import SECRET, Site, free_port, observation, patient, signing_ring

SYSTEM = "http://example.org/killed"
ROUNDS = 2
ENOUGH = 15
"""So many answers every client has had before the kill."""


@dataclass
class Log:
    """What one client asked and was answered."""

    name: str
    asked: list[str] = field(default_factory=list)
    """Request ids, also of what was never answered."""
    answered: list[tuple[str, dict[str, Any], httpx.Response]] = field(default_factory=list)
    """Request id, resource sent, answer."""


class Process:
    """The server as a process of its own on one database, to be killed and started again."""

    def __init__(self, url: str, folder: Path) -> None:
        self.port = free_port()
        self.url = url
        self.settings = Settings(
            database_url=url, database_role=ROLE, base_url=f"http://127.0.0.1:{self.port}", secret=SECRET
        )
        self.site = Site(self.settings, asyncio.run(signing_ring(self.settings)))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "DATABASE_URL": url,
            "FHIR_SERVER_SECRET": SECRET,
            "FHIR_SERVER_BASE_URL": self.settings.base_url,
            "FHIR_SERVER_LOG_LEVEL": "error",
        }

    def command(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "fhir_server", *arguments], env=self.environment, stdout=subprocess.PIPE
        )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server until the end of the block, unless it is killed before."""
        process = self.command("serve", "--port", str(self.port))
        try:
            deadline = time.monotonic() + 30
            while not self._is_ready():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.settings.base_url}/readyz").status_code == 200
        except httpx.TransportError:
            return False


def create(name: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    return (
        "POST",
        "/Patient",
        patient(f"Created {number}", identifier=[{"system": SYSTEM, "value": f"{name}-{number}"}]),
    )


def update(name: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    return "PUT", f"/Patient/{name}", patient(f"Turn {number}", id=name)


def transact(name: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    identifier = [{"system": SYSTEM, "value": f"{name}-{number}"}]
    whose = f"urn:uuid:61ebe359-bfdc-4613-8bf2-{number:012}"
    entries = [
        {"fullUrl": whose, "request": {"method": "POST", "url": "Patient"}, "resource": patient(identifier=identifier)},
        *(
            {
                "request": {"method": "POST", "url": "Observation"},
                "resource": observation(whose, identifier=identifier, valueString=str(part)),
            }
            for part in range(3)
        ),
    ]
    return "POST", "/", {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def search(name: str, number: int) -> tuple[str, str, dict[str, Any] | None]:
    return "GET", f"/Patient?_count=2&identifier={SYSTEM}|create-{number}", None


CLIENTS = {"create": create, "update": update, "transact": transact, "search": search}


def ask_until_nobody_answers(client: httpx.Client, log: Log, start: int) -> None:
    """Send one request after the other."""
    for number in range(start, 1_000_000):
        method, path, resource = CLIENTS[log.name](log.name, number)
        request_id = f"{log.name}-{number}"
        log.asked.append(request_id)
        try:
            answer = client.request(method, path, json=resource, headers={"X-Request-Id": request_id})
        except httpx.TransportError:
            return
        log.answered.append((request_id, resource or {}, answer))


def write_and_kill(process: Process, logs: dict[str, Log]) -> None:
    """Let all clients at the server, and kill it when each of them has had enough answers."""
    with process.running() as server:
        before = {name: len(log.answered) for name, log in logs.items()}
        threads = [
            threading.Thread(target=ask_until_nobody_answers, args=(process.site.client(), log, len(log.asked)))
            for log in logs.values()
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while any(len(log.answered) < before[name] + ENOUGH for name, log in logs.items()):
            assert time.monotonic() < deadline, {name: len(log.answered) for name, log in logs.items()}
            time.sleep(0.002)
        server.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(30)
        assert server.wait(10) == -signal.SIGKILL


@dataclass
class Aftermath:
    """What there is to look at: a server on the database of the killed ones, and what they answered."""

    process: Process
    fhir: httpx.Client
    logs: dict[str, Log]

    def total(self, query: str) -> int:
        return int(self.fhir.get(f"/{query}&_summary=count").json()["total"])


@pytest.fixture(scope="module")
def aftermath(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """Servers that were killed, and one that runs after them."""
    process = Process(database_url, tmp_path_factory.mktemp("home"))
    logs = {name: Log(name) for name in CLIENTS}
    for _ in range(ROUNDS):
        write_and_kill(process, logs)
    with process.running():
        yield Aftermath(process, process.site.client(), logs)
    for client in process.site.clients:
        client.close()


def test_every_answer_was_a_success(aftermath):
    for log in aftermath.logs.values():
        assert {answer.status_code for _, _, answer in log.answered} <= {200, 201}
        assert len(log.answered) >= ROUNDS * ENOUGH


@pytest.mark.parametrize("name", ["create", "update"])
def test_security_DU1_every_version_that_was_answered_is_there(aftermath, name):
    for request_id, sent, answer in aftermath.logs[name].answered:
        number = answer.json()["meta"]["versionId"]
        version = aftermath.fhir.get(f"/Patient/{answer.json()['id']}/_history/{number}")
        assert version.content == answer.content, request_id
        assert not list(differences(content(exact(json.dumps(sent))), content(exact(version.content))))


def test_security_DU3_versions_have_neither_gaps_nor_repeats(aftermath):
    history = aftermath.fhir.get("/Patient/update/_history?_count=1000").json()
    numbers = [int(entry["resource"]["meta"]["versionId"]) for entry in history["entry"]]
    assert numbers == list(range(len(numbers), 0, -1))
    log = aftermath.logs["update"]
    assert len(log.answered) <= len(numbers) <= len(log.asked)


def test_security_DU2_a_transaction_is_there_whole_or_not_at_all(aftermath):
    log = aftermath.logs["transact"]
    answered = {request_id for request_id, _, _ in log.answered}
    for request_id in log.asked:
        patients = aftermath.total(f"Patient?identifier={SYSTEM}|{request_id}")
        observations = aftermath.total(f"Observation?identifier={SYSTEM}|{request_id}")
        assert (patients, observations) in ({(1, 3)} if request_id in answered else {(0, 0), (1, 3)})


def test_security_DU2_rows_store_and_index_agree(aftermath):
    assert disagreements(aftermath.process.url) == []


def test_security_AD2_AD3_what_was_answered_or_written_is_on_record(aftermath):
    inside = Inside(aftermath.process.url)
    recorded = inside.recorded()
    inside.close()
    for log in aftermath.logs.values():
        assert {request_id for request_id, _, _ in log.answered} <= recorded
    for request_id in [*aftermath.logs["create"].asked, *aftermath.logs["transact"].asked]:
        if aftermath.total(f"Patient?identifier={SYSTEM}|{request_id}"):
            assert request_id in recorded


def test_security_AD4_the_audit_trail_verifies(aftermath):
    verification = aftermath.process.command("audit", "verify", "--all", "--json")
    told, _ = verification.communicate(timeout=60)
    assert verification.returncode == 0, told
    assert json.loads(told)["valid"] is True
    assert sum(trail["records"] for trail in json.loads(told)["trails"]) > ROUNDS * ENOUGH * len(CLIENTS)
