"""Documents of others that are fetched and kept for a while: key sets, and what issuers tell of themselves (OA-10).

A document is kept as long as it says, and an hour at most. When fetching fails, the last one holds for a day, and
nobody asks again for some seconds. Whoever comes while one is being fetched waits for the same answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from fhir_server.outgoing import Fetched, FetchFailed

FRESH_SECONDS: Final = 3600.0
STALE_SECONDS: Final = 24 * 3600.0
ASK_AGAIN_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 10.0
MOST_KEPT: Final = 1000

T = TypeVar("T")
R = TypeVar("R")
Fetch = Callable[[str], Awaitable[Fetched]]
Monotonic = Callable[[], float]

log = structlog.get_logger("fhir_server.documents")


class DocumentUnknown(Exception):
    """There is no such document: it cannot be fetched, and none is kept."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T | None = None
    fetched_at: float = float("-inf")
    fresh_until: float = float("-inf")
    failed_at: float = float("-inf")
    asked_again_at: float = float("-inf")
    running: asyncio.Task[None] | None = None


class Documents(Generic[T]):
    """The documents of one kind. One per worker; bounded: the one used longest ago makes room.

    `read` makes what is kept of a JSON object; it raises FetchFailed for one that cannot be used.
    """

    def __init__(
        self, fetch: Fetch, read: Callable[[Mapping[str, Any]], T], *, monotonic: Monotonic = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._read = read
        self._monotonic = monotonic
        self._entries: OrderedDict[tuple[str, str], _Entry[T]] = OrderedDict()

    async def get(self, owner: str, address: str) -> T:
        """Return the document of an owner; raises DocumentUnknown."""
        return await self.find(owner, address, lambda document: document, anew=False)

    async def find(self, owner: str, address: str, look: Callable[[T], R], *, anew: bool = True) -> R:
        """Return what is looked for in the document of an owner; raises DocumentUnknown.

        When nothing is found (nothing that is true) and `anew`, the document is fetched anew, at most once a minute and
        not if it just was.
        """
        entry, now = self._entry(owner, address), self._monotonic()
        outdated = now >= entry.fresh_until and now - entry.failed_at >= RETRY_SECONDS
        if outdated:
            await self._ask(entry, address)
        found = look(self._kept(entry))
        lately = max(entry.asked_again_at, entry.failed_at)
        if found or outdated or not anew or now - lately < ASK_AGAIN_SECONDS:
            return found
        entry.asked_again_at = now
        await self._ask(entry, address)
        return look(self._kept(entry))

    def _entry(self, owner: str, address: str) -> _Entry[T]:
        entry = self._entries.setdefault((owner, address), _Entry())
        self._entries.move_to_end((owner, address))
        if len(self._entries) > MOST_KEPT:
            self._entries.popitem(last=False)
        return entry

    def _kept(self, entry: _Entry[T]) -> T:
        if entry.value is None or self._monotonic() - entry.fetched_at > STALE_SECONDS:
            raise DocumentUnknown
        return entry.value

    async def _ask(self, entry: _Entry[T], address: str) -> None:
        """Fetch a document; whoever gives up waiting does not stop the others."""
        if entry.running is None:
            entry.running = asyncio.create_task(self._update(entry, address), name="document")
        await asyncio.shield(entry.running)

    async def _update(self, entry: _Entry[T], address: str) -> None:
        try:
            fetched = await self._fetch(address)
            entry.value = self._read(_object(fetched.body))
        except FetchFailed as error:
            entry.failed_at = self._monotonic()
            log.warning("document_not_fetched", reason=str(error), kept=entry.value is not None)
        else:
            entry.fetched_at = self._monotonic()
            entry.fresh_until = entry.fetched_at + _fresh_seconds(fetched.headers)
        finally:
            entry.running = None


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise FetchFailed("not a JSON object") from None


def _fresh_seconds(headers: Mapping[str, str]) -> float:
    """Return how long an answer may be kept (RFC 9111 §5.2.2): never longer than an hour."""
    said = headers.get("cache-control", "").lower()
    if re.search(r"\bno-(?:store|cache)\b", said):
        return 0.0
    age = re.search(r"\bmax-age=\"?([0-9]{1,9})", said)
    return min(FRESH_SECONDS, float(age[1])) if age else FRESH_SECONDS
