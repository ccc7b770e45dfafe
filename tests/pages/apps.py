"""Apps as the authorization server meets them: what they ask for, and what they do with the code."""

from __future__ import annotations

import base64
import hashlib
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import httpx
import psycopg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers.rows import Organization
from storage.audit_sqlite import audit_path
from storage.authorization.grants import Grant, find_grants
from storage.repositories.entities import Client, User, UserOrganization
from storage.repositories.platform import (
    ClientRepository,
    OrganizationRepository,
    UserOrganizationRepository,
    UserRepository,
)
from tests.conftest import ORGANIZATION
from tests.pages.forms import Page
from tests.pages.people import in_database
from tests.site import Site

CALLBACK = "https://app.example/callback?from=fhir"
SCOPE = "launch launch/patient launch/encounter openid fhirUser offline_access online_access patient/*.rs user/*.rs"


def add_app(url: str, **facts: Any) -> Client:
    """Register an app, public unless `type` says otherwise."""
    known = f"app-{uuid4().hex[:10]}"
    default: dict[str, Any] = {
        "id": known,
        "type": "public",
        "name": f"The app {known}",
        "redirect_uris": (CALLBACK,),
        "launch_uris": ("https://app.example/launch",),
        "scope": SCOPE,
    }
    client = Client(**{**default, **facts})

    async def insert(connection: AsyncConnection) -> Client:
        return await ClientRepository(connection).insert(client)

    return in_database(url, insert)


def change_app(url: str, client: Client) -> Client:
    """Save a changed registration."""

    async def update(connection: AsyncConnection) -> Client:
        return await ClientRepository(connection).update(client)

    return in_database(url, update)


def grants_of(url: str, client: Client) -> list[Grant]:
    """Return what was granted to an app."""

    async def found(connection: AsyncConnection) -> list[Grant]:
        return [each for each in await find_grants(connection) if each.client_id == client.id]

    return in_database(url, found)


AUDITED = ("resource", "interaction", "outcome", "actor_id", "customer_id", "path")


def audited(url: str, client: Client) -> list[tuple[Any, ...]]:
    """Return what the audit has of an app: what AUDITED names."""
    columns = ", ".join(AUDITED)
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:  # as its owner: of every organization
            statement = f"SELECT {columns} FROM rbac_logs WHERE client_id = %s ORDER BY id"
            return connection.execute(statement, [client.id]).fetchall()
    rows: list[tuple[Any, ...]] = []
    for file in (make_url(url).database, audit_path(url)):  # reads are in a file of their own
        with closing(sqlite3.connect(str(file))) as connection:
            statement = f"SELECT {columns} FROM rbac_logs WHERE client_id = ? ORDER BY id"
            rows += connection.execute(statement, [client.id]).fetchall()
    return rows


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@dataclass
class App:
    """An app that asks one site for access, once."""

    site: Site
    client: Client
    redirect_uri: str = CALLBACK
    state: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def parameters(
        self, scope: str = "launch/patient patient/*.rs openid fhirUser", **more: str | None
    ) -> dict[str, str]:
        """Return what is asked; None leaves a parameter out."""
        asked: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": self.redirect_uri,
            "scope": scope,
            "state": self.state,
            "aud": self.site.base,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (asked | more).items() if value is not None}

    def address(self, scope: str = "launch/patient patient/*.rs openid fhirUser", **more: str | None) -> str:
        """Return where the app sends the browser."""
        return f"/oauth/authorize?{urlencode(self.parameters(scope, **more))}"

    def code_of(self, page: Page) -> str:
        """Return the code with which the browser came back."""
        answer = self.answer_of(page)
        assert "code" in answer, answer
        assert answer["state"] == self.state
        return answer["code"]

    def error_of(self, page: Page) -> str:
        """Return the error with which the browser came back."""
        answer = self.answer_of(page)
        assert answer.get("state") == self.state
        return answer["error"]

    def answer_of(self, page: Page) -> dict[str, str]:
        """Return the parameters with which the browser came back, `iss` checked; each is there once."""
        assert page.away is not None, (page.status, page.path, page.text[:400])
        assert page.away.startswith(self.redirect_uri), page.away
        pairs = parse_qs(urlsplit(page.away).query, keep_blank_values=True)
        assert all(len(values) == 1 for values in pairs.values())
        assert pairs["iss"] == [self.site.settings.base_url]
        return {name: values[0] for name, values in pairs.items()}

    def redeem(self, code: str) -> httpx.Response:
        """Exchange a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "client_id": self.client.id,
        }
        return httpx.post(f"{self.site.settings.base_url}/oauth/token", data=form, timeout=30)

    def tokens(self, page: Page) -> dict[str, Any]:
        """Return the token response for the code with which the browser came back."""
        response = self.redeem(self.code_of(page))
        assert response.status_code == 200, response.text
        return response.json()


def step_of(page: Page) -> str:
    """Return which page of the flow the browser shows."""
    return page.path.rsplit("/", 1)[-1]


def put(site: Site, resource_type: str, known: str, organization: str = ORGANIZATION, **more: Any) -> str:
    """Store a resource under an id, and return that."""
    with httpx.Client(base_url=site.base, timeout=30) as client:
        answer = client.put(
            f"/{resource_type}/{known}",
            json={"resourceType": resource_type, "id": known, **more},
            headers={"Authorization": f"Bearer {site.token(organization=organization)}"},
        )
    assert answer.status_code in {200, 201}, answer.text
    return known


def add_membership(url: str, user: User, organization: str, role: str, patients: Sequence[str] = ()) -> None:
    """Give somebody a role in another organization."""

    async def insert(connection: AsyncConnection) -> None:
        row = UserOrganization(f"m{uuid4().hex[:12]}", user.id, organization, role)
        await UserOrganizationRepository(connection).insert(row)
        await UserRepository(connection).set_patients(user.id, organization, patients)

    in_database(url, insert)


def add_organization(url: str) -> str:
    """Add an organization and return its id."""
    known = f"org-{uuid4().hex[:10]}"

    async def insert(connection: AsyncConnection) -> None:
        await OrganizationRepository(connection).insert(Organization(known, f"Clinic {known}"))

    in_database(url, insert)
    return known
