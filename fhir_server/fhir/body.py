"""Bodies of requests, counted as they arrive (security IN-1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fhir_server.errors import BodyTooLarge

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was complete; nobody waits for an answer."""


async def read_body(receive: Receive, content_length: str | None, limit: int) -> bytes:
    """Return the whole body.

    Raises BodyTooLarge as soon as more than `limit` bytes are announced or have come, without reading the rest, and
    ClientGone.
    """
    if content_length is not None and content_length.isdecimal() and int(content_length) > limit:
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
