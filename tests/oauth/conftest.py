"""One installation's keys, tokens made with them, and who asks a server by HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fhir_server.oauth.keys import KeyCipher, KeyRing, generate_key
from fhir_server.oauth.tokens import Issuer
from storage.engine import Database
from storage.grants import StoredKey
from storage.tables.enums import KeyState
from tests.oauth.granting import Person, new_person
from tests.site import Site


@pytest.fixture(scope="session")
def cipher() -> KeyCipher:
    return KeyCipher(b"k" * 32)


@pytest.fixture(scope="session")
def stored_key(cipher: KeyCipher) -> StoredKey:
    return generate_key(cipher, KeyState.ACTIVE)


@pytest.fixture
def ring(cipher: KeyCipher, stored_key: StoredKey) -> KeyRing:
    return KeyRing(cipher, [stored_key])


@pytest.fixture
def issuer() -> Issuer:
    return Issuer("https://host.example", "https://host.example/fhir")


@pytest.fixture(scope="module")
def http(site: Site) -> Iterator[httpx.Client]:
    """Ask the server of a module, which is its `site`."""
    with httpx.Client(base_url=site.settings.base_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
async def person(database: Database) -> Person:
    """Somebody whom apps may stand for."""
    return await new_person(database)
