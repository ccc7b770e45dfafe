"""Rotation of signing keys while two workers serve (security KY-1, smart.md O2)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fhir_server.app import Application, create_app
from fhir_server.cli.installation import open_installation
from fhir_server.cli.rotation import list_keys, rotate_keys
from fhir_server.oauth.identity import IdentityClaims, identity_token
from fhir_server.oauth.tokens import TokenRequest, issue
from fhir_server.settings import Settings
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.site import SECRET, signing_ring

ROTATIONS = 2
BASE = "http://server.example"


@pytest.fixture
def settings(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("fhir_server.oauth.keys.KEY_BITS", 2048)  # quicker to make
    monkeypatch.setattr("fhir_server.worker.KEYS_SECONDS", 0.5)
    return Settings(database_url=fresh_database_url, database_role=ROLE, base_url=BASE, secret=SECRET)


@asynccontextmanager
async def workers(settings: Settings) -> AsyncIterator[list[Application]]:
    await signing_ring(settings)
    async with AsyncExitStack() as stack:
        apps = [create_app(settings) for _ in range(2)]
        for app in apps:
            await stack.enter_async_context(app.running())
        yield apps


def browser(app: Application) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


def rotate(settings: Settings) -> None:
    """Do what the command does; it runs beside the workers, as it would in a process of its own."""

    async def run() -> None:
        async with open_installation(settings) as installation:
            await rotate_keys(installation)

    asyncio.run(run())


def access_token(app: Application) -> str:
    parts = app.worker.oauth
    asked = TokenRequest(secrets.token_hex(4), "tests", ORGANIZATION, "SERVICE", "system/*.rs", 600)
    return issue(asked, parts.issuer, parts.ring, int(time.time()))


async def test_security_KY1_no_request_fails_while_keys_rotate(settings: Settings):
    ended, failures, answered, headers = asyncio.Event(), [], count(), set()

    async def load(signer: Application, reader: Application) -> None:
        """Sign with one worker and read with the other, a new token each time."""
        async with browser(reader) as client:
            while not ended.is_set():
                token = access_token(signer)
                headers.add(token.split(".")[0])
                answer = await client.get("/fhir/Patient/none", headers={"Authorization": f"Bearer {token}"})
                if answer.status_code != 404:
                    failures.append(answer.text)
                next(answered)

    async with workers(settings) as (first, second):
        running = [asyncio.create_task(load(*pair)) for pair in ((first, second), (second, first), (first, first))]
        for _ in range(ROTATIONS):
            await asyncio.to_thread(rotate, settings)
            await asyncio.sleep(1.2)
        ended.set()
        await asyncio.gather(*running)
    assert failures == []
    assert next(answered) > 10
    assert len(headers) == ROTATIONS + 1, "every rotation was followed by who signs"


async def test_security_KY1_keys_that_an_app_fetched_before_a_rotation_verify_what_is_signed_after_it(
    settings: Settings,
):
    async with workers(settings) as (first, second):
        await asyncio.to_thread(rotate, settings)  # the installation has next keys from now on
        async with browser(first) as client:
            await settled(first, second)
            fetched = KeySet.import_key_set((await client.get("/oauth/jwks")).json())
            before = signed_identity(first)
            await asyncio.to_thread(rotate, settings)
            await settled(first, second)
            after = signed_identity(second)
            assert before.partition(".")[0] != after.partition(".")[0]
            for token in (before, after):
                assert jwt.decode(token, fetched, algorithms=["RS256"]).claims["sub"] == "user-1"
            now = KeySet.import_key_set((await client.get("/oauth/jwks")).json())
            assert jwt.decode(before, now, algorithms=["RS256"]), "a retired key is still published"


async def settled(*apps: Application) -> None:
    """Wait until the workers have seen the last rotation."""
    await asyncio.sleep(0.6)
    assert len({app.worker.ring.identity_key()[0] for app in apps}) == 1


def signed_identity(app: Application) -> str:
    parts: Any = app.worker.oauth
    service = SimpleNamespace(ring=parts.ring, issuer=parts.issuer, settings=parts.settings, seconds=int(time.time()))
    return identity_token(IdentityClaims("user-1", "an-app"), service)


async def test_security_KY1_a_key_that_has_gone_verifies_nothing_and_is_not_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fhir_server.oauth.keys.RETIREMENT_SECONDS", -1)
    async with workers(settings) as (first, _):
        token, identity = access_token(first), signed_identity(first)
        await asyncio.to_thread(rotate, settings)
        await asyncio.to_thread(rotate, settings)
        await settled(first)
        async with browser(first) as client:
            answer = await client.get("/fhir/Patient/none", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401
            published = KeySet.import_key_set((await client.get("/oauth/jwks")).json())
            with pytest.raises((JoseError, ValueError)):
                jwt.decode(identity, published, algorithms=["RS256"])
        async with open_installation(settings) as installation:
            listed = await list_keys(installation)
        assert {(key["signs"], key["state"]) for key in listed} == {
            (what, state) for what in ("access tokens", "identity tokens") for state in ("retiring", "active", "next")
        }
