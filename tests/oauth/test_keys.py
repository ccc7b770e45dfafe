"""Signing keys (security KY-1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from joserfc.jwk import RSAKey

from fhir_server.oauth.keys import (
    ALGORITHM,
    ALGORITHMS,
    IDENTITY_ALGORITHM,
    KeyCipher,
    KeyRing,
    KeyUnreadable,
    NoSigningKey,
    generate_key,
    header_segment,
    rotated,
    unsigned,
)
from storage.grants import StoredKey
from storage.tables.enums import KeyState

NOW = 1_800_000_000


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are quicker to make; their size is looked at elsewhere."""
    monkeypatch.setattr("fhir_server.oauth.keys.KEY_BITS", 2048)


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


def test_the_first_rotation_makes_an_active_and_a_next_key_of_each_algorithm(cipher: KeyCipher, quick_keys: None):
    made = rotated((), cipher, NOW)
    assert [(key.algorithm, key.state) for key in made] == [
        (algorithm, state) for algorithm in ALGORITHMS for state in (KeyState.ACTIVE, KeyState.NEXT)
    ]
    assert all(key.public_jwk["alg"] == key.algorithm for key in made)
    assert unsigned(made) == ()


def test_an_installation_with_keys_for_access_tokens_only_lacks_the_other(stored_key: StoredKey):
    assert unsigned([stored_key]) == (IDENTITY_ALGORITHM,)
    assert unsigned([replace(stored_key, state=KeyState.NEXT)]) == ALGORITHMS


def test_identity_keys_rotate_by_themselves(cipher: KeyCipher, stored_key: StoredKey, quick_keys: None):
    identity = generate_key(cipher, KeyState.ACTIVE, IDENTITY_ALGORITHM)
    changed = rotated((stored_key, identity), cipher, NOW, [IDENTITY_ALGORITHM])
    assert {key.algorithm for key in changed} == {IDENTITY_ALGORITHM}
    assert [key.state for key in changed] == [KeyState.RETIRING, KeyState.ACTIVE, KeyState.NEXT]


def test_smart_O3_identity_tokens_have_a_key_of_their_own(cipher: KeyCipher, stored_key: StoredKey, quick_keys: None):
    identity = generate_key(cipher, KeyState.ACTIVE, IDENTITY_ALGORITHM)
    ring = KeyRing(cipher, [stored_key, identity])
    assert ring.signing_key()[0] == stored_key.kid
    assert ring.identity_key()[0] == identity.kid
    assert {key["alg"] for key in ring.jwks()["keys"]} == set(ALGORITHMS)


def test_security_OA7_the_key_of_identity_tokens_verifies_no_access_token(cipher: KeyCipher, quick_keys: None):
    identity = generate_key(cipher, KeyState.ACTIVE, IDENTITY_ALGORITHM)
    ring = KeyRing(cipher, [identity])
    assert ring.verification_key(header_segment(identity.kid)) is None
    with pytest.raises(NoSigningKey, match="RS384"):
        ring.signing_key()


def test_rotation_moves_every_key_one_state_on(cipher: KeyCipher, stored_key: StoredKey, quick_keys: None):
    following = generate_key(cipher, KeyState.NEXT)
    old = replace(stored_key, kid="old", state=KeyState.RETIRING, retired_at=NOW - 3661)
    young = replace(stored_key, kid="young", state=KeyState.RETIRING, retired_at=NOW - 10)
    states = {key.kid: key.state for key in rotated((old, young, stored_key, following), cipher, NOW, [ALGORITHM])}
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
