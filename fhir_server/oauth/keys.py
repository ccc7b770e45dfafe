"""Signing keys: made per installation, encrypted at rest, rotated through four states (KY-1).

    next → active → retiring → gone

Only the active key signs; next, active and retiring verify and are published, so that a token is never met by a worker
that does not know its key. Access tokens (RS384) and identity tokens (RS256, OpenID Connect Core §2) have keys of their
own: what is signed for apps to look at can never be taken for what opens the FHIR interface (OA-7).
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
"""Signs access tokens."""
IDENTITY_ALGORITHM: Final = "RS256"
"""Signs identity tokens: what every OpenID client takes (smart.md O1, O3)."""
ALGORITHMS: Final = (ALGORITHM, IDENTITY_ALGORITHM)
KEY_BITS: Final = 3072
SIGNING_KEYS: Final = "signing keys"
"""Purpose of the derived key that encrypts private keys."""
RETIREMENT_SECONDS: Final = LONGEST_TOKEN_SECONDS + 60
"""A retired key may still have signed for the seconds in which a worker did not know of the rotation."""
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


def generate_key(cipher: KeyCipher, state: KeyState, algorithm: str = ALGORITHM) -> StoredKey:
    """Return a new RSA-3072 key; its kid is the thumbprint of its public part (RFC 7638)."""
    key = RSAKey.generate_key(KEY_BITS, private=True)
    kid = key.thumbprint()
    public = {**key.as_dict(private=False), "kid": kid, "alg": algorithm, "use": "sig"}
    return StoredKey(kid, state, public, cipher.encrypt(kid, key.as_dict(private=True)), algorithm)


def rotated(
    keys: Iterable[StoredKey], cipher: KeyCipher, now: int, algorithms: Iterable[str] = ALGORITHMS
) -> tuple[StoredKey, ...]:
    """Return the keys of the algorithms after one step of rotation, those that changed or are new only.

    The next key becomes active and the active one retires; a key that has retired for longer than any token lives is
    gone and loses its private part; a new next key is made. Where there is no key an active and a next one are made.
    """
    known = tuple(keys)
    changed: list[StoredKey] = []
    for algorithm in algorithms:
        changed += _step((key for key in known if key.algorithm == algorithm), cipher, now, algorithm)
    return tuple(changed)


def _step(keys: Iterable[StoredKey], cipher: KeyCipher, now: int, algorithm: str) -> list[StoredKey]:
    changed: list[StoredKey] = []
    promoted = False
    for key in keys:
        match key.state:
            case KeyState.NEXT if not promoted:
                promoted = True
                changed.append(replace(key, state=KeyState.ACTIVE))
            case KeyState.ACTIVE:
                changed.append(replace(key, state=KeyState.RETIRING, retired_at=now))
            case KeyState.RETIRING if key.retired_at is not None and now - key.retired_at > RETIREMENT_SECONDS:
                changed.append(replace(key, state=KeyState.GONE, encrypted_private_key=""))
            case _:
                pass
    if not promoted:
        changed.append(generate_key(cipher, KeyState.ACTIVE, algorithm))
    return [*changed, generate_key(cipher, KeyState.NEXT, algorithm)]


def unsigned(keys: Iterable[StoredKey]) -> tuple[str, ...]:
    """Return the algorithms for which no key is active: an installation made before there were two has one of them."""
    active = {key.algorithm for key in keys if key.state is KeyState.ACTIVE}
    return tuple(algorithm for algorithm in ALGORITHMS if algorithm not in active)


class KeyRing:
    """The keys of this installation in memory; `reload` takes a newer state of the table."""

    def __init__(self, cipher: KeyCipher, keys: Iterable[StoredKey] = ()) -> None:
        self._cipher = cipher
        self._keys: dict[str, StoredKey] = {}
        self._verifying: dict[bytes, RSAKey] = {}
        self._signing: dict[str, tuple[str, RSAKey]] = {}
        self.reload(keys)

    def reload(self, keys: Iterable[StoredKey]) -> None:
        """Replace the keys; a key that has gone verifies no more."""
        standing = {key.kid: key for key in keys if key.state is not KeyState.GONE}
        if standing == self._keys:
            return
        self._keys = standing
        self._verifying = {
            header_segment(kid): RSAKey.import_key(dict(key.public_jwk))
            for kid, key in standing.items()
            if key.algorithm == ALGORITHM
        }
        active = {key.kid for key in standing.values() if key.state is KeyState.ACTIVE}
        self._signing = {name: signing for name, signing in self._signing.items() if signing[0] in active}

    def verification_key(self, header: bytes) -> RSAKey | None:
        """Return the key whose access tokens start with exactly this encoded header, or None.

        The header is compared and never interpreted: algorithm, type and key come from our own table (OA-6).
        """
        return self._verifying.get(header)

    def signing_key(self) -> tuple[str, RSAKey]:
        """Return kid and private key of the active key for access tokens.

        Raises NoSigningKey when there is none and KeyUnreadable when the secret is not the one it was made with.
        """
        return self._active(ALGORITHM)

    def identity_key(self) -> tuple[str, RSAKey]:
        """Return kid and private key of the active key for identity tokens; raises as `signing_key` does."""
        return self._active(IDENTITY_ALGORITHM)

    def _active(self, algorithm: str) -> tuple[str, RSAKey]:
        signing = self._signing.get(algorithm)
        if signing is None:
            active = (key for key in self._keys.values() if key.state is KeyState.ACTIVE and key.algorithm == algorithm)
            key = next(active, None)
            if key is None:
                raise NoSigningKey(f"there is no active {algorithm} key; run `fhir-server init`")
            private = self._cipher.decrypt(key.kid, key.encrypted_private_key)
            signing = self._signing[algorithm] = (key.kid, RSAKey.import_key(private))
        return signing

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public keys that verify, as a JWK set (RFC 7517 §5); never a private member."""
        return {"keys": [dict(key.public_jwk) for key in self._keys.values()]}


def header_of(kid: str) -> dict[str, str]:
    """Return the JOSE header of every access token signed with a key (RFC 9068 §2.1)."""
    return {"typ": "at+jwt", "alg": ALGORITHM, "kid": kid}


def header_segment(kid: str) -> bytes:
    """Return the header of `header_of` as it stands in a token."""
    return base64.urlsafe_b64encode(msgspec.json.encode(header_of(kid))).rstrip(b"=")
