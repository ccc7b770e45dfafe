"""Runs and measures the bare stack (`bare.py`) on the database that the server filled."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.bare import DSN_VARIABLE, ORGANIZATION
from bench.installation import WORKERS, clean_environment
from bench.processes import BenchFailed, free_port, service, wait_until_ok
from bench.wrk import Measured, ask

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PATIENTS: Final = (
    "SELECT self_key, length(body) FROM fhir_resources"
    " WHERE organization_id = %s AND resource_type = 'Patient' AND NOT deleted ORDER BY id LIMIT 40"
)


@dataclass(frozen=True, slots=True)
class Bare:
    """One measurement: stored bodies by key, pages of 50 joined bodies, and fixed bytes without a database."""

    reads: Measured
    pages: Measured
    fixed: Measured


class Yardstick:
    """The running bare stack; `body_bytes` is the mean length of what its reads answer."""

    def __init__(self, port: int, keys: Sequence[int], body_bytes: int, folder: Path) -> None:
        self._origin = f"http://127.0.0.1:{port}"
        self._keys = keys
        self._folder = folder
        self.body_bytes = body_bytes

    def measure(self, seconds: int) -> Bare:
        """Measure each kind for so many seconds, after a second that does not count."""
        return Bare(*(self._measure(kind, seconds) for kind in ("read", "page", "fixed")))

    def _measure(self, kind: str, seconds: int) -> Measured:
        paths = [f"/{kind}/{key}" for key in self._keys]
        ask(self._origin, paths, 1, self._folder)
        return ask(self._origin, paths, seconds, self._folder)


@contextmanager
def yardstick(dsn: str, folder: Path) -> Iterator[Yardstick]:
    """Run the bare stack with as many workers as the server has; raises BenchFailed without Patients to read."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(PATIENTS, [ORGANIZATION]).fetchall()
    if not rows:
        raise BenchFailed("No Patient was loaded: there is nothing for the bare stack to read.")
    port, log = free_port(), folder / "bare.log"
    options = ["--port", str(port), "--workers", str(WORKERS), "--loop", "uvloop", "--http", "httptools"]
    command = [sys.executable, "-m", "uvicorn", "bench.bare:application", *options]
    quiet = ["--no-access-log", "--log-level", "warning"]
    with service([*command, *quiet], clean_environment() | {DSN_VARIABLE: dsn}, REPOSITORY, log) as process:
        wait_until_ok(process, port, "/fixed", log)
        keys, lengths = [row[0] for row in rows], [row[1] for row in rows]
        yield Yardstick(port, keys, sum(lengths) // len(lengths), folder)
