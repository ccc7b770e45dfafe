"""One code, sent by twenty at once to two workers (security OA-4, `smart.md` T7): one gets tokens, and they die."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator

import httpx
import msgspec
import pytest

from storage.engine import Database
from tests.oauth.granting import Granted, find_grant, grant, new_client, new_person, refresh_form
from tests.site import Site, running_site

SENDERS = 20


@pytest.fixture(scope="module")
def workers(database_url: str) -> Iterator[tuple[Site, Site]]:
    with running_site(database_url) as one, running_site(database_url) as other:
        yield one, other


async def send_at_once(workers: tuple[Site, Site], granted: Granted) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=60) as client:
        addresses = [f"{worker.settings.base_url}/oauth/token" for worker in workers]
        return await asyncio.gather(
            *(client.post(addresses[number % len(addresses)], data=granted.form()) for number in range(SENDERS))
        )


def worker_of(token: str, workers: tuple[Site, Site]) -> Site:
    """Return the worker that issued a token: in this test each is at an address of its own."""
    claims = token.split(".")[1]
    issuer = msgspec.json.decode(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iss"]
    return next(worker for worker in workers if worker.settings.base_url == issuer)


async def test_security_OA4_of_twenty_at_once_exactly_one_redeems_a_code_and_then_the_grant_is_revoked(
    database: Database, workers: tuple[Site, Site]
):
    app, person = await new_client(database), await new_person(database)
    for _ in range(3):
        granted = await grant(database, app, person)
        answers = await send_at_once(workers, granted)
        good = [answer for answer in answers if answer.status_code == 200]
        assert len(good) == 1, {answer.text for answer in answers}
        assert all(
            (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
            for answer in answers
            if answer is not good[0]
        )
        async with database.platform() as connection:
            found = await find_grant(connection, granted.grant.id)
        assert found is not None
        assert found.revoked_for == "code replayed"
        tokens = good[0].json()
        home = worker_of(tokens["access_token"], workers)
        await dies(home, tokens["access_token"])
        renewal = httpx.post(
            f"{home.settings.base_url}/oauth/token", data=refresh_form(app, tokens["refresh_token"]), timeout=30
        )
        assert renewal.json()["error"] == "invalid_grant"


async def dies(worker: Site, token: str) -> None:
    """Wait until a worker refuses a token; it looks revocations up every second."""
    until = time.monotonic() + 30
    headers = {"Authorization": f"Bearer {token}"}
    while httpx.get(f"{worker.base}/Patient", headers=headers).status_code == 200:
        assert time.monotonic() < until, "the token works for too long"
        await asyncio.sleep(0.1)
