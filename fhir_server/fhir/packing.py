"""Answers as gzip, for who takes it (fhir_rest H14; RFC 9110 §8.4).

Nothing in an answer is a secret that its reader lacks, and no page of another origin can make a browser send the access
token with requests of its choice: so the length of a packed answer gives nothing away (BREACH).
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

LEAST_PACKED: Final = 1400
"""Smaller bodies go into one packet with their headers anyhow."""
QUICKLY_PACKED: Final = 64 * 1024
"""Larger ones are packed off the event loop."""
LEVEL: Final = 1
"""The quickest: Bundles shrink to a tenth, of which the best level would take off a fifth in five times the time."""
_GZIP: Final = 16 + zlib.MAX_WBITS


async def packed(body: bytes) -> bytes:
    """Return a body as gzip."""
    return await asyncio.to_thread(gzip, body) if len(body) > QUICKLY_PACKED else gzip(body)


def gzip(body: bytes) -> bytes:
    """Return a body as gzip; equal bodies give equal bytes."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
