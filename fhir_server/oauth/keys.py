"""Signing keys of access tokens: made per installation, encrypted at rest, rotated through four states (KY-1).

    next → active → retiring → gone

Only the active key signs; next, active and retiring verify and are published, so that a token is never met by a worker
that does not know its key.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import RSAKey

from storage.grants import LONGEST_TOKEN_SECONDS, StoredKey
from storage.tables.enums import KeyState

ALGORITHM: Final = "RS384"
KEY_BITS: Final = 3072
SIGNING_KEYS: Final = "signing keys"
"""Purpose of the derived key that encrypts private keys."""
_NONCE_BYTES: Final = 12


class KeyUnreadable(Exception):
    """A private key cannot be decrypted: the secret is not the one that it was encrypted with."""


class NoSigningKey(Exception):
    """There is no active signing key; `fhir-server init` makes one."""


class KeyCipher:
    """Encrypts private keys with AES-256-GCM; the kid is authenticated, so a ciphertext fits its own row only."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, kid: str, private_jwk: Mapping[str, Any]) -> str:
        """Return `v1:nonce:ciphertext`, the last two in base64."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, msgspec.json.encode(dict(private_jwk)), kid.encode())
        return ":".join(("v1", base64.b64encode(nonce).decode(), base64.b64encode(sealed).decode()))

    def decrypt(self, kid: str, text: str) -> dict[str, Any]:
        """Return the private JWK; raises KeyUnreadable for another secret, another kid or an altered text."""
        try:
            version, nonce, sealed = text.split(":")
            if version != "v1":
                raise KeyUnreadable(f"signing key {kid} is stored in the unknown form {version}")
            plain = self._cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), kid.encode())
        except (InvalidTag, ValueError):
            raise KeyUnreadable(
                f"signing key {kid} cannot be decrypted: FHIR_SERVER_SECRET is not the secret it was made with"
            ) from None
        decoded: dict[str, Any] = msgspec.json.decode(plain)
        return decoded


def generate_key(cipher: KeyCipher, state: KeyState) -> StoredKey:
    """Return a new RSA-3072 key; its kid is the thumbprint of its public part (RFC 7638)."""
    key = RSAKey.generate_key(KEY_BITS, private=True)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "alg": ALGORITHM, "use": "sig"}
    return StoredKey(kid, state, public, cipher.encrypt(kid, key.as_dict(private=True)), ALGORITHM)


def rotated(keys: Iterable[StoredKey], cipher: KeyCipher, now: int) -> tuple[StoredKey, ...]:
    """Return the keys after one step of rotation, those that changed or are new only.

    The next key becomes active and the active one retires; a key that has retired for longer than any token lives is
    gone and loses its private part; a new next key is made. Without any key an active and a next one are made.
    """
    changed: list[StoredKey] = []
    promoted = False
    for key in keys:
        match key.state:
            case KeyState.NEXT if not promoted:
                promoted = True
                changed.append(replace(key, state=KeyState.ACTIVE))
            case KeyState.ACTIVE:
                changed.append(replace(key, state=KeyState.RETIRING, retired_at=now))
            case KeyState.RETIRING if key.retired_at is not None and now - key.retired_at > LONGEST_TOKEN_SECONDS:
                changed.append(replace(key, state=KeyState.GONE, encrypted_private_key=""))
            case _:
                pass
    if not promoted:
        changed.append(generate_key(cipher, KeyState.ACTIVE))
    return (*changed, generate_key(cipher, KeyState.NEXT))


class KeyRing:
    """The keys of this installation in memory; `reload` takes a newer state of the table."""

    def __init__(self, cipher: KeyCipher, keys: Iterable[StoredKey] = ()) -> None:
        self._cipher = cipher
        self._keys: dict[str, StoredKey] = {}
        self._verifying: dict[bytes, RSAKey] = {}
        self._signing: tuple[str, RSAKey] | None = None
        self.reload(keys)

    def reload(self, keys: Iterable[StoredKey]) -> None:
        """Replace the keys; a key that has gone verifies no more."""
        self._keys = {key.kid: key for key in keys if key.state is not KeyState.GONE}
        self._verifying = {
            header_segment(kid): RSAKey.import_key(dict(key.public_jwk)) for kid, key in self._keys.items()
        }
        if self._signing is not None and self._state_of(self._signing[0]) is not KeyState.ACTIVE:
            self._signing = None

    def _state_of(self, kid: str) -> KeyState | None:
        key = self._keys.get(kid)
        return None if key is None else key.state

    def verification_key(self, header: bytes) -> RSAKey | None:
        """Return the key whose access tokens start with exactly this encoded header, or None.

        The header is compared and never interpreted: algorithm, type and key come from our own table (OA-6).
        """
        return self._verifying.get(header)

    def signing_key(self) -> tuple[str, RSAKey]:
        """Return kid and private key of the active key.

        Raises NoSigningKey when there is none and KeyUnreadable when the secret is not the one it was made with.
        """
        if self._signing is None:
            active = next((key for key in self._keys.values() if key.state is KeyState.ACTIVE), None)
            if active is None:
                raise NoSigningKey("there is no active signing key; run `fhir-server init`")
            private = self._cipher.decrypt(active.kid, active.encrypted_private_key)
            self._signing = (active.kid, RSAKey.import_key(private))
        return self._signing

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys that verify, as a JWK set (RFC 7517 §5); never a private member."""
        return {"keys": [dict(key.public_jwk) for key in self._keys.values()]}


def header_of(kid: str) -> dict[str, str]:
    """Return the JOSE header of every access token signed with a key (RFC 9068 §2.1)."""
    return {"typ": "at+jwt", "alg": ALGORITHM, "kid": kid}


def header_segment(kid: str) -> bytes:
    """Return the header of `header_of` as it stands in a token."""
    return base64.urlsafe_b64encode(msgspec.json.encode(header_of(kid))).rstrip(b"=")
