"""Commands as a user runs them: arguments in, status, stdout and stderr out; on both engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fhir_server.__main__ import main

SECRET = "tests' own secret, which is long enough"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfdbinary, tmp_path: Path) -> Command:
    """Run `fhir-server` in an empty folder with a secret and nothing else set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fhir_server.cli.app._leave_nothing_to_others", lambda: None)  # it is for whole processes
    monkeypatch.setattr("fhir_server.oauth.keys.KEY_BITS", 2048)  # quicker to make; tests/oauth looks at real ones
    monkeypatch.setenv("FHIR_SERVER_SECRET", SECRET)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("DATABASE_URL", "FHIR_SERVER_DEV", "FHIR_SERVER_ORGANIZATION"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["fhir-server", *arguments])
        capfdbinary.readouterr()
        status: Any = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Outcome(int(status), out.decode(), err.decode())

    return run


@pytest.fixture
def installed(command: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands on an initialised database, once on each engine."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    assert command("init").status == 0
    return command
