"""Opaque values: cookies, codes, refresh tokens, launch and transaction ids. Only their SHA-256 is stored.

Each has 256 random bits, so a plain digest cannot be turned round and needs no key (settled §4.5).
"""

from __future__ import annotations

import hashlib
import secrets


def new_opaque() -> str:
    """Return a new value of 256 random bits, fit for a URL, a cookie and a header."""
    return secrets.token_urlsafe(32)


def digest(value: str) -> str:
    """Return what is stored of an opaque value: its SHA-256 in hexadecimal. Any text may be asked for."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
