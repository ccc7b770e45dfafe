"""From the headers of a request to an access (security OA-6, OA-8, OA-11, KY-1)."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

import pytest

from fhir_server.errors import MalformedAuthorization, NotAuthorised, Unauthenticated
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.oauth.keys import KeyRing, generate_key
from fhir_server.oauth.revocations import Revocations
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from fhir_server.settings import Settings
from storage.errors import DatabaseUnavailable
from storage.grants import Revocation, RevocationKind, StoredKey
from storage.tables.enums import KeyState

NOW = 1_800_000_000
REQUEST = TokenRequest("user-1", "an-app", "loop-health", "CLINICIAN", "user/*.rs", 900)


class Installation:
    """Keys and revocations as a database would hold them, and an authenticator on them."""

    def __init__(self, cipher, stored_key: StoredKey) -> None:
        self.keys = [stored_key]
        self.revoked: list[Revocation] = []
        self.down = False
        self.now = float(NOW)
        self.clock = 0.0
        self.key_lookups = 0
        self.issuer = Issuer("https://host.example", "https://host.example/fhir")
        self.ring = KeyRing(cipher, self.keys)
        self.revocations = Revocations(self.look_up, monotonic=lambda: self.clock)
        settings = Settings(base_url="https://host.example", token_cache_size=2)
        self.authenticator = Authenticator(settings, self.ring, self.revocations, self.load_keys, now=lambda: self.now)

    async def look_up(self) -> list[Revocation]:
        if self.down:
            raise DatabaseUnavailable
        return self.revoked

    async def load_keys(self) -> list[StoredKey]:
        self.key_lookups += 1
        await asyncio.sleep(0)
        return self.keys

    def token(self, **changes) -> bytes:
        fresh = {"token_id": secrets.token_urlsafe(8)}
        return issue(replace(REQUEST, **(fresh | changes)), self.issuer, self.ring, int(self.now)).encode()

    async def bear(self, token: bytes, query: bytes = b""):
        return await self.authenticator.access([(b"accept", b"*/*"), (b"authorization", b"Bearer " + token)], query)


@pytest.fixture
def server(cipher, stored_key) -> Installation:
    return Installation(cipher, stored_key)


async def test_a_bearer_gets_the_access_of_the_token(server: Installation):
    access = await server.bear(server.token())
    assert (access.actor, access.organization_id) == ("user-1", "loop-health")


async def test_the_scheme_is_case_insensitive(server: Installation):
    assert await server.authenticator.access([(b"authorization", b"bearer " + server.token())], b"")


async def test_a_verified_token_is_remembered(server: Installation):
    token = server.token()
    assert await server.bear(token) is await server.bear(token)


async def test_no_more_tokens_are_remembered_than_the_setting_says(server: Installation):
    first = server.token()
    access = await server.bear(first)
    for _ in range(3):
        await server.bear(server.token())
    assert await server.bear(first) is not access


async def test_security_OA11_without_a_token_the_challenge_names_no_error(server: Installation):
    with pytest.raises(Unauthenticated) as caught:
        await server.authenticator.access([], b"")
    assert caught.value.challenge == 'Bearer realm="fhir"'


async def test_security_OA11_a_refused_token_is_challenged_with_its_error(server: Installation):
    with pytest.raises(Unauthenticated) as caught:
        await server.bear(b"a.b.c")
    assert 'error="invalid_token"' in caught.value.challenge


async def test_security_OA11_two_authorization_headers_are_malformed(server: Installation):
    header = (b"authorization", b"Bearer " + server.token())
    with pytest.raises(MalformedAuthorization):
        await server.authenticator.access([header, header], b"")


@pytest.mark.parametrize("query", [b"access_token=%s", b"_id=1&access_token=%s", b"access%%5Ftoken=%s"])
async def test_security_OA11_a_token_in_the_query_is_refused_even_beside_a_header(server: Installation, query: bytes):
    token = server.token()
    with pytest.raises(Unauthenticated):
        await server.bear(token, query % token)
    with pytest.raises(Unauthenticated):
        await server.authenticator.access([], query % token)


async def test_a_search_that_only_speaks_of_tokens_passes(server: Installation):
    assert await server.bear(server.token(), b"name=token&_tag=access_token")


@pytest.mark.parametrize("value", [b"Basic dXNlcjpwYXNz", b"Bearer", b"Bearer ", b"Bearer a b", b"", b"Token x"])
async def test_another_scheme_is_refused(server: Installation, value: bytes):
    with pytest.raises(Unauthenticated):
        await server.authenticator.access([(b"authorization", value)], b"")


async def test_a_remembered_token_still_expires(server: Installation):
    token = server.token()
    await server.bear(token)
    server.now += 900
    with pytest.raises(Unauthenticated) as caught:
        await server.bear(token)
    assert caught.value.expired


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (RevocationKind.USER, "user-1"),
        (RevocationKind.CLIENT, "an-app"),
        (RevocationKind.ORGANIZATION, "loop-health"),
    ],
)
async def test_security_OA8_tokens_die_with_their_user_client_or_organization(server: Installation, kind, value):
    token = server.token()
    await server.bear(token)
    server.revoked.append(Revocation(kind, value, NOW + 5))
    await server.revocations.refresh()
    with pytest.raises(Unauthenticated):
        await server.bear(token)
    server.now += 6
    assert await server.bear(server.token()), "a later token is not concerned"


async def test_security_OA8_one_token_is_revoked_by_its_id(server: Installation):
    token, other = server.token(), server.token()
    grant = (await server.bear(token)).grant
    server.revoked.append(Revocation(RevocationKind.TOKEN, str(grant), NOW))
    await server.revocations.refresh()
    with pytest.raises(Unauthenticated):
        await server.bear(token)
    assert await server.bear(other)


async def test_security_OA8_tokens_die_with_their_grant_and_others_of_the_person_live(server: Installation):
    token, other, alone = server.token(grant_id="grant-1"), server.token(grant_id="grant-2"), server.token()
    await server.bear(token)
    server.revoked.append(Revocation(RevocationKind.GRANT, "grant-1", NOW))
    await server.revocations.refresh()
    with pytest.raises(Unauthenticated):
        await server.bear(token)
    assert await server.bear(other)
    assert await server.bear(alone)


async def test_security_KY1_who_comes_while_keys_are_looked_up_waits_for_them(server: Installation, cipher):
    fresh = generate_key(cipher, KeyState.ACTIVE)
    ring = KeyRing(cipher, [fresh])
    asked = [replace(REQUEST, token_id=f"t{number}") for number in range(5)]
    tokens = [issue(each, server.issuer, ring, NOW).encode() for each in asked]
    server.keys = [replace(server.keys[0], state=KeyState.RETIRING), fresh]
    assert all(await asyncio.gather(*map(server.bear, tokens)))
    assert server.key_lookups == 1


async def test_the_claims_of_a_bearer_are_told_too(server: Installation):
    caller = await server.authenticator.caller([(b"authorization", b"Bearer " + server.token(grant_id="g"))], b"")
    assert (caller.subject, caller.client_id, caller.grant_id) == ("user-1", "an-app", "g")


async def test_security_OA8_stale_knowledge_is_refreshed_before_it_decides(server: Installation):
    token = server.token()
    await server.bear(token)
    server.revoked.append(Revocation(RevocationKind.USER, "user-1", NOW))
    server.clock += 5.1
    with pytest.raises(Unauthenticated):
        await server.bear(token)


async def test_security_OA8_when_nobody_can_say_what_is_revoked_the_database_is_unavailable(server: Installation):
    token = server.token()
    await server.bear(token)
    server.down = True
    assert await server.bear(token), "knowledge of the last seconds holds"
    server.clock += 5.1
    with pytest.raises(DatabaseUnavailable):
        await server.bear(token)


async def test_security_AZ3_a_patient_scope_without_patient_is_refused(server: Installation):
    with pytest.raises(NotAuthorised):
        await server.bear(server.token(scope="patient/*.rs"))


async def test_security_KY1_a_key_made_after_the_start_is_found(server: Installation, cipher):
    fresh = generate_key(cipher, KeyState.ACTIVE)
    token = issue(REQUEST, server.issuer, KeyRing(cipher, [fresh]), NOW).encode()
    server.keys = [replace(server.keys[0], state=KeyState.RETIRING), fresh]
    assert await server.bear(token)


async def test_unknown_keys_are_looked_up_once_a_second_at_most(server: Installation):
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await server.bear(b"unknown.b.c")
    assert server.key_lookups == 1


async def test_the_poller_survives_a_database_that_is_away(server: Installation):
    server.down = True
    revocations = Revocations(server.look_up, interval=0.001)
    revocations.start()
    import asyncio

    await asyncio.sleep(0.01)
    assert revocations.stale
    server.down = False
    for _ in range(1000):
        await asyncio.sleep(0.002)
        if not revocations.stale:
            break
    assert not revocations.stale
    await revocations.stop()


async def test_security_DU7_all_who_wait_for_revocations_fail_with_one_look_up_when_the_database_is_away():
    looks = 0

    async def away():
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.05)
        raise DatabaseUnavailable

    revocations = Revocations(away)
    answers = await asyncio.gather(*(revocations.refresh() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, DatabaseUnavailable) for each in answers)
    assert looks == 1


async def test_a_refresh_knows_what_was_revoked_before_it():
    revoked = []
    begun = asyncio.Event()

    async def look_up():
        found = list(revoked)
        begun.set()
        await asyncio.sleep(0)
        return found

    revocations = Revocations(look_up)
    earlier = asyncio.create_task(revocations.refresh())
    await begun.wait()
    revoked.append(Revocation(RevocationKind.TOKEN, "t1", 0))
    await revocations.refresh()
    await earlier
    assert (RevocationKind.TOKEN, "t1") in revocations._revoked


async def test_a_refresh_that_comes_the_moment_another_ends_looks_up_anew():
    """It must not wait for a look-up that is over: nothing else would ever run again."""
    looked_up = 0

    async def look_up() -> list[Revocation]:
        nonlocal looked_up
        looked_up += 1
        await asyncio.sleep(0)
        return []

    revocations = Revocations(look_up)

    async def refresh_after(steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        await revocations.refresh()

    await asyncio.gather(*(refresh_after(steps) for steps in range(40)))
    assert looked_up > 1
