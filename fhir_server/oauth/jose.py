"""Signed tokens of others: taken apart, matched with exactly one key, verified (J1, J4, J7; security OA-6).

The algorithm comes from the caller's own list, the key from the registered set: the header only chooses among them.
Every fault is the one exception NotVerified, which says nothing.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.oauth.strict_json import decode_object

MAXIMUM_BYTES: Final = 8192
SMALLEST_RSA_BITS: Final = 2048
LARGEST_RSA_BITS: Final = 8192
"""A larger one would cost more to verify with than a stranger may make us spend."""
CURVES: Final[Mapping[str, str]] = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
EMBEDDED: Final = frozenset({"jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip", "enc"})
"""Header members that would bring a key along or change how the token is read: none is understood here."""
LATEST: Final = sys.float_info.max
"""No instant is later: an integer of JSON may have more digits than a float can hold."""
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+\Z")

Key = Mapping[str, Any]


class NotVerified(Exception):
    """A token is not what it would have to be; nothing tells why."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token taken apart, of which nothing is believed yet."""

    token: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    algorithm: str
    kid: str


def parse(token: str, algorithms: Collection[str], types: Collection[str]) -> Parsed:
    """Take a compact JWS apart; raises NotVerified.

    `types` are the values of `typ` that are taken, in lower case; a token without `typ` is taken if they hold "jwt".
    """
    parts = token.split(".")
    if len(token) > MAXIMUM_BYTES or len(parts) != 3 or not all(_SEGMENT.match(part) for part in parts):
        raise NotVerified
    header, claims = (_object(part) for part in parts[:2])
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms or EMBEDDED & header.keys():
        raise NotVerified
    if not isinstance(kid, str) or not kid:
        raise NotVerified
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in types:
        raise NotVerified
    return Parsed(token, header, claims, algorithm, kid)


def verify(parsed: Parsed, keys: Sequence[Key]) -> Mapping[str, Any]:
    """Return the claims of a token that exactly one of the keys with its `kid` may have signed; raises NotVerified."""
    fitting = [key for key in keys if _fits(key, parsed)]
    if len(fitting) != 1:
        raise NotVerified
    try:
        key = _import(fitting[0], parsed.algorithm)
        registry = jws.JWSRegistry(algorithms=[parsed.algorithm], strict_check_header=False)
        jws.deserialize_compact(parsed.token.encode(), key, registry=registry)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise NotVerified from None
    return parsed.claims


def instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 §2) of the claims, None when there is none; raises NotVerified for no number."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
        raise NotVerified
    return value


def names_audience(claims: Mapping[str, Any], audience: str) -> bool:
    """Say whether `aud` is the audience, or a list that holds it: compared as exact strings."""
    named = claims.get("aud")
    return named == audience or (isinstance(named, list) and audience in named)


def _fits(key: Key, parsed: Parsed) -> bool:
    """Say whether a key may have signed the token, by what it says of itself."""
    curve = CURVES.get(parsed.algorithm)
    operations = key.get("key_ops")
    return (
        key.get("kid") == parsed.kid
        and key.get("kty") == ("RSA" if curve is None else "EC")
        and (curve is None or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", parsed.algorithm) == parsed.algorithm
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _import(key: Key, algorithm: str) -> RSAKey | ECKey:
    """Return a key; joserfc refuses a point that is not on the curve. Only the public members are read."""
    if algorithm in CURVES:
        return ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")})
    if not SMALLEST_RSA_BITS <= int.from_bytes(_decoded(key["n"])).bit_length() <= LARGEST_RSA_BITS:
        raise NotVerified
    return RSAKey.import_key({name: key[name] for name in ("kty", "n", "e")})


def _object(segment: str) -> Mapping[str, Any]:
    try:
        return decode_object(_decoded(segment))
    except ValueError:  # no base64, no JSON, no object
        raise NotVerified from None


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
