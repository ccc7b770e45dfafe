"""Clients whose keys are at an address, over HTTP, on two workers (smart.md J3 to J6, R5; security OA-9, OA-10)."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from fhir_server.oauth.assertions import ASSERTION_TYPE
from storage.engine import Database
from storage.repositories.entities import Client
from tests.oauth.granting import change_client, new_client
from tests.oauth.test_assertions import signed
from tests.pages.apps import audited
from tests.site import Site, running_site

FIRST, SECOND = (RSAKey.generate_key(2048, private=True) for _ in range(2))


@dataclass
class Keys:
    """A client's server with its key set; `asked` counts."""

    address: str = ""
    held: dict[str, RSAKey] = field(default_factory=lambda: {"first": FIRST})
    status: int = 200
    asked: int = 0


@pytest.fixture
def keys() -> Iterator[Keys]:
    made = Keys()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            held = [{**key.as_dict(private=False), "kid": kid} for kid, key in made.held.items()]
            text = json.dumps({"keys": held}).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}/jwks"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def workers(database_url: str) -> Iterator[tuple[Site, Site]]:
    with (
        running_site(database_url, allow_private_jwks=True) as one,
        running_site(database_url, allow_private_jwks=True) as other,
    ):
        yield one, other


@pytest.fixture(scope="module")
def strict(database_url: str) -> Iterator[Site]:
    with running_site(database_url) as made:
        yield made


async def backend(database: Database, keys: Keys) -> Client:
    facts = {"type": "backend", "jwks_uri": keys.address, "scope": "system/*.rs", "redirect_uris": ()}
    return await new_client(database, **facts)


def form(workers: tuple[Site, ...], client: Client, kid: str = "first", key: RSAKey = FIRST) -> dict[str, str]:
    claims: dict[str, Any] = {
        "iss": client.id,
        "sub": client.id,
        "aud": [f"{each.settings.base_url}/oauth/token" for each in workers],
        "exp": int(time.time()) + 300,
        "jti": secrets.token_hex(16),
    }
    return {
        "grant_type": "client_credentials",
        "scope": "system/Patient.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed(claims, key, "RS384", kid),
    }


async def send(site: Site, fields: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(verify=False, timeout=30) as http:
        return await http.post(f"{site.settings.base_url}/oauth/token", data=fields)


def refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_smart_J4_the_keys_are_those_at_the_registered_address(
    database: Database, workers: tuple[Site, Site], keys: Keys
):
    client = await backend(database, keys)
    for _ in range(3):
        answer = await send(workers[0], form(workers, client))
        assert answer.status_code == 200, answer.text
    assert keys.asked == 1
    assert refused(await send(workers[0], form(workers, client, key=SECOND)))


async def test_smart_J5_a_new_key_is_known_at_once_and_an_unknown_one_asks_no_more_than_once_a_minute(
    database: Database, workers: tuple[Site, Site], keys: Keys
):
    client = await backend(database, keys)
    assert (await send(workers[0], form(workers, client))).status_code == 200
    keys.held = {"second": SECOND}
    assert (await send(workers[0], form(workers, client, "second", SECOND))).status_code == 200
    assert keys.asked == 2
    assert refused(await send(workers[0], form(workers, client)))
    assert keys.asked == 2


async def test_security_OA10_the_last_set_holds_while_the_clients_server_is_out_of_order(
    database: Database, workers: tuple[Site, Site], keys: Keys
):
    client = await backend(database, keys)
    assert (await send(workers[0], form(workers, client))).status_code == 200
    keys.status = 500
    assert refused(await send(workers[0], form(workers, client, "second", SECOND)))  # asked again, in vain
    assert (await send(workers[0], form(workers, client))).status_code == 200
    assert refused(await send(workers[1], form(workers, client)))  # this worker never knew it


async def test_security_OA10_many_at_once_ask_once(database: Database, workers: tuple[Site, Site], keys: Keys):
    client = await backend(database, keys)
    answers = await asyncio.gather(*(send(workers[0], form(workers, client)) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert keys.asked == 1


async def test_smart_J3_an_assertion_that_goes_to_two_workers_counts_once(
    database: Database, workers: tuple[Site, Site], keys: Keys
):
    client = await backend(database, keys)
    for _ in range(3):
        fields = form(workers, client)
        answers = await asyncio.gather(*(send(workers[number % 2], fields) for number in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200, *[401] * 9]
        assert all(answer.status_code == 200 or refused(answer) for answer in answers)
        assert refused(await send(workers[0], fields))


async def test_security_AD2_a_refused_assertion_is_in_the_audit(
    database: Database, database_url: str, workers: tuple[Site, Site], keys: Keys
):
    nobody = Client("unknown", "public")
    before = audited(database_url, nobody)
    assert refused(await send(workers[0], form(workers, await backend(database, keys), key=SECOND)))
    more = audited(database_url, nobody)[len(before) :]
    assert [row[:3] for row in more] == [("client", "authenticate", "denied")]


async def test_smart_R5_an_address_on_this_machine_is_not_asked_unless_the_operator_allows_it(
    database: Database, strict: Site, keys: Keys
):
    client = await backend(database, keys)
    assert refused(await send(strict, form((strict,), client)))
    assert keys.asked == 0


async def test_smart_J6_whatever_is_wrong_with_an_assertion_the_answer_is_the_same(
    database: Database, workers: tuple[Site, Site], keys: Keys
):
    client = await backend(database, keys)
    disabled = await change_client(database, await backend(database, keys), is_active=False)
    good = form(workers, client)
    spent = form(workers, client)
    assert (await send(workers[0], spent)).status_code == 200
    faults = (
        form(workers, client, key=SECOND),
        form(workers, client, kid="unknown"),
        form((), client),
        form(workers, Client("nobody", "backend")),
        form(workers, disabled),
        spent,
        {**good, "client_assertion": good["client_assertion"][:-8]},
        {**good, "client_assertion": "no.jwt.atall"},
    )
    answers = [await send(workers[0], fault) for fault in faults]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
