"""An operator's own search parameter, from a file to an answered search: each step in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.site import free_port

PARAMETER = {
    "resourceType": "SearchParameter",
    "url": "http://example.org/SearchParameter/eyes",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension.where(url = 'http://example.org/eyes').value.ofType(code)",
}
REMEDY = "fhir-server reconcile --fix"
Run = Callable[..., subprocess.CompletedProcess[str]]


def patient(name: str, eyes: str) -> str:
    extension = {"url": "http://example.org/eyes", "valueCode": eyes}
    return json.dumps({"resourceType": "Patient", "id": name, "extension": [extension]})


@pytest.fixture
def environment(fresh_database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "COLUMNS": "200",
        "DATABASE_URL": fresh_database_url,
        "FHIR_SERVER_SECRET": "s" * 40,
        "FHIR_SERVER_BASE_URL": f"http://127.0.0.1:{free_port()}",
    }


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "fhir_server", *arguments]
        return subprocess.run(
            words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return command


@contextmanager
def serving(environment: dict[str, str], token: str) -> Iterator[httpx.Client]:
    base = environment["FHIR_SERVER_BASE_URL"]
    words = [sys.executable, "-m", "fhir_server", "serve", "--port", base.rpartition(":")[2]]
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{base}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)
        with httpx.Client(base_url=f"{base}/fhir", headers={"Authorization": f"Bearer {token}"}) as client:
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_an_own_parameter_is_searched_by_once_the_index_is_written_anew(
    environment: dict[str, str], run: Run, tmp_path: Path
):
    (tmp_path / "patients.ndjson").write_text(f"{patient('a', 'blue')}\n{patient('b', 'green')}\n", "utf-8")
    assert run("init").returncode == 0
    assert run("load", "patients.ndjson").returncode == 0
    (tmp_path / "parameters").mkdir()
    (tmp_path / "parameters" / "eyes.json").write_text(json.dumps(PARAMETER), "utf-8")
    environment["FHIR_SERVER_SEARCH_PARAMETERS"] = str(tmp_path / "parameters")
    assert REMEDY in json.loads(run("init", "--json").stdout)["search_index"]
    assert run("reconcile", "--fix").returncode == 0
    assert json.loads(run("init", "--json").stdout)["search_index"] == "current"
    assert run("client", "add", "--id", "app", "--type", "backend", "--scope", "system/*.cruds").returncode == 0
    token = json.loads(run("token", "--client", "app", "--scope", "system/*.cruds", "--json").stdout)["access_token"]
    with serving(environment, token) as fhir:
        found = fhir.get("/Patient", params={"eyes": "blue"}, headers={"Prefer": "handling=strict"}).json()
        assert [entry["resource"]["id"] for entry in found["entry"]] == ["a"]
        statement = fhir.get("/metadata").json()
        (served,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Patient"]
        assert {"name": "eyes", "definition": PARAMETER["url"], "type": "token"}.items() <= next(
            each.items() for each in served["searchParam"] if each["name"] == "eyes"
        )


@pytest.mark.parametrize("content", ["{", "[]", json.dumps(PARAMETER | {"expression": "Patient.nothing"})])
def test_a_parameter_that_cannot_be_used_ends_every_command_with_its_reason(
    environment: dict[str, str], run: Run, tmp_path: Path, content: str
):
    file = tmp_path / "parameter.json"
    file.write_text(content, "utf-8")
    environment["FHIR_SERVER_SEARCH_PARAMETERS"] = str(file)
    for arguments in (["init"], ["serve", "--port", "0"]):
        ended = run(*arguments)
        assert ended.returncode != 0
        assert "FHIR_SERVER_SEARCH_PARAMETERS" in ended.stderr
        assert "Traceback" not in ended.stderr
