"""Secrets at rest that have to be read again: encrypted, and bound to their place (security KY-2).

A sealed text is `v1:kid:nonce:ciphertext`, AES-256-GCM with a fresh nonce. Table, column and row are authenticated with
it, so a text that is moved to another row does not open.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = "v1"
NONCE_BYTES: Final = 12


class SealBroken(Exception):
    """A text cannot be opened: it was sealed with another key or for another row, or was altered. Names the row."""


class Sealer:
    """Seals and opens the texts of one column."""

    def __init__(self, key: bytes, table: str, column: str) -> None:
        self._cipher = AESGCM(key)
        self._kid = hashlib.sha256(key).hexdigest()[:8]
        self._place = f"{table}\n{column}"

    def seal(self, row_id: str, plain: bytes) -> str:
        """Return the sealed text for a row."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plain, self._bound_to(row_id))
        return ":".join((VERSION, self._kid, base64.b64encode(nonce).decode(), base64.b64encode(sealed).decode()))

    def open(self, row_id: str, text: str) -> bytes:
        """Return what was sealed for a row; raises SealBroken."""
        try:
            version, kid, nonce, sealed = text.split(":")
            if (version, kid) != (VERSION, self._kid):
                raise SealBroken(f"{self._place.replace(chr(10), '.')} of {row_id} was sealed with another key")
            return self._cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), self._bound_to(row_id))
        except (InvalidTag, ValueError):
            raise SealBroken(f"{self._place.replace(chr(10), '.')} of {row_id} cannot be opened") from None

    def _bound_to(self, row_id: str) -> bytes:
        return f"{self._place}\n{row_id}".encode()
