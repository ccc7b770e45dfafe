"""The place of a page, sealed: whose it is, of which search, and when it was made (settled §4.6, AZ-10).

A place holds the mark of the first page, which tells of everybody's writes, and sort keys, which are values of
resources. So it is encrypted, and in a way that equal places are equal texts (AES-SIV, RFC 5297).
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from storage.access import Access
from storage.errors import CursorExpired, CursorInvalid
from storage.search.query import Search

LIFETIME_MILLISECONDS: Final = 30 * 60 * 1000
BLOCK: Final = 96
"""Contents are filled up to a multiple of so many bytes: their length would tell how many write at the same time."""
LONGEST_CURSOR: Final = 16_384
"""More than five sort keys of the longest text take, so that no link of our own is refused."""


class CursorSealer:
    """Makes and reads cursors. They are bound to organization, user, client, patient and search, not to the token."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESSIV(blake2b(secret, digest_size=64, person=b"page cursors").digest())

    def make(self, search: Search, access: Access, place: Sequence[Any], now: int) -> str:
        """Return the cursor after the match with these sort keys; `now` is in milliseconds since 1970 UTC."""
        content = msgspec.json.encode([now, [_plain(value) for value in place]])
        content += b" " * (-len(content) % BLOCK)
        return _text(self._cipher.encrypt(content, [_binding(search, access)]))

    def read(self, search: Search, access: Access, now: int) -> list[Any]:
        """Return the sort keys of `search.cursor`.

        Raises CursorInvalid for a cursor that was altered or made for another caller or search, and CursorExpired for
        one older than LIFETIME_MILLISECONDS.
        """
        cursor = search.cursor or ""
        if len(cursor) > LONGEST_CURSOR:
            raise CursorInvalid
        try:
            sealed = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            content = self._cipher.decrypt(sealed, [_binding(search, access)])
        except (NotBase64, ValueError, InvalidTag) as error:
            raise CursorInvalid from error
        if _text(sealed) != cursor:  # base64 leaves spare bits in the last letter
            raise CursorInvalid
        made, place = msgspec.json.decode(content)
        if now - made > LIFETIME_MILLISECONDS:
            raise CursorExpired
        return [_value(each) for each in place]


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")


def _binding(search: Search, access: Access) -> bytes:
    parts = (
        access.organization_id,
        access.actor,
        access.client_id,
        access.patient,
        search.resource_type,
        search.address,
        search.parameters,
    )
    return blake2b(msgspec.json.encode(parts), digest_size=32).digest()


def _plain(value: Any) -> Any:
    """Return a sort key as JSON can hold it."""
    return {"hex": bytes(value).hex()} if isinstance(value, bytes | memoryview) else value


def _value(plain: Any) -> Any:
    return bytes.fromhex(plain["hex"]) if isinstance(plain, dict) else plain
