"""People who sign in in tests: put into the database directly, as `fhir-server user add` would."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from fhir_server.oauth.passwords import FLOOR, hash_password
from storage.audit_sqlite import audit_path
from storage.engine import create_database
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.pages.forms import Browser, Page
from tests.site import Site

PASSWORD = "correct horse battery 42"
HASH = hash_password(PASSWORD, hasher=FLOOR)

T = TypeVar("T")


def in_database(url: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Do something with a database from a test that is not asynchronous."""

    async def opened() -> T:
        database = create_database(url, role=ROLE)
        await database.open()
        try:
            async with database.platform() as connection:
                return await work(connection)
        finally:
            await database.close()

    return asyncio.run(opened())


def add_user(
    url: str,
    role: str = "CLINICIAN",
    *,
    email: str | None = None,
    organization: str = ORGANIZATION,
    patients: Sequence[str] = (),
    fhir_user: str | None = None,
    **more: Any,
) -> User:
    """Add somebody with a role and the password PASSWORD; `more` are columns of users."""
    known = f"p{uuid4().hex[:12]}"
    user = User(known, email or f"{known}@example.org", **{"password_hash": HASH, "name": "Robin Doe", **more})

    async def insert(connection: AsyncConnection) -> User:
        users = UserRepository(connection)
        stored = await users.insert(user)
        membership = UserOrganization(f"m{known}", user.id, organization, role, fhir_user)
        await UserOrganizationRepository(connection).insert(membership)
        await users.set_patients(user.id, organization, patients)
        return stored

    return in_database(url, insert)


def sign_in(site: Site, user: User, browser: Browser | None = None, at: str = "/account") -> tuple[Browser, Page]:
    """Sign somebody in by the page, on the way to an address; return the browser and what it shows then."""
    chosen = browser or Browser(site.settings.base_url)
    page = chosen.get(at)
    assert page.path == "/sign-in", (page.path, page.status, page.text[:200])
    return chosen, chosen.press(page, "Sign in", email=user.email, password=PASSWORD)


def run_sql(site: Site, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Look something up in the database, or change it, behind the server's back."""

    async def run(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        if connection.dialect.name == "postgresql":
            await connection.execute(text(f"SELECT set_config('app.organization_id', '{ORGANIZATION}', true)"))
        result = await connection.execute(text(statement), parameters)
        return [tuple(row) for row in result] if result.returns_rows else []

    return in_database(site.settings.database_url, run)


def trail(site: Site, actor: str) -> list[tuple[str, str, str]]:
    """Return resource, interaction and outcome of what somebody did, in the order of the audit."""
    url = site.settings.database_url
    statement = "SELECT at, resource, interaction, outcome FROM rbac_logs WHERE actor_id = :actor"
    found = run_sql(site, statement, actor=actor)
    if url.startswith("sqlite"):  # what changes nothing is in a file of its own
        with closing(sqlite3.connect(audit_path(url))) as file:
            found += file.execute(statement, {"actor": actor}).fetchall()
    return [(str(resource), str(interaction), str(outcome)) for _, resource, interaction, outcome in sorted(found)]
