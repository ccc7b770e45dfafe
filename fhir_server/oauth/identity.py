"""Identity tokens (OpenID Connect Core §2; SMART App Launch scopes-and-launch-context, identity data).

They tell an app who signed in. They are signed by keys of their own and open nothing here (security OA-7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt

from fhir_server.oauth.keys import IDENTITY_ALGORITHM
from fhir_server.oauth.service import OAuthService

IDENTITY_SECONDS: Final = 900
"""How long an app may take an identity token for fresh."""


@dataclass(frozen=True, slots=True)
class IdentityClaims:
    """What an app learns of a person.

    `subject` is the user's id, which never changes and is no name. `nonce` is the app's own. `authenticated_at`, in
    seconds since 1970 UTC, is given where the app asked for `max_age`. `fhir_user` is `Type/id`, where it was granted.
    """

    subject: str
    client_id: str
    nonce: str | None = None
    authenticated_at: int | None = None
    fhir_user: str | None = None


def identity_token(claims: IdentityClaims, service: OAuthService) -> str:
    """Return a signed identity token (smart.md O3, O4); raises NoSigningKey and KeyUnreadable."""
    kid, key = service.ring.identity_key()
    now = service.seconds
    content: dict[str, Any] = {
        "iss": service.issuer.issuer,
        "aud": claims.client_id,
        "iat": now,
        "exp": now + IDENTITY_SECONDS,
        **person_claims(claims.subject, claims.fhir_user, service),
    }
    optional = {"nonce": claims.nonce, "auth_time": claims.authenticated_at}
    content |= {name: value for name, value in optional.items() if value is not None}
    header = {"typ": "JWT", "alg": IDENTITY_ALGORITHM, "kid": kid}
    return jwt.encode(header, content, key, algorithms=[IDENTITY_ALGORITHM])


def person_claims(subject: str, fhir_user: str | None, service: OAuthService) -> dict[str, str]:
    """Return `sub`, and `fhirUser` as an absolute URL where there is one (O5); UserInfo says the same (O8)."""
    return {"sub": subject} | ({"fhirUser": f"{service.settings.fhir_base}/{fhir_user}"} if fhir_user else {})
