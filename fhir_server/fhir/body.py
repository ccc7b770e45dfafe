"""Bodies of requests, counted as they arrive and as they are unpacked (security IN-1; fhir_rest H14)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fhir_server.errors import BodyTooLarge, MalformedBody

QUICKLY_UNPACKED: Final = 4096
"""Packed bytes that are unpacked on the event loop: they give four megabytes at most."""
_GZIP: Final = 16 + zlib.MAX_WBITS

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGone(Exception):
    """The client closed the connection before its request was complete; nobody waits for an answer."""


async def read_decoded(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body, unpacked if it is sent as gzip; `headers` say so, and were checked.

    Raises BodyTooLarge when it has more than `limit` bytes, packed or unpacked, MalformedBody and ClientGone.
    """
    data = await read_body(receive, headers.get("content-length"), limit)
    if not data or "gzip" not in headers.get("content-encoding", "").lower():
        return data
    if len(data) > QUICKLY_UNPACKED:
        return await asyncio.to_thread(unpacked, data, limit)
    return unpacked(data, limit)


def unpacked(data: bytes, limit: int) -> bytes:
    """Return what gzip packed, one member or several; never more than `limit` bytes are held.

    Raises BodyTooLarge and MalformedBody.
    """
    pieces: list[bytes] = []
    left = limit
    while data:
        member = zlib.decompressobj(_GZIP)
        try:
            piece = member.decompress(data, left + 1)
        except zlib.error:
            raise MalformedBody("The body is not gzip, which Content-Encoding says it is.") from None
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge(limit)
        if not member.eof:
            raise MalformedBody("The body ends early: its gzip is not complete.")
        pieces.append(piece)
        data = member.unused_data
    return b"".join(pieces)


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
