"""Fixtures for everyone: migrated databases on both engines, connected as the role that row-level security binds."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage import schema
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.rls import ROLE
from storage.transaction import Change
from tests.postgres import PostgresServer

ORGANIZATION = "loop-health"
"""The organization that tests use when they do not care which."""
OTHER_ORGANIZATION = "health-hub"
"""An organization whose rows have to stay unseen."""

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Sample data and specification pages; absent where only this repository is checked out."""

ENGINES = ("sqlite", "postgresql")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what says how long to draw."""
    parser.addoption("--noninterference", type=int, default=1, help="seeds of tests/acceptance/test_noninterference.py")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for this session; fails, never skips, where the binaries are missing."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite"
    url = f"sqlite:///{path}"
    schema.upgrade(url)
    schema.create_standard_organizations(url)
    return path


def new_database_url(engine: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the URL of a new migrated database; on PostgreSQL as its owner."""
    if engine == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = folder / "fhir.sqlite"
        shutil.copy(template, path)
        return f"sqlite:///{path}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture(scope="module", params=ENGINES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a migrated database for this module, once on each engine; on PostgreSQL as its owner."""
    return new_database_url(request.param, request, tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database for this module, once on each engine, bound by row-level security on PostgreSQL."""
    made = create_database(database_url, ids=IdSource(), role=ROLE)
    await made.open()
    yield made
    await made.close()


@pytest.fixture(params=ENGINES)
def fresh_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Like `database_url`, for this test alone."""
    return new_database_url(request.param, request, tmp_path)


@pytest.fixture
async def fresh_database(fresh_database_url: str) -> AsyncIterator[Database]:
    """Like `database`, for this test alone."""
    made = create_database(fresh_database_url, ids=IdSource(), role=ROLE)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def change() -> Change:
    """Who writes in tests that do not care who."""
    return Change(actor="tester", client_id="tests", api="test")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample data; skips where it is absent."""
    if not SHARED.exists():
        pytest.skip("the sample data is not here")
    return SHARED
