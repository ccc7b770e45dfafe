"""`fhir-server demo`: one command starts it (design Decision 11), twice does no harm, and the README's lines work."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fhir_server.cli.demonstration import Demonstration, tell
from fhir_server.demo.cast import SAMPLE_PATIENT, USERS

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "fhir_server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FHIR_SERVER_", "DATABASE_URL"))}
    return kept | {"PYTHONPATH": str(REPOSITORY)}


def prepare(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "demo", "--port", str(port), "--prepare-only"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A running demonstration: its address and the token it printed."""
    folder, port = tmp_path_factory.mktemp("demo"), free_port()
    process = subprocess.Popen(
        [*COMMAND, "demo", "--port", str(port)], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    )
    token = ""
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"export TOKEN=(\S+)", line):
            token = match[1]
        if line.startswith("Stop with"):
            break
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    yield address, token, folder
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.mark.parametrize("resource_type", ["Patient", "Observation", "MedicationRequest", "CarePlan"])
def test_the_demo_serves_the_four_resources_out_of_tables(demo, resource_type):
    address, token, _ = demo
    answer = httpx.get(f"{address}/fhir/{resource_type}?_summary=count", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.json()["total"] > 5


def test_the_demo_serves_all_three_systems_each_to_its_own_client(demo):
    address, _, folder = demo
    own = {"FHIR_SERVER_BASE_URL": address}
    seen = {}
    for client in ("demo-service", "demo-care", "demo-hub"):
        token = run(folder, "token", "--client", client, "--scope", "system/*.rs", variables=own).strip()
        answer = httpx.get(f"{address}/fhir/Patient?_count=100", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        seen[client] = {entry["resource"]["id"] for entry in answer.json()["entry"]}
    assert all(len(ids) > 2 for ids in seen.values())
    assert sum(map(len, seen.values())) == len(set.union(*seen.values()))


def test_without_its_token_the_demo_answers_401(demo):
    address, _, _ = demo
    assert httpx.get(f"{address}/fhir/Patient").status_code == 401


def test_the_readmes_curl_lines_work_against_the_demo(demo):
    address, token, folder = demo
    readme = (REPOSITORY / "README.md").read_text()
    block = readme.split("<!-- tried by a test -->")[1].split("```")[1]
    script = block.removeprefix("bash").replace("http://127.0.0.1:8000", address)
    script = script.replace(".venv/bin/fhir-server", " ".join(COMMAND))
    lines = [line for line in script.splitlines() if not line.startswith("export TOKEN=")]
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(lines).replace("curl ", "curl --fail-with-body ")],
        cwd=folder, env=environment() | {"TOKEN": token}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"resourceType":"Bundle"' in done.stdout


def run(folder: Path, *arguments: str, variables: dict[str, str] | None = None) -> str:
    own = environment() | {"FHIR_SERVER_DEV": "1"} | (variables or {})
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=own, capture_output=True, text=True, timeout=120, check=True
    ).stdout


def test_preparing_twice_changes_nothing_and_keeps_what_was_done_since(tmp_path):
    port = free_port()
    assert prepare(tmp_path, port).returncode == 0
    homes = run(tmp_path, "homes", "--json")
    assert "customer_profiles" in homes
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({"customer_profiles": [{"id": SAMPLE_PATIENT, "lastName": "Married"}]}), "utf-8")
    run(tmp_path, "load", str(changed))
    second = prepare(tmp_path, port)
    assert second.returncode == 0, second.stderr
    assert run(tmp_path, "homes", "--json") == homes
    assert json.loads(run(tmp_path, "load", str(changed), "--json"))["written"] == 0
    assert len(json.loads(run(tmp_path, "user", "list", "--json"))) == len(USERS)


def test_with_json_the_demo_tells_a_token_and_where_to_look(tmp_path):
    facts = json.loads(run(tmp_path, "demo", "--port", str(free_port()), "--prepare-only", "--json"))
    assert facts["access_token"].count(".") == 2
    assert facts["fhir_base"].endswith("/fhir")


def test_the_command_it_names_for_other_tokens_can_be_typed_as_it_stands(capsys, monkeypatch):
    made = Demonstration("http://127.0.0.1:1", "http://127.0.0.1:1/fhir", "sqlite:///x", "token", "secret", "key")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [".venv/bin/fhir-server", "demo"])
    tell(made)
    assert " .venv/bin/fhir-server token --scope" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["/somewhere/fhir_server/__main__.py", "demo"])
    tell(made)
    assert " fhir-server token --scope" in capsys.readouterr().out


def test_a_taken_port_is_told_before_anything_happens(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = prepare(tmp_path, taken.getsockname()[1])
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr
    assert list(tmp_path.iterdir()) == []
