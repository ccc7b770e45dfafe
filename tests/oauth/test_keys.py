"""Signing keys (security KY-1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from joserfc.jwk import RSAKey

from fhir_server.oauth.keys import (
    KeyCipher,
    KeyRing,
    KeyUnreadable,
    NoSigningKey,
    generate_key,
    header_segment,
    rotated,
)
from storage.grants import StoredKey
from storage.tables.enums import KeyState

NOW = 1_800_000_000


def test_a_key_is_named_by_its_thumbprint_and_has_3072_bits(stored_key: StoredKey):
    key = RSAKey.import_key(dict(stored_key.public_jwk))
    assert stored_key.kid == key.thumbprint()
    assert key.public_key.key_size == 3072


def test_the_private_part_is_encrypted_at_rest(stored_key: StoredKey):
    assert stored_key.encrypted_private_key.startswith("v1:")
    assert '"d"' not in stored_key.encrypted_private_key


def test_a_ciphertext_moved_to_another_key_or_read_with_another_secret_fails(cipher: KeyCipher, stored_key: StoredKey):
    with pytest.raises(KeyUnreadable):
        cipher.decrypt("another-kid", stored_key.encrypted_private_key)
    with pytest.raises(KeyUnreadable, match="FHIR_SERVER_SECRET"):
        KeyCipher(b"x" * 32).decrypt(stored_key.kid, stored_key.encrypted_private_key)


def test_the_first_rotation_makes_an_active_and_a_next_key(cipher: KeyCipher):
    assert [key.state for key in rotated((), cipher, NOW)] == [KeyState.ACTIVE, KeyState.NEXT]


def test_rotation_moves_every_key_one_state_on(cipher: KeyCipher, stored_key: StoredKey):
    following = generate_key(cipher, KeyState.NEXT)
    old = replace(stored_key, kid="old", state=KeyState.RETIRING, retired_at=NOW - 3601)
    young = replace(stored_key, kid="young", state=KeyState.RETIRING, retired_at=NOW - 10)
    states = {key.kid: key.state for key in rotated((old, young, stored_key, following), cipher, NOW)}
    assert states.pop("old") is KeyState.GONE
    assert "young" not in states
    assert states.pop(stored_key.kid) is KeyState.RETIRING
    assert states.pop(following.kid) is KeyState.ACTIVE
    assert list(states.values()) == [KeyState.NEXT]


def test_jwks_publishes_next_active_and_retiring_keys_without_private_members(stored_key: StoredKey, cipher: KeyCipher):
    states = [replace(stored_key, kid=state.value, state=state) for state in KeyState]
    published = KeyRing(cipher, states).jwks()["keys"]
    assert len(published) == 3
    for key in published:
        assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}


def test_a_key_that_has_gone_verifies_nothing(stored_key: StoredKey, cipher: KeyCipher):
    ring = KeyRing(cipher, [replace(stored_key, state=KeyState.GONE)])
    assert ring.verification_key(header_segment(stored_key.kid)) is None
    with pytest.raises(NoSigningKey):
        ring.signing_key()
