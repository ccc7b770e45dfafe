"""A throw-away PostgreSQL for the tests: its own data directory, its own port, gone with the session.

PostgreSQL refuses to run as root, so root starts it as the user `postgres`, or `nobody` where there is none. A database
per test module is a copy of a template that was migrated once.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import psycopg

from storage import schema

OWNER = "fhir_owner"
"""Owns the databases; superuser, for fixtures and migrations only."""
TEMPLATE = "fhir_template"

FAST = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "max_connections=200",
    "autovacuum=off",
    "timezone=Pacific/Auckland",  # not UTC: whoever relies on the session's zone is found out
    "log_min_messages=fatal",
    "listen_addresses=127.0.0.1",
)


class PostgresMissing(Exception):
    """There are no PostgreSQL binaries on this machine."""


def find_binaries() -> Path:
    """Return the folder of initdb and postgres, the newest version first; raises PostgresMissing."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]), reverse=True)
    for candidate in [*found, *([Path(on_path)] if on_path else [])]:
        if candidate.with_name("postgres").exists():
            return candidate.parent
    raise PostgresMissing("PostgreSQL is not installed: run `make test`, or apt-get install postgresql")


def _unprivileged() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresMissing("root may not run PostgreSQL, and there is neither a user postgres nor nobody")


class PostgresServer:
    """A running server; `stop` ends it and removes its data."""

    def __init__(self) -> None:
        self._binaries = find_binaries()
        self._user = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="fhir-postgres-"))
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if self._user is not None:
            os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
        data = self._folder / "data"
        self._run("initdb", "-D", str(data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        options = [f"-c{each}" for each in FAST]
        command = [str(self._binaries / "postgres"), "-D", str(data), "-p", str(self.port), "-k", str(self._folder)]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdout=log, stderr=subprocess.STDOUT, cwd=self._folder, **self._identity()
            )
        self._wait()
        self.create(TEMPLATE, template="template0")
        schema.upgrade(self.url(TEMPLATE))
        schema.create_standard_organizations(self.url(TEMPLATE))

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
            **self._identity(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _wait(self) -> None:
        for _ in range(600):
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process is not None and self._process.poll() is not None:
                    log = (self._folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL ended at once: {log}") from None
                time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not answer within 30 s")

    def url(self, database: str, user: str = OWNER) -> str:
        """Return the URL of a database, as its owner or as another role."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, name: str, template: str = TEMPLATE) -> str:
        """Create a database as a copy of another, and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def fresh(self, template: str = TEMPLATE) -> str:
        """Create a database that nobody used yet, and return its URL; `template0` gives an empty one."""
        return self.create(f"test_{next(self._numbers)}", template)

    def stop(self) -> None:
        """End the server and let its data be removed."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()  # SIGTERM waits for sessions to end ("smart")
            try:
                self._process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self._process.send_signal(3)  # SIGQUIT ends at once; there is nothing to save
                self._process.wait(timeout=10)
        # a thousand databases are a million files: nobody waits for them to be removed
        background = ["sh", "-c", 'rm -rf "$0" &', str(self._folder)]
        subprocess.run(background, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True, check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def execute(url: str, *statements: str) -> Sequence[tuple[object, ...]]:
    """Run statements in one transaction and return the rows of the last, if it has any."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
