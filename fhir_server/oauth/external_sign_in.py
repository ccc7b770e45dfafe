"""Signing in through another OpenID Connect issuer: the conversation with it (OpenID Connect Core §3.1).

What has to come back is kept in `state` itself, sealed for the browser that asked: nobody else can end what it began
(login CSRF), nobody reads it on the way, and nothing is stored. PKCE and `nonce` bind code and identity token to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from fhir_server.errors import Unauthenticated
from fhir_server.oauth.external import ALGORITHMS, ProviderUnavailable
from fhir_server.oauth.jose import NotVerified, instant, parse
from fhir_server.oauth.jwks_cache import KeysUnknown
from fhir_server.oauth.providers import IdentityProvider
from fhir_server.oauth.sealed import SealBroken, Sealer
from fhir_server.oauth.service import OAuthService
from fhir_server.outgoing import FetchFailed
from fhir_server.settings import Settings
from storage.authorization.opaque import new_opaque

PURPOSE: Final = "external sign-in"
"""Purpose of the derived key that `state` is sealed with."""
PENDING_SECONDS: Final = 900
FRESH_SECONDS: Final = 300
SKEW_SECONDS: Final = 60


class ExternalSignInFailed(Exception):
    """The issuer did not say who it is, or not so that it can be believed; the message is a word for the log."""


class Pending(msgspec.Struct, frozen=True):
    """A sign-in on its way; `expires_at` in seconds since 1970 UTC."""

    provider: str
    next_path: str
    expires_at: int
    fresh: bool
    nonce: str
    verifier: str


def redirect_uri(settings: Settings, provider: IdentityProvider) -> str:
    """Return where the issuer sends browsers back; it is registered there."""
    return f"{settings.base_url}/sign-in/from/{provider.name}"


async def authorization_address(
    service: OAuthService, provider: IdentityProvider, browser: str, next_path: str, *, fresh: bool
) -> str:
    """Return where a browser (its key) goes to sign in at an issuer; with `fresh` the issuer shall ask again.

    Raises ProviderUnavailable.
    """
    addresses = await service.external.addresses(provider)
    until = service.seconds + PENDING_SECONDS
    pending = Pending(provider.name, next_path, until, fresh, new_opaque(), new_opaque())
    state = _sealer(service.settings).seal(browser, msgspec.json.encode(pending))
    challenge: str = create_s256_code_challenge(pending.verifier)  # type: ignore[no-untyped-call]
    asked: dict[str, str] = {
        **provider.parameters,
        "redirect_uri": redirect_uri(service.settings, provider),
        "scope": provider.scope,
        "nonce": pending.nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"prompt": "login", "max_age": "0"} if fresh else {}),
    }
    made: str = prepare_grant_uri(
        addresses.authorization_endpoint, client_id=str(provider.client_id), response_type="code", state=state, **asked
    )
    return made


def pending_of(service: OAuthService, provider: IdentityProvider, browser: str, state: str) -> Pending:
    """Return the sign-in that a browser (its key) began; raises ExternalSignInFailed."""
    try:
        pending = msgspec.json.decode(_sealer(service.settings).open(browser, state), type=Pending)
    except (SealBroken, UnicodeEncodeError):
        raise ExternalSignInFailed("state") from None
    if pending.provider != provider.name or pending.expires_at <= service.seconds:
        raise ExternalSignInFailed("state")
    return pending


async def claims_for_code(
    service: OAuthService, provider: IdentityProvider, pending: Pending, code: str
) -> Mapping[str, Any]:
    """Return what the issuer says of the person for a code.

    Raises ExternalSignInFailed for an answer that is not believed, ProviderUnavailable for none.
    """
    addresses = await service.external.addresses(provider)
    token = await _identity_token(service, provider, pending, code, addresses.token_endpoint)
    try:
        parsed = parse(token, ALGORITHMS, frozenset({"jwt"}))
        claims = await service.external.verified(provider, parsed, str(provider.client_id))
        signed_in_at = instant(claims, "auth_time")
    except (NotVerified, Unauthenticated):
        raise ExternalSignInFailed("identity token") from None
    except KeysUnknown:
        raise ProviderUnavailable from None
    _check(service, provider, pending, claims, signed_in_at)
    return claims


async def _identity_token(
    service: OAuthService, provider: IdentityProvider, pending: Pending, code: str, address: str
) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri(service.settings, provider),
        "code_verifier": pending.verifier,
    }
    credentials = None
    if provider.client_secret is None:
        form["client_id"] = str(provider.client_id)
    else:  # RFC 6749 §2.3.1 has both parts form-encoded first
        credentials = (quote_plus(str(provider.client_id)), quote_plus(provider.client_secret.get_secret_value()))
    try:
        status, body = await service.outgoing.post_form(address, form, credentials)
        token = msgspec.json.decode(body, type=dict[str, Any]).get("id_token")
    except FetchFailed:
        raise ProviderUnavailable from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ExternalSignInFailed("token answer") from None
    if status != HTTPStatus.OK or not isinstance(token, str):
        raise ExternalSignInFailed("token answer")
    return token


def _check(
    service: OAuthService,
    provider: IdentityProvider,
    pending: Pending,
    claims: Mapping[str, Any],
    signed_in_at: float | None,
) -> None:
    """Refuse an identity token that was not made for this sign-in (OpenID Connect Core §3.1.3.7)."""
    nonce, party = claims.get("nonce"), claims.get("azp")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), pending.nonce.encode()):
        raise ExternalSignInFailed("nonce")
    several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    if (several or party is not None) and party != provider.client_id:
        raise ExternalSignInFailed("authorized party")
    if pending.fresh:
        oldest = service.seconds - FRESH_SECONDS
        if signed_in_at is None or not oldest <= signed_in_at <= service.seconds + SKEW_SECONDS:
            raise ExternalSignInFailed("not fresh")


def _sealer(settings: Settings) -> Sealer:
    return Sealer(settings.derive(PURPOSE), PURPOSE, "state")
