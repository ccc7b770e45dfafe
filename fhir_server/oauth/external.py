"""Tokens of other issuers: whom they stand for on the internal APIs (issue 6 point 2; security OA-6).

Trusted are the issuers of the configuration alone, found by the exact `iss`, their keys by their registered or
discovered address, their roles by the configured words. At `/fhir` such a token is worth nothing: apps come with our
own.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.access import Caller
from fhir_server.oauth.documents import Documents, DocumentUnknown, Monotonic
from fhir_server.oauth.jose import NotVerified, Parsed, instant, names_audience, parse, verify
from fhir_server.oauth.jwks_cache import KeySets, KeysUnknown
from fhir_server.oauth.providers import IdentityProvider
from fhir_server.oauth.tokens import LEEWAY_SECONDS, expired_token, invalid_token
from fhir_server.outgoing import FetchFailed, Outgoing
from storage.authorization.linked_accounts import Account, KnownPerson, person_of_account
from storage.engine import Database
from storage.tables.enums import OrganizationRole

ALGORITHMS: Final = ("RS256", "ES256", "RS384", "ES384")
TYPES: Final = frozenset({"jwt", "at+jwt"})
KNOWN_SECONDS: Final = 5.0
"""How long a caller is remembered: a user who is disabled, or loses the role, is out that soon (OA-8)."""
MOST_KNOWN: Final = 10_000
LONGEST_SUBJECT: Final = 255
EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}\Z")
PERSON_SCOPE: Final = "user/*.cruds"
PATIENT_SCOPE: Final = "patient/*.cruds"


class ProviderUnavailable(Exception):
    """An issuer cannot be asked, or answers what cannot be used."""


@dataclass(frozen=True, slots=True)
class ProviderAddresses:
    """What an issuer tells of itself (OpenID Connect Discovery §3)."""

    jwks_uri: str
    authorization_endpoint: str
    token_endpoint: str


class ExternalIssuers:
    """The trusted issuers, with their addresses and the callers met lately. One per worker."""

    def __init__(
        self,
        providers: Mapping[str, IdentityProvider],
        database: Database,
        outgoing: Outgoing,
        key_sets: KeySets,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self.providers = providers
        self._by_issuer = {each.issuer: each for each in providers.values()}
        self._database = database
        self._outgoing = outgoing
        self._key_sets = key_sets
        self._now = now
        self._told = Documents(outgoing.fetch, self._read, monotonic=monotonic)
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    def takes(self, token: bytes) -> bool:
        """Say whether a token claims to be a trusted issuer's; nothing of it is verified."""
        if not self._by_issuer:
            return False
        try:
            issuer = parse(token.decode("ascii"), ALGORITHMS, TYPES).claims.get("iss")
        except (NotVerified, UnicodeDecodeError):
            return False
        return isinstance(issuer, str) and issuer in self._by_issuer

    async def caller(self, token: bytes) -> Caller:
        """Return whom an access or session token stands for.

        Raises Unauthenticated for every fault of the token, its issuer's keys and the person's standing, and
        DatabaseUnavailable.
        """
        digest, now = hashlib.sha256(token).digest(), self._now()
        known = self._known.get(digest)
        if known is not None and known[0] > now:
            return _still(known[1], now)
        try:
            caller = await self._caller(token, now)
        except (NotVerified, KeysUnknown, ProviderUnavailable):
            self._known.pop(digest, None)
            raise invalid_token() from None
        self._known[digest] = (now + KNOWN_SECONDS, caller)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return caller

    async def _caller(self, token: bytes, now: float) -> Caller:
        try:
            parsed = parse(token.decode("ascii"), ALGORITHMS, TYPES)
        except UnicodeDecodeError:
            raise NotVerified from None
        issuer = parsed.claims.get("iss")
        provider = self._by_issuer.get(issuer) if isinstance(issuer, str) else None
        if provider is None or provider.audience is None:
            raise NotVerified
        claims = await self.verified(provider, parsed, provider.audience)
        return _still(await self._person(provider, claims, token), now)

    async def verified(self, provider: IdentityProvider, parsed: Parsed, audience: str) -> Mapping[str, Any]:
        """Return the claims of an issuer's token for an audience, within its life.

        Raises NotVerified, KeysUnknown, ProviderUnavailable, and Unauthenticated for one whose life is over.
        """
        address = provider.jwks_uri or (await self.addresses(provider)).jwks_uri
        claims = verify(parsed, await self._key_sets.keys(f"provider {provider.name}", address, parsed.kid))
        now = self._now()
        expires = instant(claims, "exp")
        if claims.get("iss") != provider.issuer or not names_audience(claims, audience) or expires is None:
            raise NotVerified
        for name in ("nbf", "iat"):
            begins = instant(claims, name)
            if begins is not None and begins > now + LEEWAY_SECONDS:
                raise NotVerified
        if expires <= now:
            raise expired_token()
        return claims

    async def _person(self, provider: IdentityProvider, claims: Mapping[str, Any], token: bytes) -> Caller:
        role, organization_id = provider.role_in(claims), provider.organization_in(claims)
        account = account_in(provider, claims)
        if role is None or organization_id is None:
            raise NotVerified
        async with self._database.platform_read() as connection:
            person = await person_of_account(connection, account, organization_id)
        if not _stands(person):
            raise NotVerified
        patient = _own_patient(role, person)
        issued = instant(claims, "iat") or instant(claims, "nbf") or 0
        said_id = claims.get("jti")
        return Caller(
            subject=person.user.id if person.user else f"{provider.name}:{account.subject}",
            client_id=f"issuer:{provider.name}",  # no client has such an id
            organization_id=organization_id,
            role=role,
            scope=PATIENT_SCOPE if role == OrganizationRole.PATIENT else PERSON_SCOPE,
            token_id=said_id if isinstance(said_id, str) and said_id else hashlib.sha256(token).hexdigest(),
            issued_at=int(issued),
            expires_at=int(instant(claims, "exp") or 0),
            patient=patient,
            fhir_user=person.membership.fhir_user if person.membership else None,
            account=account.subject,
        )

    async def addresses(self, provider: IdentityProvider) -> ProviderAddresses:
        """Return what an issuer tells of itself; raises ProviderUnavailable."""
        address = f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            issuer, found = await self._told.get(provider.name, address)
        except DocumentUnknown:
            raise ProviderUnavailable from None
        if issuer != provider.issuer:
            raise ProviderUnavailable
        return found

    def _read(self, document: Mapping[str, Any]) -> tuple[object, ProviderAddresses]:
        """Return issuer and addresses; raises FetchFailed for addresses that nobody should be sent to."""
        found = {name: document.get(name) for name in ("jwks_uri", "authorization_endpoint", "token_endpoint")}
        if not all(isinstance(value, str) and self._outgoing.may_ask(value) for value in found.values()):
            raise FetchFailed("not an issuer")
        return document.get("issuer"), ProviderAddresses(**{name: str(value) for name, value in found.items()})


