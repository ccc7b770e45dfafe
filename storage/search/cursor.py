"""The place of a page, opaque and signed: whose it is, of which search, and when it was made (settled §4.6, AZ-10)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Any, Final

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from storage.access import Access
from storage.errors import CursorExpired, CursorInvalid
from storage.search.query import Search

LIFETIME_MILLISECONDS: Final = 30 * 60 * 1000
LONGEST_CURSOR: Final = 16_384
"""More than five sort keys of the longest text take, so that no link of our own is refused."""


class CursorSigner:
    """Makes and reads cursors. They are bound to organization, user, client, patient and search, not to the token."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, search: Search, access: Access, place: Sequence[Any], now: int) -> str:
        """Return the cursor after the match with these sort keys; `now` is in milliseconds since 1970 UTC."""
        token = self._serializer(search, access).dumps([now, [_plain(value) for value in place]])
        return token if isinstance(token, str) else token.decode("ascii")

    def read(self, search: Search, access: Access, now: int) -> list[Any]:
        """Return the sort keys of `search.cursor`.

        Raises CursorInvalid for a cursor that was altered or made for another caller or search, and CursorExpired for
        one older than LIFETIME_MILLISECONDS.
        """
        cursor = search.cursor or ""
        if len(cursor) > LONGEST_CURSOR:
            raise CursorInvalid
        serializer = self._serializer(search, access)
        try:
            content = serializer.loads(cursor)
        except BadData as error:
            raise CursorInvalid from error
        if serializer.dumps(content) != cursor:  # base64 leaves spare bits in the last letter
            raise CursorInvalid
        made, place = content
        if now - made > LIFETIME_MILLISECONDS:
            raise CursorExpired
        return [_value(each) for each in place]

    def _serializer(self, search: Search, access: Access) -> URLSafeSerializer:
        return URLSafeSerializer(self._secret, salt=_binding(search, access), signer_kwargs={"digest_method": sha256})


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
    return b"cursor:" + blake2b(msgspec.json.encode(parts), digest_size=32).digest()


def _plain(value: Any) -> Any:
    """Return a sort key as JSON can hold it."""
    return {"hex": bytes(value).hex()} if isinstance(value, bytes | memoryview) else value


def _value(plain: Any) -> Any:
    return bytes.fromhex(plain["hex"]) if isinstance(plain, dict) else plain
