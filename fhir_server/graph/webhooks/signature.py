"""Signatures of webhooks (Standard Webhooks 1.0.0; security WH-2). Pure.

Written here rather than taken from the `standardwebhooks` library, which tests sign with: that one has a clock of its
own, reads the body as text and then as JSON with floats, and fails in several ways on odd headers (decision 32).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "whsec_"
TOLERANCE_SECONDS: Final = 300
"""How far the clocks of sender and server may be apart, and how old a delivery may be."""
MOST_SIGNATURES: Final = 8
"""Senders sign with two secrets while one follows the other."""
SHORTEST_SECRET: Final = 24
LONGEST_SECRET: Final = 64
"""Bytes; both of the standard."""
_ID: Final = re.compile(r"[!-~]{1,255}")
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_VERSION: Final = "v1,"


class NotSigned(Exception):
    """A delivery is not to be believed; the message says why, for the log only."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the headers of a delivery say."""

    event_id: str
    sent_at: int
    """Seconds since 1970 UTC."""
    signatures: tuple[bytes, ...]


def delivery_of(headers: Mapping[str, str], now: float) -> Delivery:
    """Return what the headers say; raises NotSigned for missing, odd and late ones."""
    event_id = headers.get("webhook-id", "")
    sent_at = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split()
    if _ID.fullmatch(event_id) is None or _SECONDS.fullmatch(sent_at) is None:
        raise NotSigned("webhook-id or webhook-timestamp is missing or odd")
    if abs(now - int(sent_at)) > TOLERANCE_SECONDS:
        raise NotSigned("webhook-timestamp is too far from now")
    known = [each.removeprefix(_VERSION) for each in signatures if each.startswith(_VERSION)]
    decoded = tuple(found for found in map(_decoded, known[:MOST_SIGNATURES]) if found is not None)
    if not decoded:
        raise NotSigned("webhook-signature has no v1 signature")
    return Delivery(event_id, int(sent_at), decoded)


def is_signed_with(secret: bytes, delivery: Delivery, body: bytes) -> bool:
    """Return whether one of the signatures is that of the secret, in a time that does not say which (constant)."""
    expected = signature_of(secret, delivery.event_id, delivery.sent_at, body)
    fits = [hmac.compare_digest(expected, signature) for signature in delivery.signatures]
    return any(fits)


def signer_of(secrets_by_owner: Iterable[tuple[str, bytes]], delivery: Delivery, body: bytes) -> str:
    """Return the owner of the secret that a delivery was signed with; raises NotSigned. All secrets are tried."""
    found = [owner for owner, secret in secrets_by_owner if is_signed_with(secret, delivery, body)]
    if not found:
        raise NotSigned("no secret fits")
    return found[0]


def signature_of(secret: bytes, event_id: str, sent_at: int, body: bytes) -> bytes:
    """Return the signature of id, time and body as they are sent."""
    return hmac.digest(secret, f"{event_id}.{sent_at}.".encode() + body, hashlib.sha256)


def new_secret() -> str:
    """Return a new secret as people see it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_bytes(written: str) -> bytes:
    """Return the bytes of a secret as people write it; raises ValueError."""
    try:
        found = base64.b64decode(written.strip().removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError("the secret has to be base64, with or without whsec_ before it") from None
    if not SHORTEST_SECRET <= len(found) <= LONGEST_SECRET:
        raise ValueError(f"the secret has to have {SHORTEST_SECRET} to {LONGEST_SECRET} bytes")
    return found


def _decoded(signature: str) -> bytes | None:
    try:
        return base64.b64decode(signature, validate=True)
    except ValueError:
        return None
