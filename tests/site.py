"""The server as its clients meet it: uvicorn on a free port, asked over real HTTP, once on each engine."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn

from fhir_server.app import create_app
from fhir_server.http_protocol import HttpProtocol
from fhir_server.oauth.keys import ALGORITHMS, KeyCipher, KeyRing, generate_key
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from fhir_server.settings import Settings
from storage.engine import create_database
from storage.grants import keys_in, save_keys
from storage.rls import ROLE
from storage.tables.enums import KeyState
from tests.conftest import ORGANIZATION

FHIR_JSON = "application/fhir+json"
SECRET = "s" * 40
UNLIMITED = {"graph_user_limit": None, "graph_address_limit": None, "graph_webhook_limit": None}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def signing_ring(settings: Settings) -> KeyRing:
    """Return the ring of the installation's keys; makes an active one of each algorithm where there is none."""
    database = create_database(settings.database_url)
    cipher = KeyCipher(settings.derive("signing keys"))
    async with database.platform() as connection:
        keys = await keys_in(connection)
        if not keys:
            keys = [generate_key(cipher, KeyState.ACTIVE, algorithm) for algorithm in ALGORITHMS]
            await save_keys(connection, keys, datetime.now(UTC))
    await database.close()
    return KeyRing(cipher, keys)


@dataclass
class Site:
    """A running server, with tokens for whoever is needed."""

    settings: Settings
    ring: KeyRing
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def base(self) -> str:
        return self.settings.fhir_base

    def token(
        self,
        scope: str = "system/*.cruds",
        *,
        role: str = "SERVICE",
        patient: str | None = None,
        organization: str = ORGANIZATION,
        fhir_user: str | None = None,
        is_partner: bool = False,
    ) -> str:
        more = {"patient": patient, "fhir_user": fhir_user, "is_partner": is_partner}
        request = TokenRequest("tester", "tests", organization, role, scope, 600, **more)
        return issue(request, Issuer(self.settings.base_url, self.base), self.ring, int(time.time()))

    def client(self, scope: str = "system/*.cruds", **claims: Any) -> httpx.Client:
        """Return a client below the FHIR base that bears a token; it sends and takes FHIR JSON."""
        headers = {
            "Authorization": f"Bearer {self.token(scope, **claims)}",
            "Content-Type": FHIR_JSON,
            "Accept": FHIR_JSON,
        }
        made = httpx.Client(base_url=self.base, headers=headers, timeout=30)
        self.clients.append(made)
        return made


class Background(uvicorn.Server):
    """A server in a thread, which cannot take signals."""

    def install_signal_handlers(self) -> None:
        """Leave signals alone."""


@pytest.fixture(scope="module")
def site(database_url: str) -> Iterator[Site]:
    """A running server on an empty database, for this module, once on each engine."""
    with running_site(database_url) as made:
        yield made


@contextmanager
def running_site(
    database_url: str, prepare: Callable[[Settings], None] | None = None, **more: object
) -> Iterator[Site]:
    """Run a server on a migrated database, in which `prepare` may put something before.

    Nobody needs a second factor, hashing passwords is cheap, and nobody asks too often, unless `more` says otherwise.
    """
    port = free_port()
    told = {"mfa_roles": (), "password_hashing": "floor", **UNLIMITED, **more}
    settings = Settings(
        database_url=database_url,
        database_role=ROLE,
        base_url=f"http://127.0.0.1:{port}",
        secret=SECRET,
        **told,
    )
    ring = asyncio.run(signing_ring(settings))
    if prepare is not None:
        prepare(settings)
    config = uvicorn.Config(
        create_app(settings),
        host="127.0.0.1",
        port=port,
        http=HttpProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
    )
    server = Background(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    made = Site(settings, ring)
    try:
        yield made
    finally:
        for client in made.clients:
            client.close()
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def fhir(site: Site) -> httpx.Client:
    """A client that may do everything in its organization."""
    return site.client()


def patient(family: str = "Chalmers", **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "name": [{"family": family, "given": ["Peter"]}], **more}


def observation(subject: str = "Patient/example", **more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": subject},
        **more,
    }


def issues(answer: httpx.Response) -> list[dict[str, object]]:
    """Return the issues of an OperationOutcome."""
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", body
    return body["issue"]
