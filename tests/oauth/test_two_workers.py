"""What one worker revoked, another refuses as soon as it looks (security OA-8, V1, V2): two workers at one address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from fhir_server.app import create_app
from fhir_server.settings import Settings
from storage.authorization.grants import revoke_grant
from storage.engine import Database
from storage.rls import ROLE
from tests.oauth.granting import grant, new_client, new_person
from tests.site import SECRET, signing_ring

BASE = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
async def workers(database_url: str) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    settings = Settings(database_url=database_url, database_role=ROLE, base_url=BASE, secret=SECRET)
    await signing_ring(settings)
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            app = create_app(settings)
            await stack.enter_async_context(app.running())
            transport = httpx.ASGITransport(app)
            clients.append(await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=BASE)))
        yield clients[0], clients[1]


async def refused_soon(worker: httpx.AsyncClient, token: str) -> None:
    until = time.monotonic() + 30
    while (await reads(worker, token)) == 200:
        assert time.monotonic() < until, "the token works for too long"
        await asyncio.sleep(0.05)
    assert await reads(worker, token) == 401


async def reads(worker: httpx.AsyncClient, token: str) -> int:
    answer = await worker.get("/fhir/Patient", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


@pytest.mark.parametrize("how", ["access_token", "refresh_token", "replay", "withdrawn"])
async def test_security_OA8_what_one_worker_revokes_the_other_refuses(
    database: Database, workers: tuple[httpx.AsyncClient, httpx.AsyncClient], how: str
):
    one, other = workers
    asked = await grant(database, await new_client(database), await new_person(database))
    tokens = (await one.post("/oauth/token", data=asked.form())).json()
    token = tokens["access_token"]
    assert [await reads(worker, token) for worker in workers] == [200, 200]
    if how == "replay":
        assert (await one.post("/oauth/token", data=asked.form())).status_code == 400
        assert await reads(one, token) == 401, "the worker itself knows at once"
    elif how == "withdrawn":
        async with database.platform() as connection:
            assert await revoke_grant(connection, asked.grant.id, "withdrawn", int(time.time()))
    else:
        form = {"token": tokens[how], "client_id": asked.grant.client_id}
        assert (await one.post("/oauth/revoke", data=form)).status_code == 200
        assert await reads(one, token) == 401, "the worker itself knows at once"
    for worker in (other, one):
        await refused_soon(worker, token)


async def test_security_OA5_a_refresh_token_rotated_by_one_worker_is_used_up_for_the_other(
    database: Database, workers: tuple[httpx.AsyncClient, httpx.AsyncClient]
):
    one, other = workers
    asked = await grant(database, await new_client(database), await new_person(database))
    first = (await one.post("/oauth/token", data=asked.form())).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": asked.grant.client_id, "refresh_token": first}
    second = await other.post("/oauth/token", data=form)
    assert second.status_code == 200
    assert (await one.post("/oauth/token", data=form)).json()["error"] == "invalid_grant"
    form["refresh_token"] = second.json()["refresh_token"]
    assert (await other.post("/oauth/token", data=form)).json()["error"] == "invalid_grant"
