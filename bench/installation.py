"""An installation of the server for the length of a run, driven by its own commands only."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import Command, free_port, run, service, wait_until_ok

CLIENT: Final = "bench"
SCOPE: Final = "system/*.cruds"
TOKEN_SECONDS: Final = 3600
WORKERS: Final = 2
OURS: Final = ("FHIR_SERVER_", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE", "PROMETHEUS_MULTIPROC_DIR", "MALLOC_")
"""Variables of whoever runs this that must not change what is measured."""


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of a server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


@dataclass(frozen=True, slots=True)
class Server:
    """A running `fhir-server serve`; `ready_seconds` from its start to the first 200 of /readyz."""

    process: subprocess.Popen[bytes]
    ready_seconds: float


class Installation:
    """A database, a secret and a port; the audit is on, as it always is, and every setting has its default."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.database_url = database_url
        self.folder = folder
        self.port = free_port()
        self.log = folder / "serve.log"
        self._command = Path(sys.executable).with_name("fhir-server")

    @property
    def fhir_base(self) -> str:
        """Address of the FHIR API."""
        return f"http://127.0.0.1:{self.port}/fhir"

    def environment(self) -> Mapping[str, str]:
        """Return the environment of every command."""
        return clean_environment() | {
            "DATABASE_URL": self.database_url,
            "FHIR_SERVER_BASE_URL": f"http://127.0.0.1:{self.port}",
            "FHIR_SERVER_SECRET": self._secret(),
            "FHIR_SERVER_LOG_LEVEL": "warning",
        }

    def _secret(self) -> str:
        file = self.folder / "secret"
        if not file.exists():
            file.write_text(secrets.token_hex(32))
        return file.read_text()

    def command(self, *arguments: str | Path) -> str:
        """Run a command of the server and return its output; raises BenchFailed."""
        return run([self._command, *arguments], self.environment(), self.folder)

    def initialise(self) -> None:
        """Make database, signing keys and the client that the measuring is done as."""
        self.command("init")
        self.command("client", "add", "--id", CLIENT, "--type", "backend", "--scope", SCOPE)

    def token(self) -> str:
        """Return a fresh access token."""
        arguments = ("token", "--client", CLIENT, "--scope", SCOPE, "--ttl", str(TOKEN_SECONDS), "--json")
        return str(json.loads(self.command(*arguments))["access_token"])

    @contextmanager
    def serving(self) -> Iterator[Server]:
        """Run the server and wait until it is ready; raises BenchFailed when it does not get there."""
        command: Command = [self._command, "serve", "--port", str(self.port), "--workers", str(WORKERS)]
        started = time.perf_counter()
        with service(command, self.environment(), self.folder, self.log) as process:
            wait_until_ok(process, self.port, "/readyz", self.log)
            yield Server(process, time.perf_counter() - started)
