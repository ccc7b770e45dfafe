"""People who sign in in tests: put into the database directly, as `fhir-server user add` would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from fhir_server.oauth.passwords import FLOOR, hash_password
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
