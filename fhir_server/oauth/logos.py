"""Pictures of apps, which travel within the client record (`smart.md` §15 consent, §16 SSRF).

A page on which somebody decides fetches nothing from elsewhere, nor does the server: what is only an address is kept,
and not shown.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

MAXIMUM_BYTES: Final = 32 * 2**10
SIGNATURES: Final[Mapping[str, bytes]] = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/webp": b"RIFF",
}
"""How a file of each kind begins. SVG is none of them: it is a document."""


def embedded_logo(picture: bytes) -> str:
    """Return a picture as an address that holds it; raises ValueError for another kind, and for a large one."""
    kind = next((kind for kind, start in SIGNATURES.items() if picture.startswith(start)), None)
    if kind is None or len(picture) > MAXIMUM_BYTES:
        raise ValueError(f"a logo is a PNG, JPEG or WebP picture of at most {MAXIMUM_BYTES // 2**10} KiB")
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


def is_embedded(address: str | None) -> bool:
    """Say whether an address holds a picture that can be shown as it is."""
    start, _, data = (address or "").partition(",")
    if start not in {f"data:{kind};base64" for kind in SIGNATURES}:
        return False
    try:
        return embedded_logo(base64.b64decode(data, validate=True)) == address
    except (binascii.Error, ValueError):
        return False
