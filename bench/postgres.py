"""A throw-away PostgreSQL that is durable as in production: own folder, unix socket only, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from bench.processes import BenchFailed

OWNER: Final = "bench_owner"
"""Superuser of the cluster, owner of its databases."""
PORT: Final = 5432
"""Names the socket in the cluster's own folder; no TCP port is opened."""
SETTINGS: Final = (
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=512MB",
    "max_wal_size=4GB",
    "max_connections=100",
    "listen_addresses=",
    "timezone=UTC",
    "log_min_messages=warning",
)
STOP_SECONDS: Final = 60
COMMITS: Final = 100


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running PostgreSQL; `pid` is its postmaster's."""

    folder: Path
    pid: int
    version: str

    def url(self, database: str) -> str:
        """Return the URL of a database, as its owner."""
        return f"postgresql://{OWNER}@/{database}?host={self.folder}&port={PORT}"

    def create(self, database: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def commit_milliseconds(self) -> float:
        """Return the median time of a transaction that writes one row, durably; one client, nobody else."""
        times = []
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("CREATE TABLE commits (at timestamptz)")
            for _ in range(COMMITS):
                started = time.perf_counter()
                connection.execute("INSERT INTO commits VALUES (now())", prepare=True)
                times.append(time.perf_counter() - started)
            connection.execute("DROP TABLE commits")
        return statistics.median(times) * 1000


@contextmanager
def postgres() -> Iterator[Cluster]:
    """Run PostgreSQL, as the user `postgres` or `nobody` for root; raises BenchFailed where it is not installed."""
    binaries = _binaries()
    identity = _identity()
    folder = Path(tempfile.mkdtemp(prefix="fhir-bench-pg-"))
    try:
        if identity:
            os.chown(folder, identity["user"], identity["group"])
        _initialise(binaries, folder, identity)
        process = _start(binaries, folder, identity)
        try:
            version = _version(process, folder)
            yield Cluster(folder, process.pid, version)
        finally:
            _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    on_path = shutil.which("initdb")
    for candidate in [*found, *([Path(on_path)] if on_path else [])]:
        if candidate.with_name("postgres").exists():
            return candidate.parent
    raise BenchFailed("PostgreSQL is not installed: run `make bench`, or apt-get install postgresql.")


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise BenchFailed("root may not run PostgreSQL, and there is neither a user postgres nor nobody.")


def _initialise(binaries: Path, folder: Path, identity: dict[str, Any]) -> None:
    command: list[str | Path] = [binaries / "initdb", "-D", folder / "data", "-U", OWNER, "-A", "trust", "-E", "UTF8"]
    done = subprocess.run(
        [*command, "--locale=C.UTF-8"], capture_output=True, text=True, cwd=folder, check=False, **identity
    )
    if done.returncode != 0:
        raise BenchFailed(f"initdb failed: {done.stderr.strip()}")


def _start(binaries: Path, folder: Path, identity: dict[str, Any]) -> subprocess.Popen[bytes]:
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data", "-p", str(PORT), "-k", folder]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*command, *(f"-c{each}" for each in SETTINGS)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
            **identity,
        )


def _version(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until PostgreSQL answers and return its version."""
    for _ in range(600):
        try:
            with psycopg.connect(f"postgresql://{OWNER}@/postgres?host={folder}&port={PORT}") as connection:
                row = connection.execute("SHOW server_version").fetchone()
                return str(row[0]) if row else ""
        except psycopg.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise BenchFailed(f"PostgreSQL does not answer: {(folder / 'log').read_text(errors='replace')[-1500:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # "fast": sessions are ended
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)  # "immediate": there is nothing to save
        process.wait()