def is_subject(subject: str) -> bool:
    """Say whether a text may be an issuer's id of a person (OpenID Connect Core §2)."""
    return 0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()


def account_in(provider: IdentityProvider, claims: Mapping[str, Any]) -> Account:
    """Return the account that claims are about; raises NotVerified without a subject."""
    subject, email = provider.said(claims, "subject"), provider.said(claims, "email")
    if not isinstance(subject, str) or not is_subject(subject):
        raise NotVerified
    usable = isinstance(email, str) and EMAIL.match(email)
    return Account(provider.name, subject, email.lower() if usable else None)


def _stands(person: KnownPerson) -> bool:
    """Say whether a person may act in the organization: whoever was disabled here is so whatever the issuer says."""
    if not person.organization_is_active:
        return False
    if person.user is None:
        return True
    return person.user.is_active and (person.membership is None or person.membership.is_active)


def _own_patient(role: OrganizationRole, person: KnownPerson) -> str | None:
    """Return whom somebody in the role PATIENT acts for: the only record that is known to be theirs.

    Without one, they are bound to the record that names their account, if there is one.
    """
    return person.patients[0] if role == OrganizationRole.PATIENT and len(person.patients) == 1 else None


def _still(caller: Caller, now: float) -> Caller:
    if caller.expires_at <= now:
        raise expired_token()
    return caller
