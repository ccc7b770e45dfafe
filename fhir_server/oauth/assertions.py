"""Clients that prove who they are by a signed assertion: `private_key_jwt` (RFC 7523 §2.2, `smart.md` J1 to J7).

Every failure is the same InvalidClient. The signature is verified before the assertion is remembered as used: nobody
else can use a client's ids up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir_server.oauth.clients import IDENTIFIER
from fhir_server.oauth.errors import InvalidClient
from fhir_server.oauth.jose import Key, NotVerified, Parsed, instant, names_audience, parse, verify
from fhir_server.oauth.jwks_cache import KeysUnknown
from fhir_server.oauth.service import OAuthService
from storage.authorization.assertions import use_assertion
from storage.authorization.clients import look_up_client
from storage.repositories.entities import Client
from storage.tables.enums import ClientType

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ("RS384", "ES384")
TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})
LONGEST_SECONDS: Final = 300
SKEW_SECONDS: Final = 60
"""How far a client's clock may be ahead of ours."""
LONGEST_JTI: Final = 512
UNVERIFIED: Final = "it is no JWT as it has to be, or no key of that client with its kid verifies it"
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 an address


async def client_of_assertion(service: OAuthService, form: Mapping[str, str]) -> Client:
    """Return the client whose `client_assertion` a token request bears.

    Raises InvalidClient for every fault, without a word about which: wrong type, form, key, signature, claims, a second
    use, an unknown or disabled client, and a `client_id` beside it that is another. The error has the reason for the
    operator's log, in our own words.
    """
    client: Client | None = None
    try:
        parsed, client = await _claimed(service, form)
        await _prove(service, client, parsed)
    except (NotVerified, KeysUnknown) as error:
        raise InvalidClient(why=_why(error), client_id=client.id if client else None) from None
    return client


def _why(error: Exception) -> str:
    if isinstance(error, KeysUnknown):
        return "its key set cannot be had"
    return str(error) or UNVERIFIED


async def _claimed(service: OAuthService, form: Mapping[str, str]) -> tuple[Parsed, Client]:
    """Return an assertion taken apart, and the client that it claims to be of."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise NotVerified("client_assertion_type is another one")
    parsed = parse(form.get("client_assertion", ""), ALGORITHMS, TYPES)
    client_id = parsed.claims.get("iss")
    if not isinstance(client_id, str) or not IDENTIFIER.match(client_id):
        raise NotVerified("iss is no client")
    if form.get("client_id", client_id) != client_id:
        raise NotVerified("client_id is not iss")
    known = await look_up_client(service.database, client_id, "")
    client = known.client
    if client is None or not client.is_active or not known.organization_is_active or client.type == ClientType.PUBLIC:
        raise NotVerified("iss is no client that is enabled and has keys")
    return parsed, client


async def _prove(service: OAuthService, client: Client, parsed: Parsed) -> None:
    """Verify an assertion and use it up; raises NotVerified and KeysUnknown."""
    claims = verify(parsed, await _keys(service, client, parsed))
    jti, expires = _checked(claims, client.id, service.settings.base_url + TOKEN_PATH, service.seconds)
    async with service.database.platform() as connection:
        fresh = await use_assertion(connection, client.id, jti, expires + SKEW_SECONDS, service.seconds)
    if not fresh:
        raise NotVerified("jti was used before")


async def _keys(service: OAuthService, client: Client, parsed: Parsed) -> Sequence[Key]:
    """Return the client's keys with the token's `kid`: those of its address, else those registered.

    `jku` has to be the registered address, letter for letter; it is never fetched for itself (J4).
    """
    if "jku" in parsed.header and (client.jwks_uri is None or parsed.header["jku"] != client.jwks_uri):
        raise NotVerified("jku is not the registered address")
    if client.jwks_uri is not None:
        return await service.key_sets.keys(client.id, client.jwks_uri, parsed.kid)
    return [key for key in (client.jwks or {}).get("keys", ()) if key.get("kid") == parsed.kid]


def _checked(claims: Mapping[str, Any], client_id: str, audience: str, now: int) -> tuple[str, int]:
    """Return `jti` and the second in which the assertion has expired; raises NotVerified (J2)."""
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise NotVerified("sub is not iss")
    if not names_audience(claims, audience):
        raise NotVerified("aud is not the token endpoint")
    expires = instant(claims, "exp")
    if expires is None or not now < expires <= now + LONGEST_SECONDS + SKEW_SECONDS:
        raise NotVerified("exp is missing, past, or more than five minutes ahead")
    for name in ("nbf", "iat"):
        begins = instant(claims, name)
        if begins is not None and begins > now + SKEW_SECONDS:
            raise NotVerified(f"{name} is in the future")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_JTI:
        raise NotVerified("jti is missing, or too long")
    return jti, int(expires) + 1
