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
TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 an address


async def client_of_assertion(service: OAuthService, form: Mapping[str, str]) -> Client:
    """Return the client whose `client_assertion` a token request bears.

    Raises InvalidClient for every fault, without a word about which: wrong type, form, key, signature, claims, a second
    use, an unknown or disabled client, and a `client_id` beside it that is another.
    """
    try:
        return await _client(service, form)
    except (NotVerified, KeysUnknown):
        raise InvalidClient from None


async def _client(service: OAuthService, form: Mapping[str, str]) -> Client:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise NotVerified
    parsed = parse(form.get("client_assertion", ""), ALGORITHMS, TYPES)
    client_id = parsed.claims.get("iss")
    if not isinstance(client_id, str) or not IDENTIFIER.match(client_id):
        raise NotVerified
    if form.get("client_id", client_id) != client_id:
        raise NotVerified
    known = await look_up_client(service.database, client_id, "")
    client = known.client
    if client is None or not client.is_active or not known.organization_is_active or client.type == ClientType.PUBLIC:
        raise NotVerified
    claims = verify(parsed, await _keys(service, client, parsed))
    jti, expires = _checked(claims, client_id, service.settings.base_url + TOKEN_PATH, service.seconds)
    async with service.database.platform() as connection:
        fresh = await use_assertion(connection, client.id, jti, expires + SKEW_SECONDS, service.seconds)
    if not fresh:
        raise NotVerified
    return client


async def _keys(service: OAuthService, client: Client, parsed: Parsed) -> Sequence[Key]:
    """Return the client's keys with the token's `kid`: those of its address, else those registered.

    `jku` has to be the registered address, letter for letter; it is never fetched for itself (J4).
    """
    if "jku" in parsed.header and (client.jwks_uri is None or parsed.header["jku"] != client.jwks_uri):
        raise NotVerified
    if client.jwks_uri is not None:
        return await service.key_sets.keys(client.id, client.jwks_uri, parsed.kid)
    return [key for key in (client.jwks or {}).get("keys", ()) if key.get("kid") == parsed.kid]


def _checked(claims: Mapping[str, Any], client_id: str, audience: str, now: int) -> tuple[str, int]:
    """Return `jti` and the second in which the assertion has expired; raises NotVerified (J2)."""
    if claims.get("iss") != client_id or claims.get("sub") != client_id or not names_audience(claims, audience):
        raise NotVerified
    expires = instant(claims, "exp")
    if expires is None or not now < expires <= now + LONGEST_SECONDS + SKEW_SECONDS:
        raise NotVerified
    for name in ("nbf", "iat"):
        begins = instant(claims, name)
        if begins is not None and begins > now + SKEW_SECONDS:
            raise NotVerified
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= LONGEST_JTI:
        raise NotVerified
    return jti, int(expires) + 1
