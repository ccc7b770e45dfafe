"""One-time passwords of an authenticator app (RFC 6238) and recovery codes (security AU-4).

Nothing here remembers which codes were used: that is `storage.authorization.people`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import re
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

STEP_SECONDS: Final = 30
DIGITS: Final = 6
SECRET_BYTES: Final = 20
"""160 bits, what RFC 4226 §4 R6 recommends."""
RECOVERY_CODES: Final = 10
RECOVERY_GROUPS: Final = 4
"""Groups of four characters of 5 bits: 80 bits a code."""
ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters that are not taken for one another."""
TOTP_SECRETS: Final = "second factors"
"""Purpose of the derived key that secrets are sealed with."""
RECOVERY: Final = "recovery codes"
"""Purpose of the derived key that recovery codes are hashed with."""
SETTING_UP: Final = "second factor set-up"
"""Purpose of the derived key from which the secret of a set-up is made."""
_CODE: Final = re.compile(r"[0-9]{6}\Z")


def fitting_step(secret: bytes, code: str, now: int) -> int | None:
    """Return the time step whose one-time password a code is: the present one, or the one before or after it.

    None when it is none of these. Raises nothing for text that is no code.
    """
    typed = re.sub(r"[\s-]", "", code)
    if not _CODE.match(typed):
        return None
    totp = TOTP(secret, DIGITS, SHA1(), STEP_SECONDS, enforce_key_length=True)  # noqa: S303 what apps make codes with
    present = now // STEP_SECONDS
    fitting = [
        step
        for step in (present - 1, present, present + 1)
        if step >= 0 and hmac.compare_digest(totp.generate(step * STEP_SECONDS), typed.encode())
    ]
    return fitting[-1] if fitting else None


def secret_for(key: bytes, browser: str, user_id: str) -> bytes:
    """Return the secret that is offered to a person setting up in a browser, as long as its cookie stays the same.

    It is derived, so that showing the page writes nothing; the cookie is renewed when the second factor is turned on or
    off, so no secret is offered twice.
    """
    return hmac.digest(key, f"{browser}\n{user_id}".encode(), hashlib.sha256)[:SECRET_BYTES]


def as_text(secret: bytes) -> str:
    """Return a secret as authenticator apps take it by hand: base32 in groups of four."""
    plain = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(plain[start : start + 4] for start in range(0, len(plain), 4))


def otpauth_address(secret: bytes, site: str, account: str) -> str:
    """Return the address in the QR code (the key URI format that authenticator apps share)."""
    label = quote(f"{site}:{account}", safe=":@")
    fields = urlencode(
        {"secret": as_text(secret).replace(" ", ""), "issuer": site, "digits": DIGITS, "period": STEP_SECONDS},
        quote_via=quote,
    )
    return f"otpauth://totp/{label}?{fields}"


def qr_code(address: str) -> str:
    """Return a QR code as the data address of an SVG image, dark on white whatever the page's colours are."""
    drawn = io.BytesIO()
    segno.make_qr(address, error="m").save(drawn, kind="svg", scale=5, border=4, light="#fff", xmldecl=False)
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.getvalue()).decode()


def new_recovery_codes() -> list[str]:
    """Return new recovery codes, to be shown once."""
    return [
        "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(RECOVERY_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]


def recovery_hash(key: bytes, user_id: str, code: str) -> str:
    """Return what is stored of a recovery code; spaces, dashes and capitals make no difference."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hmac.digest(key, f"{user_id}\n{plain}".encode("utf-8", "surrogatepass"), hashlib.sha256).hex()


def without(codes: Sequence[str], spent: str) -> tuple[str, ...] | None:
    """Return the hashes that are left when one is spent, or None when it is not among them; in constant time."""
    fits = [hmac.compare_digest(each, spent) for each in codes]
    return tuple(each for each, fit in zip(codes, fits, strict=True) if not fit) if any(fits) else None
