"""Clients, people and grants put straight into the database, and what an app does with them at the token endpoint."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy.ext.asyncio import AsyncConnection

from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret
from fhir_server.settings import Settings
from storage.authorization.codes import NewCode, add_code
from storage.authorization.grants import Grant, add_grant, find_grants
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.sessions import Session, add_session
from storage.engine import Database
from storage.repositories.entities import Client, User, UserOrganization
from storage.repositories.platform import ClientRepository, UserOrganizationRepository, UserRepository
from storage.tables.authorization import grants
from tests.conftest import ORGANIZATION

REDIRECT_URI = "https://app.example/callback?from=fhir"
SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"
SECRET = "the secret of a client, 256 bits it is not"


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


async def new_client(database: Database, settings: Settings | None = None, **facts: Any) -> Client:
    """Register a client, public unless `type` says otherwise; a confidential one has SECRET."""
    facts.setdefault("type", "public")
    if facts["type"] != "public":
        facts.setdefault("organization_id", ORGANIZATION)
    if facts["type"] == "confidential" and "jwks" not in facts and settings is not None:
        facts.setdefault("secret", hash_client_secret(settings.derive(CLIENT_SECRETS), SECRET))
    facts.setdefault("redirect_uris", (REDIRECT_URI,))
    facts.setdefault("scope", SCOPE)
    client = Client(id=facts.pop("id", new_id("app")), **facts)
    async with database.platform() as connection:
        return await ClientRepository(connection).insert(client)


@dataclass(frozen=True)
class Person:
    """A user in one organization."""

    user: User
    membership: UserOrganization
    patients: tuple[str, ...]


async def new_person(
    database: Database,
    role: str = "PATIENT",
    *,
    patients: tuple[str, ...] = ("pat-1",),
    organization: str = ORGANIZATION,
) -> Person:
    """Add a user with a role, who may act for patients if the role is PATIENT."""
    user_id = new_id("user")
    fhir_user = f"Patient/{patients[0]}" if role == "PATIENT" else "Practitioner/prac-1"
    async with database.platform() as connection:
        user = await UserRepository(connection).insert(User(user_id, f"{user_id}@example.com"))
        membership = await UserOrganizationRepository(connection).insert(
            UserOrganization(new_id("member"), user_id, organization, role, fhir_user)
        )
        if role == "PATIENT":
            await UserRepository(connection).set_patients(user_id, organization, patients)
    return Person(user, membership, patients if role == "PATIENT" else ())


async def new_session(database: Database, person: Person, **facts: Any) -> Session:
    """Sign a person in."""
    now = int(time.time())
    session = Session(
        **{
            "id": new_id("session"),
            "browser": digest(new_opaque()),
            "user_id": person.user.id,
            "authenticated_at": now,
            "last_seen_at": now,
            "expires_at": now + 3600,
        }
        | facts
    )
    async with database.platform() as connection:
        await add_session(connection, session)
    return session


@dataclass(frozen=True)
class Granted:
    """What a person granted to an app, and the code that the app was sent."""

    grant: Grant
    code: str
    verifier: str
    redirect_uri: str = REDIRECT_URI

    def form(self, **changes: str | None) -> dict[str, str]:
        """Return the app's token request; None leaves a parameter out."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": self.code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "client_id": self.grant.client_id,
        }
        return {name: value for name, value in (form | changes).items() if value is not None}


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


async def grant(
    database: Database,
    client: Client,
    person: Person,
    *,
    code_expires_at: int | None = None,
    nonce: str | None = None,
    max_age: bool = False,
    challenge: str | None = None,
    **facts: Any,
) -> Granted:
    """Let a person grant an app `scope` (SCOPE) for the first patient; returns the code that was sent to the app."""
    now = int(time.time())
    code, verifier = new_opaque(), secrets.token_urlsafe(48)
    given = Grant(
        **{
            "id": new_id("grant"),
            "client_id": client.id,
            "organization_id": person.membership.organization_id,
            "role": person.membership.role,
            "scope": SCOPE,
            "authenticated_at": now,
            "created_at": now,
            "last_used_at": now,
            "expires_at": now + 3600,
            "user_id": person.user.id,
            "patient": person.patients[0] if person.patients else "pat-1",
            "fhir_user": person.membership.fhir_user,
        }
        | facts
    )
    async with database.platform() as connection:
        await add_grant(connection, given)
        await add_code(
            connection,
            NewCode(
                code=digest(code),
                grant_id=given.id,
                client_id=client.id,
                redirect_uri=REDIRECT_URI,
                code_challenge=challenge or challenge_of(verifier),
                expires_at=code_expires_at or now + 60,
                nonce=nonce,
                max_age=max_age,
            ),
        )
    return Granted(given, code, verifier)


async def find_grant(connection: AsyncConnection, grant_id: str) -> Grant | None:
    """Return a grant, revoked or not; None when there is none."""
    found = await find_grants(connection, grants.c.id == grant_id)
    return found[0] if found else None


async def change_client(database: Database, client: Client, **changes: Any) -> Client:
    """Change what is registered of a client."""
    async with database.platform() as connection:
        clients = ClientRepository(connection)
        return await clients.update(replace(await clients.get(client.id), **changes))


def refresh_form(client: Client, refresh_token: str, **more: str) -> dict[str, str]:
    """Return a public client's refresh request."""
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client.id, **more}


def refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    """Check an OAuth error (RFC 6749 §5.2) and that nobody keeps it."""
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"].startswith("application/json")
