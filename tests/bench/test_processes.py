"""What `make bench` starts ends with it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bench.loading import bundles
from bench.processes import BenchFailed, ended_by_signals, run, service

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
WITH_CHILD = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(child.pid, flush=True); time.sleep(600)"
)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_ends_when_measuring_fails(tmp_path):
    with pytest.raises(BenchFailed), service(SLEEP, os.environ, tmp_path, tmp_path / "log") as process:
        raise BenchFailed("stop")

    assert process.returncode == -signal.SIGTERM


def test_what_a_service_started_ends_with_it(tmp_path):
    log = tmp_path / "log"
    with service([sys.executable, "-c", WITH_CHILD], os.environ, tmp_path, log) as process:
        while not log.read_text().endswith("\n"):
            assert process.poll() is None
        child = int(log.read_text())
    while is_running(child):  # killed, perhaps not gone yet
        pass


def test_a_termination_unwinds_like_an_error(tmp_path):
    with pytest.raises(SystemExit), ended_by_signals(), service(SLEEP, os.environ, tmp_path, tmp_path / "log") as slept:
        os.kill(os.getpid(), signal.SIGTERM)

    assert slept.returncode == -signal.SIGTERM


def test_a_command_that_fails_says_what_it_said_without_its_options(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('╭─ Error ─╮ no such thing')", "--token", "hidden"]
    with pytest.raises(BenchFailed, match=r"ended with 1: Error no such thing$") as failure:
        run(command, os.environ, tmp_path)

    assert "hidden" not in str(failure.value)


def test_a_command_that_is_missing_is_named(tmp_path):
    with pytest.raises(BenchFailed, match="no command nowhere-to-be-found"):
        run(["nowhere-to-be-found"], os.environ, tmp_path)


def test_bundles_that_others_refer_to_come_first(tmp_path):
    for name in ("b.json.gz", "a.json", "_practitioners.json.gz", "_hospitals.json.gz", "index.ndjson", "c.json"):
        (tmp_path / name).touch()

    names = [path.name for path in bundles(tmp_path, patients=2)]

    assert names == ["_hospitals.json.gz", "_practitioners.json.gz", "a.json", "b.json.gz"]
