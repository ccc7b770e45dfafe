"""Key sets of others, fetched from their registered addresses and kept for a while (J5, security OA-10).

A set is kept for an hour, or less if its `Cache-Control` says so. An unknown `kid` asks again, at most once a minute
per owner, so that strangers cannot make the server ask all the time. When asking fails, the last set holds for a day.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from fhir_server.outgoing import Fetched, FetchFailed

FRESH_SECONDS: Final = 3600.0
STALE_SECONDS: Final = 24 * 3600.0
ASK_AGAIN_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 10.0
"""After a failure nobody asks for this long."""
MAXIMUM_KEYS: Final = 20
MAXIMUM_SETS: Final = 1000

Key = Mapping[str, Any]
Fetch = Callable[[str], Awaitable[Fetched]]

log = structlog.get_logger("fhir_server.jwks")


class KeysUnknown(Exception):
    """There is no key set: it cannot be fetched, and none is kept."""


@dataclass(slots=True)
class _Entry:
    keys: Sequence[Key] = ()
    known: bool = False
    fetched_at: float = float("-inf")
    fresh_until: float = float("-inf")
    failed_at: float = float("-inf")
    asked_again_at: float = float("-inf")
    running: asyncio.Task[None] | None = None


class KeySets:
    """The key sets that were fetched. One per worker; bounded, the one used longest ago makes room."""

    def __init__(self, fetch: Fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()

    async def keys(self, owner: str, address: str, kid: str) -> Sequence[Key]:
        """Return the keys named `kid` in the owner's set; raises KeysUnknown when there is no set."""
        entry = self._entry(owner, address)
        now = self._monotonic()
        asked = False
        if now >= entry.fresh_until and now - entry.failed_at >= RETRY_SECONDS:
            await self._ask(entry, address)
            asked = True
        found = self._known(entry, kid)
        if not found and not asked and now - max(entry.asked_again_at, entry.failed_at) >= ASK_AGAIN_SECONDS:
            entry.asked_again_at = now
            await self._ask(entry, address)
            found = self._known(entry, kid)
        return found

    def _entry(self, owner: str, address: str) -> _Entry:
        entry = self._entries.setdefault((owner, address), _Entry())
        self._entries.move_to_end((owner, address))
        if len(self._entries) > MAXIMUM_SETS:
            self._entries.popitem(last=False)
        return entry

    def _known(self, entry: _Entry, kid: str) -> Sequence[Key]:
        if not entry.known or self._monotonic() - entry.fetched_at > STALE_SECONDS:
            raise KeysUnknown
        return [key for key in entry.keys if key.get("kid") == kid]

    async def _ask(self, entry: _Entry, address: str) -> None:
        """Fetch the set; whoever comes meanwhile waits for the same answer."""
        if entry.running is None:
            entry.running = asyncio.create_task(self._update(entry, address), name="key set")
        await asyncio.shield(entry.running)

    async def _update(self, entry: _Entry, address: str) -> None:
        try:
            fetched = await self._fetch(address)
            keys = _parsed(fetched.body)
        except FetchFailed as error:
            entry.failed_at = self._monotonic()
            log.warning("key_set_not_fetched", reason=str(error), kept=entry.known)
            return
        finally:
            entry.running = None
        entry.keys, entry.known = keys, True
        entry.fetched_at = self._monotonic()
        entry.fresh_until = entry.fetched_at + _fresh_seconds(fetched.headers)


def _parsed(body: bytes) -> Sequence[Key]:
    """Return the keys of a set (RFC 7517 §5); raises FetchFailed."""
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise FetchFailed("not a key set") from None
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > MAXIMUM_KEYS or not all(isinstance(key, dict) for key in keys):
        raise FetchFailed("not a key set")
    return keys


def _fresh_seconds(headers: Mapping[str, str]) -> float:
    """Return how long an answer may be kept (RFC 9111 §5.2.2): never longer than an hour."""
    said = headers.get("cache-control", "").lower()
    if re.search(r"\bno-(?:store|cache)\b", said):
        return 0.0
    age = re.search(r"\bmax-age=\"?([0-9]{1,9})", said)
    return min(FRESH_SECONDS, float(age[1])) if age else FRESH_SECONDS
