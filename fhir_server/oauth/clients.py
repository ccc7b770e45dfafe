"""Registration of clients: what a client record may say (RFC 7591 §2, security OA-3, `smart.md` §3)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_server.access import RESOURCE_TYPES
from fhir_server.app_state.rules import parse_rules
from fhir_server.oauth.lifetimes import BACKEND_SECONDS
from fhir_server.oauth.logos import is_embedded
from fhir_server.oauth.scopes import InvalidScope, Level, intersect, parse_scopes
from storage.grants import LONGEST_TOKEN_SECONDS
from storage.repositories.entities import Client
from storage.tables.enums import ClientType

IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
MAXIMUM_KEYS: Final = 20
SMALLEST_RSA_BITS: Final = 2048
SHORTEST_REFRESH_SECONDS: Final = 60
LONGEST_REFRESH_SECONDS: Final = 315_360_000


class ClientRefused(Exception):
    """A client cannot be registered like this; the message says why and the remedy.

    `member` names what is at fault where that is an address, as RFC 7591 calls it.
    """

    def __init__(self, message: str, member: str = "") -> None:
        super().__init__(message)
        self.member = member


@dataclass(frozen=True, slots=True)
class Registration:
    """What is asked for; `keys` is a JWK set, `jwks_uri` where one is found, times to live are in seconds.

    `is_native` lets loopback redirects vary in port (RFC 8252 §7.3), `is_verified` says that the operator vouches for
    it, `is_partner` confines it to patients who agreed to share, `may_introspect` tells it of the tokens of other
    clients. Without `required_scope` it does not work.
    """

    id: str
    type: str
    scope: str
    organization_id: str | None = None
    name: str | None = None
    redirect_uris: Sequence[str] = ()
    launch_uris: Sequence[str] = ()
    origins: Sequence[str] = ()
    keys: Mapping[str, Any] | None = None
    jwks_uri: str | None = None
    is_native: bool = False
    is_verified: bool = False
    is_partner: bool = False
    may_introspect: bool = False
    logo_uri: str | None = None
    publisher: str | None = None
    required_scope: str = ""
    access_token_ttl: int | None = None
    refresh_token_ttl: int | None = None
    app_states: Sequence[str] = ()
    """What it may keep for itself (`fhir_server/app_state/rules.py`)."""
    rate_limit: int | None = None
    """Requests to the FHIR interface that it may make a minute; None: what the settings say."""


def register(asked: Registration) -> Client:
    """Return the client record; raises ClientRefused for anything that would make a client unsafe or of no use."""
    if not IDENTIFIER.match(asked.id):
        raise ClientRefused("A client id has 1 to 64 letters, digits, dots, dashes or underscores.")
    if asked.type not in {kind.value for kind in ClientType}:
        raise ClientRefused("The type of a client is public, confidential or backend.")
    if asked.type != ClientType.PUBLIC and asked.organization_id is None:
        raise ClientRefused(f"A {asked.type} client belongs to an organization; give --organization.")
    if asked.type == ClientType.PUBLIC and (asked.keys or asked.jwks_uri):
        raise ClientRefused("A public client has no keys; register it as confidential or leave --jwks out.")
    for uri in asked.redirect_uris:
        _check_uri(uri, "redirect_uris", private_use=asked.type == ClientType.PUBLIC)
    for uri in asked.launch_uris:
        _check_uri(uri, "launch_uris")
    for origin in asked.origins:
        _check_origin(origin)
    if asked.jwks_uri is not None:
        _check_uri(asked.jwks_uri, "jwks_uri")
    if asked.logo_uri is not None and not is_embedded(asked.logo_uri):
        _check_uri(asked.logo_uri, "logo_uri")
    _check_traits(asked)
    scope = _checked_scope(asked)
    return Client(
        id=asked.id,
        type=asked.type,
        organization_id=asked.organization_id,
        name=asked.name or asked.id,
        redirect_uris=tuple(asked.redirect_uris),
        launch_uris=tuple(asked.launch_uris),
        jwks=None if asked.keys is None else public_keys(asked.keys),
        jwks_uri=asked.jwks_uri,
        origins=tuple(asked.origins),
        scope=scope,
        is_native=asked.is_native,
        is_verified=asked.is_verified,
        is_partner=asked.is_partner,
        may_introspect=asked.may_introspect,
        logo_uri=asked.logo_uri,
        publisher=asked.publisher,
        required_scope=_required_scope(asked.required_scope, scope),
        access_token_ttl=asked.access_token_ttl,
        rate_limit=asked.rate_limit,
        refresh_token_ttl=asked.refresh_token_ttl,
        app_states=app_state_rules(asked.app_states, asked.type),
    )


def app_state_rules(texts: Sequence[str], client_type: str) -> tuple[str, ...]:
    """Return the states that a client may keep, in normal form; raises ClientRefused."""
    if texts and client_type == ClientType.BACKEND:
        raise ClientRefused("A backend client acts for no patient and no user, so it keeps no states.")
    try:
        return tuple(map(str, parse_rules(texts)))
    except ValueError as error:
        raise ClientRefused(f"The states of an app cannot be taken: {error}.") from None


def _check_traits(asked: Registration) -> None:
    if asked.is_native and asked.type != ClientType.PUBLIC:
        raise ClientRefused("A native app keeps no secret; register it with --type public.")
    if asked.may_introspect and asked.type == ClientType.PUBLIC:
        raise ClientRefused("A public client cannot prove who it is, so it may not introspect.")
    longest = BACKEND_SECONDS if asked.type == ClientType.BACKEND else LONGEST_TOKEN_SECONDS
    if not 1 <= (asked.access_token_ttl or 1) <= longest:
        raise ClientRefused(f"Access tokens of a {asked.type} client live at most {longest} seconds.")
    if not SHORTEST_REFRESH_SECONDS <= (asked.refresh_token_ttl or LONGEST_REFRESH_SECONDS) <= LONGEST_REFRESH_SECONDS:
        raise ClientRefused("Refresh tokens wait for their use between a minute and ten years.")


def _required_scope(required: str, registered: str) -> str:
    """Return the scopes without which the client does not work; it has to be registered for them."""
    allowed = parse_scopes(registered, RESOURCE_TYPES)
    asked = parse_scopes(required, RESOURCE_TYPES)
    beyond = [str(each) for each in asked.fhir if intersect((each,), allowed.fhir) != (each,)]
    beyond += [*asked.unknown, *(each for each in asked.identity if each not in allowed.identity)]
    if beyond:
        raise ClientRefused(f"The client is not registered for what it requires: {' '.join(beyond)}.")
    return " ".join(dict.fromkeys(required.split()))


def _checked_scope(asked: Registration) -> str:
    try:
        grant = parse_scopes(asked.scope, RESOURCE_TYPES)
    except InvalidScope as error:
        raise ClientRefused(str(error)) from None
    if grant.unknown:
        raise ClientRefused(f"These are no scopes: {' '.join(grant.unknown)}. One is patient/Observation.rs.")
    if not grant.fhir and not grant.identity:
        raise ClientRefused("Give the scopes that the client may be granted, for example --scope 'user/*.rs'.")
    backend = asked.type == ClientType.BACKEND
    if not backend and any(scope.level is Level.SYSTEM for scope in grant.fhir):
        raise ClientRefused("system/ scopes are for backend clients; register it with --type backend.")
    return " ".join(dict.fromkeys(asked.scope.split()))


def _split(uri: str, member: str) -> SplitResult:
    if not uri.isascii() or any(character <= " " or character in '\\"<>^`{|}' for character in uri):
        raise ClientRefused(f"{uri!r} is no address.", member)
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 raises for a port that is none
    except ValueError:
        raise ClientRefused(f"{uri} is no address.", member) from None
    return parts


def _check_uri(uri: str, member: str, *, private_use: bool = False) -> None:
    """Refuse an address that is not absolute and safe: https, http on loopback, or a private-use scheme of an app."""
    parts = _split(uri, member)
    if "#" in uri or "@" in parts.netloc or "*" in uri:
        raise ClientRefused(f"{uri} has a fragment, a user name or a wildcard; leave it out.", member)
    if parts.netloc and not HOST.match(parts.netloc):  # it becomes part of a header: form-action
        raise ClientRefused(f"{uri} names no host; write international names as xn--….", member)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in LOOPBACK:
        return
    if private_use and "." in parts.scheme:  # reverse domain name, RFC 8252 §7.1
        return
    raise ClientRefused(f"{uri} is not https; http is for loopback addresses only.", member)


def _check_origin(origin: str) -> None:
    _check_uri(origin, "origins")
    parts = urlsplit(origin)
    if parts.path or parts.query:
        raise ClientRefused(f"{origin} is no origin: give scheme, host and port only.")


def public_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JWK set of public signing keys.

    Raises ClientRefused for private members, for keys that are no RSA of 2,048 bits or P-384, and without `kid`.
    """
    keys = document.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MAXIMUM_KEYS:
        raise ClientRefused(f"A JWK set has 1 to {MAXIMUM_KEYS} keys under 'keys'.")
    try:
        parsed = KeySet.import_key_set({"keys": keys}).keys
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise ClientRefused("The JWK set holds what is no key (RFC 7517).") from None
    for key, given in zip(parsed, keys, strict=True):
        if key.is_private or key.key_type == "oct":
            raise ClientRefused("The JWK set holds a private key; give the public ones, and make a new key.")
        if "kid" not in given:
            raise ClientRefused("Every key of the JWK set needs a kid.")
        strong = isinstance(key, RSAKey) and key.public_key.key_size >= SMALLEST_RSA_BITS
        if not strong and not (isinstance(key, ECKey) and key.curve_name == "P-384"):
            raise ClientRefused(f"Keys are RSA of {SMALLEST_RSA_BITS} bits or more (RS384) or P-384 (ES384).")
    return {"keys": keys}
