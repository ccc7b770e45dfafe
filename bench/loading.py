"""Times `fhir-server load` into a fresh database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from bench.installation import Installation
from bench.processes import BenchFailed

COUNT: Final = "SELECT count(*) FROM fhir_resources WHERE NOT deleted"
SHARED_PREFIXES: Final = ("hospital", "practitioner")
"""Bundles that the patients' bundles refer to come first."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many resources there are after loading, and how long the command took from start to end."""

    resources: int
    seconds: float

    @property
    def rate(self) -> float:
        """Resources a second."""
        return self.resources / self.seconds


def bundles(data: Path, patients: int) -> list[Path]:
    """Return the files of the bundles of at most so many patients, those they refer to first."""
    files = sorted(path for path in data.iterdir() if path.name.endswith((".json", ".json.gz")))
    shared = [path for path in files if path.name.lstrip("_").startswith(SHARED_PREFIXES)]
    return shared + [path for path in files if path not in shared][:patients]


def time_load(database_url: str, folder: Path, files: Sequence[Path]) -> Loaded:
    """Load files into a new installation; raises BenchFailed when the command fails or stores nothing."""
    folder.mkdir()
    installation = Installation(database_url, folder)
    installation.initialise()
    started = time.perf_counter()
    installation.command("load", *files)
    seconds = time.perf_counter() - started
    resources = _count(database_url)
    if not resources:
        raise BenchFailed("`fhir-server load` stored nothing.")
    return Loaded(resources, seconds)


def _count(database_url: str) -> int:
    if database_url.startswith("sqlite:///"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
        try:
            return int(connection.execute(COUNT).fetchone()[0])
        finally:
            connection.close()
    with psycopg.connect(database_url) as server:
        row = server.execute(COUNT).fetchone()
    return int(row[0]) if row else 0
