"""Runs `fhir_bench.py`, which asks FHIR servers questions from outside, against this server; reads its JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.installation import Installation, clean_environment
from bench.processes import BenchFailed, Command, run_shown

TARGET: Final = "ours"
LOAD_WORKERS: Final = 4
FINISHED: Final = frozenset({0, 1, 3})
"""Exit statuses that come with results: all well, errors among the answers, content that differs from the source."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long, how often, and about how much data is asked; times in whole seconds."""

    seconds: int
    repeat: int
    warmup: int
    warmup_pass: int
    patients: int
    sample: int
    starts: int


FULL: Final = Pace(seconds=5, repeat=3, warmup=3, warmup_pass=5, patients=120, sample=40, starts=3)
QUICK: Final = Pace(seconds=1, repeat=1, warmup=0, warmup_pass=1, patients=8, sample=8, starts=3)
"""Proves that everything works; its figures say little."""


class Driver:
    """The driver, pointed at a running server; `pids` are the server's and the postmaster's."""

    def __init__(self, tool: Path, data: Path, installation: Installation, pids: tuple[int, int], pace: Pace) -> None:
        self._tool = tool
        self._data = data
        self._installation = installation
        self._pids = pids
        self._pace = pace

    def load(self) -> dict[str, Any]:
        """Post the bundles, half of them one by one and the others four at a time."""
        return self._run("--load-only", "--load-workers", str(LOAD_WORKERS))

    def measure(self, scenarios: Sequence[str]) -> dict[str, Any]:
        """Measure these scenarios; the data has to be loaded."""
        pace = self._pace
        options = {
            "--scenarios": ",".join(scenarios),
            "--seconds": pace.seconds,
            "--repeat": pace.repeat,
            "--warmup": pace.warmup,
            "--warmup-pass": pace.warmup_pass,
            "--sample": pace.sample,
        }
        return self._run(*(word for name, value in options.items() for word in (name, str(value))))

    def _run(self, *options: str) -> dict[str, Any]:
        results = self._installation.folder / "results.json"
        results.unlink(missing_ok=True)
        given = ["--data", str(self._data), "--patients", str(self._pace.patients), "--target", self._target()]
        command: Command = [sys.executable, self._tool, *given, *options, "--json", str(results)]
        status = run_shown(command, clean_environment(), self._installation.folder)
        if status not in FINISHED or not results.exists():
            raise BenchFailed(f"{self._tool.name} ended with {status} and no results; its last words are above.")
        found: dict[str, Any] = json.loads(results.read_text())
        return found

    def _target(self) -> str:
        server, postmaster = self._pids
        url, token = self._installation.database_url, self._installation.token()
        return f"{TARGET}={self._installation.fhir_base},pid={server},db_pid={postmaster},dsn={url},token={token}"
