"""Passwords of people and secrets of machines (security AU-1, KY-4, settled §4.5).

A person's password is hashed with Argon2id, which is slow on purpose: call it off the event loop. A machine's secret is
256 random bits, so a keyed HMAC is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from functools import cache
from importlib import resources
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
LONGEST: Final = 128
HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, salt_len=16)
"""Argon2id with the second recommended option of RFC 9106 §4."""
CLIENT_SECRETS: Final = "client secrets"
"""Purpose of the derived key that client secrets are hashed with."""


class PasswordRefused(Exception):
    """A new password does not meet the rules; the message names the rule."""


def hash_password(password: str, *, owner: str = "") -> str:
    """Return the Argon2id hash of a new password; `owner` is the user's e-mail address.

    Raises PasswordRefused for one that is too short, too long, common, or the owner's own address. There are no rules
    of composition, and nothing is cut.
    """
    normal = _normal(password)
    if not SHORTEST <= len(normal) <= LONGEST:
        raise PasswordRefused(f"A password has {SHORTEST} to {LONGEST} characters.")
    folded = normal.casefold()
    if folded in common_passwords() or len(set(folded)) < 3 or folded == owner.casefold():
        raise PasswordRefused("This password is easily guessed; choose another one.")
    return HASHER.hash(normal)


def verify_password(hashed: str, password: str) -> bool:
    """Return whether a password is the one that was hashed; a hash that cannot be read fits none."""
    try:
        return HASHER.verify(hashed, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


@cache
def common_passwords() -> frozenset[str]:
    """Return passwords that many people use, in folded case."""
    text = resources.files("fhir_server.oauth").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if line)


def new_client_secret() -> str:
    """Return a new secret of 256 random bits, to be shown once."""
    return secrets.token_urlsafe(32)


def hash_client_secret(pepper: bytes, secret: str) -> str:
    """Return what is stored of a client's secret: HMAC-SHA-256 in hexadecimal."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256).hex()


def client_secret_fits(pepper: bytes, secret: str, stored: str) -> bool:
    """Return whether a secret is the stored one, in constant time."""
    return hmac.compare_digest(hash_client_secret(pepper, secret), stored)
