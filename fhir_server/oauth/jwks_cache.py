"""Key sets of others, from their registered addresses (J5, security OA-10).

An unknown `kid` asks again, at most once a minute per owner, so that strangers cannot make the server ask all the time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_server.oauth.documents import Documents, DocumentUnknown, Fetch, Monotonic
from fhir_server.outgoing import FetchFailed

MAXIMUM_KEYS: Final = 20

Key = Mapping[str, Any]


class KeysUnknown(Exception):
    """There is no key set: it cannot be fetched, and none is kept."""


class KeySets:
    """The key sets that were fetched. One per worker."""

    def __init__(self, fetch: Fetch, *, monotonic: Monotonic = time.monotonic) -> None:
        self._sets = Documents(fetch, _keys_of, monotonic=monotonic)

    async def keys(self, owner: str, address: str, kid: str) -> Sequence[Key]:
        """Return the keys named `kid` in the owner's set; raises KeysUnknown when there is no set."""
        try:
            return await self._sets.find(owner, address, lambda keys: [key for key in keys if key.get("kid") == kid])
        except DocumentUnknown:
            raise KeysUnknown from None


def _keys_of(document: Mapping[str, Any]) -> Sequence[Key]:
    """Return the keys of a set (RFC 7517 §5); raises FetchFailed."""
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > MAXIMUM_KEYS or not all(isinstance(key, dict) for key in keys):
        raise FetchFailed("not a key set")
    return keys
