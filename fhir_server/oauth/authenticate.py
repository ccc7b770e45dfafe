"""From the headers of a request to the access of its caller (security OA-6 to OA-8, OA-11)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl

from fhir_server.access import Caller, authorise
from fhir_server.errors import MalformedAuthorization, Unauthenticated
from fhir_server.oauth.external import ExternalIssuers
from fhir_server.oauth.keys import KeyRing
from fhir_server.oauth.revocations import Revocations
from fhir_server.oauth.tokens import Issuer, expired_token, invalid_token, verify
from fhir_server.settings import Settings
from storage.access import Access
from storage.grants import StoredKey

Headers = Sequence[tuple[bytes, bytes]]
QUERY_TOKENS: Final = frozenset({"access_token", "id_token", "refresh_token"})
KEY_RELOAD_SECONDS: Final = 1.0


class Authenticator:
    """Knows every bearer. One per worker; verified tokens are kept by hash until they expire."""

    def __init__(
        self,
        settings: Settings,
        ring: KeyRing,
        revocations: Revocations,
        load_keys: Callable[[], Awaitable[Iterable[StoredKey]]],
        *,
        external: ExternalIssuers | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = Issuer(settings.base_url, settings.fhir_base)
        self._ring = ring
        self._revocations = revocations
        self._load_keys = load_keys
        self._external = external
        self._now = now
        self._known: OrderedDict[bytes, tuple[Caller, Access]] = OrderedDict()
        self._capacity = settings.token_cache_size
        self._keys_loaded_at = float("-inf")
        self._reloading = asyncio.Lock()

    async def access(self, headers: Headers, query: bytes) -> Access:
        """Return the caller's access.

        Raises Unauthenticated (401), MalformedAuthorization (400), NotAuthorised (403), and DatabaseUnavailable when
        nobody can say whether the token is revoked.
        """
        return (await self._bearer(headers, query))[1]

    async def internal_caller(self, headers: Headers, query: bytes) -> Caller:
        """Return what the token says of its bearer on the internal APIs, which take those of trusted issuers, too.

        Raises as `access` does.
        """
        token = bearer_token(headers, query)
        if self._external is None or not self._external.takes(token):
            return await self.caller(headers, query)
        caller = await self._external.caller(token)
        if self._revocations.stale:
            await self._revocations.refresh()
        if self._revocations.is_revoked(caller):
            raise invalid_token()
        return caller

    async def caller(self, headers: Headers, query: bytes) -> Caller:
        """Return what the token says of its bearer; raises as `access` does."""
        return (await self._bearer(headers, query))[0]

    async def _bearer(self, headers: Headers, query: bytes) -> tuple[Caller, Access]:
        token = bearer_token(headers, query)
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is None:
            caller = await self._verify(token)
            known = (caller, authorise(caller))
            self._remember(digest, known)
        caller = known[0]
        if caller.expires_at <= self._now():
            self._known.pop(digest, None)
            raise expired_token()
        if self._revocations.stale:
            await self._revocations.refresh()
        if self._revocations.is_revoked(caller):
            self._known.pop(digest, None)
            raise invalid_token()
        return known

    async def _verify(self, token: bytes) -> Caller:
        """Verify a token, with fresh keys if need be: it may be signed by a key that became active a moment ago."""
        if self._ring.verification_key(token.partition(b".")[0]) is None:
            await self._reload_keys()
        return verify(token, self._issuer, self._ring, int(self._now()))

    async def _reload_keys(self) -> None:
        """Load the keys, at most once a second however many unknown tokens arrive; who comes meanwhile waits (KY-1)."""
        async with self._reloading:
            now = time.monotonic()
            if now - self._keys_loaded_at >= KEY_RELOAD_SECONDS:
                self._keys_loaded_at = now
                self._ring.reload(await self._load_keys())

    def _remember(self, digest: bytes, known: tuple[Caller, Access]) -> None:
        """Keep a verified token; the oldest one makes room."""
        self._known[digest] = known
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


def bearer_token(headers: Headers, query: bytes) -> bytes:
    """Return the token of the one Authorization header (RFC 6750 §2.1).

    Raises Unauthenticated when there is none, for another scheme and for a token in the query, which would end up in
    logs and referrers; MalformedAuthorization for two Authorization headers. Who tried no bearer token at all is told
    of no error (RFC 6750 §3.1).
    """
    if b"token" in query and any(name in QUERY_TOKENS for name, _ in parse_qsl(query.decode("latin-1"))):
        raise Unauthenticated("invalid_request", "Send the access token in the Authorization header, not in the query.")
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise Unauthenticated(None, "Send an access token: Authorization: Bearer <token>.")
    if len(values) > 1:
        raise MalformedAuthorization("There are two Authorization headers; send one.")
    scheme, _, token = values[0].partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer":
        raise Unauthenticated(None, "Send an access token: Authorization: Bearer <token>.")
    if not token or b" " in token:
        raise Unauthenticated("invalid_token", "Send an access token: Authorization: Bearer <token>.")
    return token
