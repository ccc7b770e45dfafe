"""Access tokens: signed JWTs after RFC 9068, issued and verified here (security OA-6, OA-7, settled §4.5)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError

from fhir_server.access import Caller
from fhir_server.errors import Unauthenticated
from fhir_server.oauth.keys import ALGORITHM, KeyRing, header_of
from storage.grants import LONGEST_TOKEN_SECONDS

MAXIMUM_TOKEN_BYTES: Final = 8192
LEEWAY_SECONDS: Final = 30
"""How far the issuing worker's clock may be ahead; an expired token gets none."""
_REQUIRED_TEXTS: Final = ("sub", "jti", "scope", "client_id", "organization", "role")
PARTNER: Final = "partner"
"""The claim of a client that is a partner; without it a client is none."""
_OPTIONAL_TEXTS: Final = ("patient", "fhirUser", "grant", "break_glass")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues and for whom: `iss` is the server's public address, `aud` its FHIR base."""

    issuer: str
    audience: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What an access token shall say; `lifetime` in seconds, `grant_id` and `break_glass_id` of what it comes from."""

    subject: str
    client_id: str
    organization_id: str
    role: str
    scope: str
    lifetime: int
    patient: str | None = None
    fhir_user: str | None = None
    grant_id: str | None = None
    break_glass_id: str | None = None
    is_partner: bool = False
    token_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    def __post_init__(self) -> None:
        """Let the id of a token of emergency access begin with that one's: so each access on record names it (AD-1)."""
        if self.break_glass_id is not None:
            object.__setattr__(self, "token_id", f"{self.break_glass_id}.{self.token_id}")


def issue(request: TokenRequest, issuer: Issuer, ring: KeyRing, now: int) -> str:
    """Return a signed access token that is valid from `now` (seconds) for `request.lifetime`.

    Raises ValueError for a life that is not within 1 s and an hour.
    """
    if not 0 < request.lifetime <= LONGEST_TOKEN_SECONDS:
        raise ValueError(f"an access token lives between 1 and {LONGEST_TOKEN_SECONDS} seconds")
    kid, key = ring.signing_key()
    claims: dict[str, Any] = {
        "iss": issuer.issuer,
        "aud": issuer.audience,
        "sub": request.subject,
        "client_id": request.client_id,
        "scope": request.scope,
        "jti": request.token_id,
        "iat": now,
        "exp": now + request.lifetime,
        "organization": request.organization_id,
        "role": request.role,
    }
    optional = {
        "patient": request.patient,
        "fhirUser": request.fhir_user,
        "grant": request.grant_id,
        "break_glass": request.break_glass_id,
    }
    claims |= {name: value for name, value in optional.items() if value is not None}
    claims |= {PARTNER: True} if request.is_partner else {}
    return jwt.encode(header_of(kid), claims, key, algorithms=[ALGORITHM])


def verify(token: bytes, issuer: Issuer, ring: KeyRing, now: int) -> Caller:
    """Return who bears a token.

    Raises Unauthenticated for anything but an access token that this installation signed with a key that still
    verifies, for this FHIR base, within its life. Identity tokens, client assertions and the like have another header.
    """
    if len(token) > MAXIMUM_TOKEN_BYTES or token.count(b".") != 2:
        raise invalid_token()
    key = ring.verification_key(token.partition(b".")[0])
    if key is None:
        raise invalid_token()
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError):
        raise invalid_token() from None
    return _caller(claims, issuer, now)


def invalid_token() -> Unauthenticated:
    """Return the one refusal for every fault of a token: it tells an attacker nothing (RFC 6750 §3.1)."""
    return Unauthenticated("invalid_token", "The access token is not valid; get a new one.")


def expired_token() -> Unauthenticated:
    """Return the refusal of a token whose life is over."""
    return Unauthenticated("invalid_token", "The access token has expired; get a new one.", expired=True)


def _caller(claims: Mapping[str, Any], issuer: Issuer, now: int) -> Caller:
    if claims.get("iss") != issuer.issuer or claims.get("aud") != issuer.audience:
        raise invalid_token()
    issued, expires = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(expires) is not int or issued > now + LEEWAY_SECONDS:
        raise invalid_token()
    if expires - issued > LONGEST_TOKEN_SECONDS:  # a revocation would be forgotten before it ends
        raise invalid_token()
    if not all(isinstance(claims.get(name), str) and claims[name] for name in _REQUIRED_TEXTS):
        raise invalid_token()
    if not all(isinstance(claims.get(name, ""), str) for name in _OPTIONAL_TEXTS):
        raise invalid_token()
    if expires <= now:
        raise expired_token()
    return Caller(
        subject=claims["sub"],
        client_id=claims["client_id"],
        organization_id=claims["organization"],
        role=claims["role"],
        scope=claims["scope"],
        token_id=claims["jti"],
        issued_at=issued,
        expires_at=expires,
        patient=claims.get("patient") or None,
        fhir_user=relative_reference(claims.get("fhirUser"), issuer.audience),
        grant_id=claims.get("grant") or None,
        break_glass_id=claims.get("break_glass") or None,
        is_partner=bool(claims.get(PARTNER, False)),
    )


def relative_reference(reference: str | None, base: str) -> str | None:
    """Return `Type/id` of a reference that may be absolute under the FHIR base; None stays None."""
    return reference.removeprefix(f"{base}/") if reference else None
