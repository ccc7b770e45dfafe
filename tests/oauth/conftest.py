"""One installation's keys, and tokens made with them."""

from __future__ import annotations

import pytest

from fhir_server.oauth.keys import KeyCipher, KeyRing, generate_key
from fhir_server.oauth.tokens import Issuer
from storage.grants import StoredKey
from storage.tables.enums import KeyState


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
