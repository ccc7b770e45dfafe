"""Passwords of people and secrets of machines (security AU-1, KY-4, settled §4.5).

A person's password is hashed with Argon2id, which is slow on purpose: call it off the event loop
(`password_pool.py`). bcrypt hashes that came from elsewhere are verified too, once: whoever signs in with one gets a
new hash. A machine's secret is 256 random bits, so a keyed HMAC is enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import unicodedata
from functools import cache
from importlib import resources
from typing import Final

import bcrypt
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST: Final = 12
LONGEST: Final = 128
HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4, hash_len=32, salt_len=16)
"""Argon2id with the second recommended option of RFC 9106 §4."""
FLOOR: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)
"""Argon2id with the least that OWASP's Password Storage Cheat Sheet allows."""
BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
LONGEST_TYPED: Final = 8 * LONGEST
"""Of what is longer no normal form is made: for a row of accents that takes their number squared."""
BCRYPT_BYTES: Final = 72
"""bcrypt never looked at more of a password."""
CLIENT_SECRETS: Final = "client secrets"
"""Purpose of the derived key that client secrets are hashed with."""


class PasswordRefused(Exception):
    """A new password does not meet the rules; the message names the rule."""


def hash_password(password: str, *, owner: str = "", hasher: PasswordHasher = HASHER) -> str:
    """Return the Argon2id hash of a new password; `owner` is the user's e-mail address.

    Raises PasswordRefused for one that is too short, too long, common, or the owner's own address. There are no rules
    of composition, and nothing is cut.
    """
    normal = unicodedata.normalize("NFKC", password) if len(password) <= LONGEST_TYPED else password
    if not SHORTEST <= len(normal) <= LONGEST:
        raise PasswordRefused(f"A password has {SHORTEST} to {LONGEST} characters.")
    folded = normal.casefold()
    if folded in common_passwords() or len(set(folded)) < 3 or folded == owner.casefold():
        raise PasswordRefused("This password is easily guessed; choose another one.")
    return hash_again(password, hasher=hasher)


def hash_again(password: str, *, hasher: PasswordHasher = HASHER) -> str:
    """Return a new hash of a password that was verified a moment ago, whatever rules new ones have to meet."""
    return hasher.hash(_normal(password))


def verify_password(hashed: str, password: str) -> bool:
    """Return whether a password is the one that was hashed; a hash that cannot be read fits none."""
    if hashed.startswith(BCRYPT):
        return _verify_bcrypt(hashed, password)
    try:
        return HASHER.verify(hashed, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def _verify_bcrypt(hashed: str, password: str) -> bool:
    """Verify against a bcrypt hash, which was made of the bytes as they were typed."""
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], hashed.encode())
    except ValueError:  # a hash or a password that bcrypt cannot read, lone surrogates among them
        return False


def is_weaker(hashed: str, hasher: PasswordHasher) -> bool:
    """Return whether a hash costs an attacker less than one made now would: then it is made anew at sign-in."""
    try:
        made = extract_parameters(hashed)
    except InvalidHashError:
        return True
    return (
        made.type is not Type.ID
        or made.time_cost < hasher.time_cost
        or made.memory_cost < hasher.memory_cost
        or made.hash_len < hasher.hash_len
        or made.salt_len < hasher.salt_len
    )


def unknown_hash(hasher: PasswordHasher) -> str:
    """Return a hash that no password fits and that takes as long to verify as any made now (AU-2)."""
    salt, tag = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${tag}"


def _normal(password: str) -> bytes:
    """Return what is hashed. What is longer than any password stays as it is, and so fits none."""
    normal = unicodedata.normalize("NFKC", password) if len(password) <= LONGEST_TYPED else password
    return normal.encode("utf-8", "surrogatepass")


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
