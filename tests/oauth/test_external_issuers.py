"""Other OpenID Connect issuers: their tokens on the internal APIs (issue 6 point 2; security OA-6, OA-7, OA-8)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc.jwk import ECKey, RSAKey

from capability.roles import GraphAction
from fhir_server.access import graph_extent
from fhir_server.errors import Unauthenticated
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.oauth.external import KNOWN_SECONDS, ExternalIssuers
from fhir_server.oauth.jwks_cache import KeySets
from fhir_server.oauth.keys import KeyCipher, KeyRing
from fhir_server.oauth.providers import IdentityProvider, load_providers
from fhir_server.oauth.revocations import Revocations
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from fhir_server.outgoing import Fetched, FetchFailed, Outgoing
from fhir_server.settings import Settings, SettingsInvalid
from storage.access import Extent
from storage.authorization.linked_accounts import Account, link_account
from storage.engine import Database
from storage.grants import Revocation, RevocationKind, StoredKey
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.tables.platform import organizations, user_organizations, users
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.oauth.test_assertions import signed

ISSUER = "https://clerk.example"
METADATA = f"{ISSUER}/.well-known/openid-configuration"
JWKS_URI = f"{ISSUER}/jwks"
RSA = RSAKey.generate_key(2048, private=True)
P256 = ECKey.generate_key("P-256", private=True)
OTHER = RSAKey.generate_key(2048, private=True)
CLERK = {
    "name": "clerk",
    "title": "Clerk",
    "issuer": ISSUER,
    "audience": "patient-graph",
    "organization": ORGANIZATION,
    "roles": {"admin": "ORG_ADMIN", "provider": "CLINICIAN", "customer": "PATIENT"},
    "claims": {"subject": "sub", "email": "email", "role": "publicMetadata.adminRole"},
}


class World:
    """A trusted issuer, its network, and an authenticator that knows it."""

    def __init__(self, database: Database, cipher: KeyCipher, stored: StoredKey, **changes: Any) -> None:
        self.database = database
        self.stored = [stored]
        self.ring = ring = KeyRing(cipher, self.stored)
        self.now = time.time()
        self.clock = 0.0
        self.keys: list[Mapping[str, Any]] = [
            {**RSA.as_dict(private=False), "kid": "rsa"},
            {**P256.as_dict(private=False), "kid": "ec"},
        ]
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "jwks_uri": JWKS_URI,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
        }
        self.down = False
        self.asked: list[str] = []
        self.revoked: list[Revocation] = []
        self.subject = f"user_{secrets.token_hex(8)}"
        outgoing = Outgoing()
        outgoing.fetch = self.fetch  # type: ignore[method-assign, assignment]
        key_sets = KeySets(self.fetch, monotonic=lambda: self.clock)
        provider = IdentityProvider.model_validate({**CLERK, **changes})
        clocks: dict[str, Any] = {"now": lambda: self.now, "monotonic": lambda: self.clock}
        self.external = ExternalIssuers({"clerk": provider}, database, outgoing, key_sets, **clocks)
        settings = Settings(base_url="https://host.example")
        revocations = Revocations(self.look_up, monotonic=lambda: self.clock)
        self.revocations = revocations
        self.authenticator = Authenticator(
            settings, ring, revocations, self.own_keys, external=self.external, now=lambda: self.now
        )

    async def own_keys(self) -> Sequence[StoredKey]:
        return self.stored

    async def look_up(self) -> Sequence[Revocation]:
        return self.revoked

    async def fetch(self, address: str, **_limits: Any) -> Fetched:
        self.asked.append(address)
        if self.down:
            raise FetchFailed("not reachable")
        document = {METADATA: self.metadata, JWKS_URI: {"keys": self.keys}}[address]
        return Fetched({}, json.dumps(document).encode())

    def claims(self, **changes: Any) -> dict[str, Any]:
        made = {
            "iss": ISSUER,
            "sub": self.subject,
            "aud": "patient-graph",
            "iat": int(self.now),
            "exp": int(self.now) + 60,
            "email": f"{self.subject}@example.org",
            "publicMetadata": {"adminRole": "provider"},
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not ...}

    def token(self, key: Any = RSA, alg: str = "RS256", kid: str | None = "rsa", **changes: Any) -> str:
        return signed(self.claims(**changes), key, alg, kid)

    async def bear(self, token: str) -> Any:
        return await self.authenticator.internal_caller([(b"authorization", b"Bearer " + token.encode())], b"")

    async def refuses(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as refused:
            await self.bear(token)
        assert refused.value.error == "invalid_token"
        return str(refused.value)

    async def user(self, role: str = "CLINICIAN", patients: Sequence[str] = ()) -> User:
        """Add a user who is linked with the account."""
        known = uuid4().hex
        async with self.database.platform() as connection:
            user = await UserRepository(connection).insert(User(known, f"{known}@example.org"))
            membership = UserOrganization(known, known, ORGANIZATION, role)
            await UserOrganizationRepository(connection).insert(membership)
            await UserRepository(connection).set_patients(known, ORGANIZATION, patients)
            assert await link_account(connection, known, Account("clerk", self.subject), known)
        return user

    async def set(self, table: Any, condition: Any, **values: Any) -> None:
        async with self.database.platform() as connection:
            await connection.execute(table.update().where(condition).values(**values))


@pytest.fixture
def new_world(database: Database, cipher: KeyCipher, stored_key: StoredKey) -> Callable[..., World]:
    return partial(World, database, cipher, stored_key)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()


async def test_a_trusted_issuers_token_opens_the_internal_APIs_with_the_mapped_role(world: World):
    caller = await world.bear(world.token())
    assert (caller.role, caller.organization_id, caller.client_id) == ("CLINICIAN", ORGANIZATION, "issuer:clerk")
    assert caller.subject == f"clerk:{world.subject}"
    assert graph_extent(caller, "lab_results", GraphAction.READ) is Extent.ORGANIZATION
    assert graph_extent(caller, "lab_results", GraphAction.WRITE) is None
    admin = await world.bear(world.token(publicMetadata={"adminRole": "admin"}))
    assert admin.role == "ORG_ADMIN"


@pytest.mark.parametrize(("key", "alg", "kid"), [(RSA, "RS256", "rsa"), (RSA, "RS384", "rsa"), (P256, "ES256", "ec")])
async def test_algorithms_that_are_taken(world: World, key: Any, alg: str, kid: str):
    assert (await world.bear(world.token(key, alg, kid))).role == "CLINICIAN"


async def test_security_OA6_the_issuers_keys_are_asked_for_once_an_hour(world: World):
    for _ in range(3):
        await world.bear(world.token(jti=secrets.token_hex(4)))
    assert world.asked == [METADATA, JWKS_URI]
    world.clock += 3599
    world.now += 3599
    await world.bear(world.token())
    assert world.asked == [METADATA, JWKS_URI]
    world.clock += 1
    world.now += 1
    await world.bear(world.token())
    assert world.asked == [METADATA, JWKS_URI, METADATA, JWKS_URI]


async def test_a_configured_address_of_keys_needs_no_discovery(new_world: Callable[..., World]):
    world = new_world(jwks_uri=JWKS_URI)
    await world.bear(world.token())
    assert world.asked == [JWKS_URI]


async def test_at_fhir_such_a_token_is_worth_nothing(world: World):
    token = world.token()
    assert await world.bear(token)
    with pytest.raises(Unauthenticated) as refused:
        await world.authenticator.access([(b"authorization", b"Bearer " + token.encode())], b"")
    assert refused.value.error == "invalid_token"


async def test_our_own_tokens_open_the_internal_APIs_as_well(world: World):
    request = TokenRequest("user-1", "an-app", ORGANIZATION, "CLINICIAN", "user/*.rs", 900)
    own = Issuer("https://host.example", "https://host.example/fhir")
    caller = await world.bear(issue(request, own, world.ring, int(world.now)))
    assert (caller.subject, caller.client_id) == ("user-1", "an-app")


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://clerk.example/"},
        {"iss": "https://evil.example"},
        {"iss": ...},
        {"iss": ["https://clerk.example"]},
        {"aud": ...},
        {"aud": "another"},
        {"aud": []},
        {"sub": ...},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "a\0b"},
        {"sub": "\ud800"},
        {"email": "a\0@example.org"},
        {"email": "\ud800@example.org"},
        {"exp": ...},
        {"exp": "later"},
        {"exp": 1},
        {"nbf": 10**12},
        {"iat": 10**12},
        {"publicMetadata": ...},
        {"publicMetadata": {}},
        {"publicMetadata": {"adminRole": "root"}},
        {"publicMetadata": {"adminRole": ["admin"]}},
        {"publicMetadata": "admin"},
    ],
)
async def test_security_OA6_what_a_token_has_to_say(world: World, change: dict[str, Any]):
    await world.refuses(world.token(**change))


async def test_security_OA6_a_token_whose_life_ends_is_refused_from_then_on(world: World):
    token = world.token(exp=int(world.now) + 3)
    assert await world.bear(token)
    world.now += 3
    assert "expired" in await world.refuses(token)


async def test_security_OA6_signatures_keys_and_algorithms(world: World):
    await world.refuses(world.token(OTHER))
    await world.refuses(world.token(kid="unknown"))
    await world.refuses(world.token(kid=None))
    await world.refuses(world.token(RSA, "RS512"))
    await world.refuses(world.token(RSA, "PS256"))
    head, body, signature = world.token().split(".")
    await world.refuses(f"{head}.{body}.{signature[:-8]}AAAAAAAA")
    await world.refuses(f"{head}.{body}.")
    own = issue(
        TokenRequest("user-1", "an-app", ORGANIZATION, "ORG_ADMIN", "user/*.rs", 900),
        Issuer(ISSUER, "patient-graph"),
        world.ring,
        int(world.now),
    )
    await world.refuses(own)


async def test_an_issuer_that_cannot_be_asked_is_believed_for_a_day_by_the_keys_that_are_known(world: World):
    assert await world.bear(world.token())
    world.down = True
    for hours in (2, 21):
        world.clock += hours * 3600
        world.now += hours * 3600
        assert await world.bear(world.token())
    world.clock += 2 * 3600
    world.now += 2 * 3600
    await world.refuses(world.token())


async def test_an_issuer_that_cannot_be_asked_at_first_is_asked_again_later(world: World):
    world.down = True
    await world.refuses(world.token())
    world.down = False
    await world.refuses(world.token())
    world.clock += 10
    world.now += 10
    assert await world.bear(world.token())


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": None},
        {"jwks_uri": "https://10.0.0.1/jwks"},
        {"jwks_uri": "http://clerk.example/jwks"},
        {"jwks_uri": 5},
        {"token_endpoint": "http://127.0.0.1/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_metadata_that_does_not_fit_is_not_believed(world: World, change: dict[str, Any]):
    world.metadata |= change
    await world.refuses(world.token())
    assert world.asked == [METADATA]


async def test_a_linked_user_is_named_and_what_is_decided_here_holds(world: World):
    user = await world.user()
    caller = await world.bear(world.token())
    assert caller.subject == user.id
    own = user_organizations.c.user_id == user.id
    await world.set(user_organizations, own, is_active=False)
    world.now += KNOWN_SECONDS
    await world.refuses(world.token())
    await world.set(user_organizations, own, is_active=True)
    assert await world.bear(world.token())
    await world.set(users, users.c.id == user.id, is_active=False)
    world.now += KNOWN_SECONDS
    await world.refuses(world.token())


async def test_security_OA8_a_known_token_is_looked_up_again_within_five_seconds(world: World):
    user = await world.user()
    token = world.token()
    assert await world.bear(token)
    await world.set(users, users.c.id == user.id, is_active=False)
    world.now += KNOWN_SECONDS
    assert KNOWN_SECONDS <= 5
    await world.refuses(token)


async def test_security_OA8_a_revocation_of_the_user_holds_for_tokens_from_elsewhere(world: World):
    user = await world.user()
    token = world.token()
    assert await world.bear(token)
    world.revoked = [Revocation(RevocationKind.USER, user.id, int(world.now))]
    await world.revocations.refresh()
    await world.refuses(token)


async def test_a_disabled_organization_takes_nobody(world: World):
    own = organizations.c.id == ORGANIZATION
    await world.set(organizations, own, is_active=False)
    try:
        await world.refuses(world.token())
    finally:
        await world.set(organizations, own, is_active=True)


async def test_a_customer_acts_for_the_one_record_that_is_theirs(world: World):
    customer = {"publicMetadata": {"adminRole": "customer"}}
    unknown = await world.bear(world.token(**customer))
    assert (unknown.role, unknown.patient, unknown.account) == ("PATIENT", None, world.subject)
    await world.user("PATIENT", ["patient-1"])
    caller = await world.bear(world.token(**customer, jti="another"))
    assert (caller.role, caller.patient) == ("PATIENT", "patient-1")
    assert graph_extent(caller, "lab_results", GraphAction.READ) is Extent.COMPARTMENT


async def test_a_customer_with_several_records_is_bound_to_none_of_them(world: World):
    await world.user("PATIENT", ["patient-1", "patient-2"])
    caller = await world.bear(world.token(publicMetadata={"adminRole": "customer"}))
    assert (caller.role, caller.patient, caller.scope) == ("PATIENT", None, "patient/*.cruds")


async def test_a_default_role_is_for_those_of_whom_nothing_is_said(new_world: Callable[..., World]):
    world = new_world(default_role="SUPPORT")
    assert (await world.bear(world.token(publicMetadata=...))).role == "SUPPORT"
    await world.refuses(world.token(publicMetadata={"adminRole": "root"}))


async def test_a_claim_may_name_the_organization(new_world: Callable[..., World]):
    claims = {**CLERK["claims"], "organization": "https://clerk.example/org"}  # type: ignore[dict-item]
    world = new_world(claims=claims)
    named = {"https://clerk.example/org": OTHER_ORGANIZATION}
    assert (await world.bear(world.token(**named))).organization_id == OTHER_ORGANIZATION
    assert (await world.bear(world.token())).organization_id == ORGANIZATION
    await world.refuses(world.token(**{"https://clerk.example/org": "nowhere"}))
    await world.refuses(world.token(**{"https://clerk.example/org": ["loop-health"]}))


async def test_an_issuer_without_an_audience_is_for_signing_in_only(new_world: Callable[..., World]):
    world = new_world(audience=None, client_id="us")
    await world.refuses(world.token(aud="us"))


def written(folder: Path, document: object) -> Path:
    path = folder / "providers.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_the_file_of_issuers_is_read(tmp_path: Path):
    found = load_providers(written(tmp_path, [CLERK]))
    assert list(found) == ["clerk"]
    assert found["clerk"].claims.role == "publicMetadata.adminRole"
    assert load_providers(None) == {}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        {},
        [5],
        [{}],
        [{**CLERK, "name": "Clerk!"}],
        [{**CLERK, "unknown": 1}],
        [{**CLERK, "roles": {"admin": "ROOT"}}],
        [{**CLERK, "audience": None}],
        [{**CLERK, "client_id": "patient-graph"}],
        [{**CLERK, "organization": None}],
        [{**CLERK, "claims": {"rolle": "x"}}],
        [CLERK, CLERK],
        [CLERK, {**CLERK, "name": "other"}],
    ],
)
def test_a_file_of_issuers_that_makes_no_sense_stops_the_start(tmp_path: Path, document: object):
    with pytest.raises(SettingsInvalid):
        load_providers(written(tmp_path, document))


def test_the_complaint_about_a_file_holds_no_secret(tmp_path: Path):
    faulty = {**CLERK, "client_id": "us", "client_secret": "very-secret-words", "scope": 5}
    with pytest.raises(SettingsInvalid) as refused:
        load_providers(written(tmp_path, [faulty]))
    assert "very-secret-words" not in str(refused.value)
    assert "scope" in str(refused.value)
    provider = IdentityProvider.model_validate({**CLERK, "client_id": "us", "client_secret": "very-secret-words"})
    assert "very-secret-words" not in repr(provider)


def test_a_missing_file_of_issuers_stops_the_start(tmp_path: Path):
    with pytest.raises(SettingsInvalid):
        load_providers(tmp_path / "nothing.json")
