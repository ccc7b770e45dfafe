"""The server process (design 'Addresses and commands'; security DU-7 to DU-9, RL-4, PH-1)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.site import free_port


def environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/fhir.sqlite",
        "FHIR_SERVER_SECRET": "s" * 40,
        "FHIR_SERVER_BASE_URL": f"http://127.0.0.1:{port}",
    }


def command(*arguments: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "fhir_server", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def workers_of(process: subprocess.Popen[bytes]) -> set[int]:
    return {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}


def install(folder: Path) -> None:
    """Put a migrated database into a folder; it is made once, for its keys take a while."""
    made = folder.parent / "installed"
    if not (made / "fhir.sqlite").exists():
        made.mkdir()
        init = command("init", env=environment(made, free_port()))
        init.communicate(timeout=60)
        assert init.returncode == 0
    shutil.copytree(made, folder, dirs_exist_ok=True)


@contextmanager
def serving(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    env = environment(folder, port) | settings
    install(folder)
    process = command("serve", "--port", str(port), *arguments, env=env)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"{base}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield process, base
    finally:
        if process.returncode is None:
            process.terminate()  # its workers end with it
            process.communicate(timeout=30)


def test_sigterm_ends_the_server_with_status_0(tmp_path):
    with serving(tmp_path) as (process, base):
        assert httpx.get(f"{base}/fhir/metadata").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
        assert process.returncode == 0
    assert b"no_second_wall" in logged  # security TN-5
    assert b"no_tls" not in logged


@pytest.mark.parametrize(("address", "warns"), [("http://fhir.example.org", True), ("https://fhir.example.org", False)])
def test_smart_B1_an_address_in_the_clear_is_warned_of(tmp_path, address, warns):
    with serving(tmp_path, FHIR_SERVER_BASE_URL=address) as (process, _):
        process.send_signal(signal.SIGTERM)
        logged = b"".join(process.communicate(timeout=30))
    assert (b"no_tls" in logged) == warns
    assert b"Traceback" not in logged


@on_linux
def test_security_PH4_what_the_server_writes_is_its_owners_and_no_crash_leaves_memory_behind(tmp_path):
    with serving(tmp_path, "--workers", "2") as (process, _):
        written = [path for path in tmp_path.rglob("*") if path.name.startswith("fhir.sqlite")]
        assert written
        assert [path for path in written if path.stat().st_mode & 0o077] == []
        for each in (process.pid, *workers_of(process)):
            (limit,) = re.findall(r"Max core file size +(\S+)", Path(f"/proc/{each}/limits").read_text())
            assert limit == "0"


def test_workers_share_their_figures(tmp_path):
    with serving(tmp_path, "--workers", "2") as (_, base):
        for _ in range(20):
            with httpx.Client() as client:
                assert client.get(f"{base}/fhir/metadata").status_code == 200
        figures = httpx.get(f"{base}/metrics").text
        assert 'fhir_answers_total{interaction="capabilities",status="200",type=""} 20.0' in figures


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@on_linux
def test_workers_share_the_memory_of_what_they_loaded(tmp_path):
    with serving(tmp_path, "--workers", "2") as (process, _):
        for worker in workers_of(process):
            lines = Path(f"/proc/{worker}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
            own = sizes["Private_Dirty"] + sizes["Private_Clean"]
            assert own < sizes["Rss"] / 2


@on_linux
def test_a_killed_worker_is_replaced_and_sigterm_ends_all_with_status_0(tmp_path):
    with serving(tmp_path, "--workers", "2") as (process, base):
        before = workers_of(process)
        assert len(before) == 2
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: killed not in workers_of(process) and len(workers_of(process)) == 2)
        assert httpx.get(f"{base}/fhir/metadata").status_code == 200
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
        assert process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert b"Traceback" not in logged


@on_linux
def test_sigterm_right_after_the_fork_ends_the_worker_too(tmp_path):
    port = free_port()
    env = environment(tmp_path, port)
    install(tmp_path)
    process = command("serve", "--port", str(port), "--workers", "2", env=env)
    wait_for(lambda: len(workers_of(process)) == 2)
    started = workers_of(process)
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)
    assert b"Traceback" not in logged


@on_linux
def test_sighup_replaces_the_workers(tmp_path):
    with serving(tmp_path, "--workers", "2") as (process, base):
        before = workers_of(process)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers_of(process)) == 2 and not workers_of(process) & before)
        assert httpx.get(f"{base}/readyz").status_code == 200


@pytest.mark.parametrize("url", ["sqlite:///{folder}/nothing.sqlite", "postgresql://nobody@127.0.0.1:9/nothing"])
def test_without_a_migrated_database_it_says_so_and_does_not_start(tmp_path, url):
    env = environment(tmp_path, free_port()) | {"DATABASE_URL": url.format(folder=tmp_path)}
    process = command("serve", env=env)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"Error: The database" in told
    assert b"Traceback" not in told


def test_logs_hold_no_value_of_a_request(tmp_path):
    with serving(tmp_path) as (process, base):
        httpx.get(f"{base}/fhir/Patient?name=CanaryInQuery", headers={"Authorization": "Bearer CanaryInToken"})
        httpx.get(f"{base}/fhir/Patient/CanaryInPath")
        httpx.post(f"{base}/fhir/Patient", content=b'{"CanaryInBody"', headers={"User-Agent": "CanaryAgent"})
        process.send_signal(signal.SIGTERM)
        output, logged = process.communicate(timeout=30)
    assert b"Canary" not in output + logged
