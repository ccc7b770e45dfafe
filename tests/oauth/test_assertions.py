"""Clients that prove who they are by a signed assertion (smart.md J1 to J7, T4, T9; security OA-9)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from fhir_server.oauth.assertions import ASSERTION_TYPE, client_of_assertion
from fhir_server.oauth.errors import InvalidClient
from fhir_server.oauth.jwks_cache import KeySets
from fhir_server.outgoing import Fetched, FetchFailed
from fhir_server.settings import Settings
from storage.engine import Database
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.tables.platform import organizations
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

BASE = "https://host.example"
TOKEN_URL = f"{BASE}/oauth/token"
JWKS_URI = "https://client.example/jwks"
RSA = RSAKey.generate_key(2048, private=True)
OTHER_RSA = RSAKey.generate_key(2048, private=True)
SMALL_RSA = generate_private_key(65537, 1024)
P384 = ECKey.generate_key("P-384", private=True)
P256 = ECKey.generate_key("P-256", private=True)


def public(key: RSAKey | ECKey, kid: str, **more: object) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, **more}


KEYS = {"keys": [public(RSA, "rsa", use="sig", alg="RS384"), public(P384, "ec", key_ops=["verify"])]}


@dataclass
class Service:
    """What the function takes of a worker's service, with a clock and a network of the test's own."""

    database: Database
    settings: Settings = field(default_factory=lambda: Settings(base_url=BASE, secret="s" * 40))
    served: Mapping[str, Any] | None = None
    fetched: list[str] = field(default_factory=list)
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.seconds = int(time.time())
        self.key_sets = KeySets(self.fetch, monotonic=lambda: self.clock)

    async def fetch(self, address: str) -> Fetched:
        self.fetched.append(address)
        if self.served is None:
            raise FetchFailed("not reachable")
        return Fetched({}, json.dumps(self.served).encode())

    async def add(self, **changes: Any) -> Client:
        client = replace(
            Client(
                f"backend-{secrets.token_hex(6)}", "backend", ORGANIZATION, scope="system/*.rs", jwks=KEYS, name="Back"
            ),
            **changes,
        )
        async with self.database.platform() as connection:
            return await ClientRepository(connection).insert(client)

    def claims(self, client: Client, **changes: Any) -> dict[str, Any]:
        made = {
            "iss": client.id,
            "sub": client.id,
            "aud": TOKEN_URL,
            "exp": self.seconds + 300,
            "jti": secrets.token_hex(16),
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not ...}

    async def send(self, assertion: str, **more: str) -> Client:
        form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        found = await client_of_assertion(self, {**form, **more})  # type: ignore[arg-type]
        async with self.database.platform() as connection:
            return await ClientRepository(connection).get(found.id)

    async def refuses(self, assertion: str, **more: str) -> None:
        with pytest.raises(InvalidClient) as refused:
            await self.send(assertion, **more)
        assert refused.value.description == InvalidClient().description  # J6: the same words always


def signed(
    claims: Mapping[str, Any], key: Any = RSA, alg: str = "RS384", kid: str | None = "rsa", **header: Any
) -> str:
    members = {"alg": alg, "typ": "JWT", **({} if kid is None else {"kid": kid}), **header}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jws.serialize_compact(members, json.dumps(claims).encode(), key, registry=registry)


def segment(document: object) -> str:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.fixture
async def service(database: Database) -> Service:
    return Service(database)


async def test_smart_J1_RS384_and_ES384_are_taken(service: Service):
    client = await service.add()
    assert await service.send(signed(service.claims(client))) == client
    assert await service.send(signed(service.claims(client), P384, "ES384", "ec")) == client


async def test_smart_T4_the_client_comes_from_iss_and_a_client_id_beside_it_must_be_the_same(service: Service):
    client = await service.add()
    assert await service.send(signed(service.claims(client)), client_id=client.id) == client
    await service.refuses(signed(service.claims(client)), client_id="another")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"])
async def test_smart_J1_typ_says_what_it_is(service: Service, typ: str):
    client = await service.add()
    assert await service.send(signed(service.claims(client), typ=typ)) == client


async def test_smart_J1_typ_may_be_absent(service: Service):
    client = await service.add()
    token = jws.serialize_compact(
        {"alg": "RS384", "kid": "rsa"}, json.dumps(service.claims(client)).encode(), RSA, algorithms=["RS384"]
    )
    assert await service.send(token) == client


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", 7])
async def test_security_OA7_another_kind_of_token_is_no_assertion(service: Service, typ: object):
    client = await service.add()
    header = {"alg": "RS384", "kid": "rsa", "typ": typ}
    await service.refuses(_by_hand(header, service.claims(client)))


def _by_hand(header: object, claims: object, key: RSAPrivateKey = RSA.private_key) -> str:
    """Return a token with any header, signed with RS384 whatever it says."""
    signing = f"{segment(header)}.{segment(claims)}"
    return f"{signing}.{segment(key.sign(signing.encode(), PKCS1v15(), SHA384()))}"


async def test_what_is_signed_by_hand_is_taken_when_nothing_is_wrong_with_it(service: Service):
    client = await service.add()
    assert await service.send(_by_hand({"alg": "RS384", "kid": "rsa"}, service.claims(client))) == client


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS384", "HS256", "HS384", "none", "None", "", "ES256", 5, None])
async def test_smart_J1_every_other_algorithm_is_refused(service: Service, alg: object):
    client = await service.add()
    await service.refuses(_by_hand({"alg": alg, "kid": "rsa"}, service.claims(client)))


async def test_smart_16_alg_none_without_a_signature_is_refused(service: Service):
    client = await service.add()
    for signature in ("", "AA"):
        head = segment({"alg": "none", "kid": "rsa"})
        await service.refuses(f"{head}.{segment(service.claims(client))}.{signature}")


async def test_smart_16_an_HMAC_with_the_public_key_is_refused(service: Service):
    client = await service.add()
    for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        signing = f"{segment({'alg': alg, 'kid': 'rsa'})}.{segment(service.claims(client))}"
        signature = hmac.digest(RSA.as_pem(private=False), signing.encode(), digest)
        await service.refuses(f"{signing}.{segment(signature)}")


async def test_smart_J1_a_kid_is_required_and_must_be_known(service: Service):
    client = await service.add()
    for kid in (None, "", "unknown", "../../rsa", "rsa\x00", "rsa'--"):
        await service.refuses(signed(service.claims(client), kid=kid))
    await service.refuses(_by_hand({"alg": "RS384", "kid": 5}, service.claims(client)))


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": False}, {"crit": []}])
async def test_smart_J1_crit_is_refused(service: Service, header: dict[str, Any]):
    client = await service.add()
    await service.refuses(_by_hand({"alg": "RS384", "kid": "rsa", **header}, service.claims(client)))


@pytest.mark.parametrize("name", ["jwk", "x5u", "x5c"])
async def test_smart_J7_an_embedded_key_is_refused(service: Service, name: str):
    client = await service.add()
    values = {"jwk": public(OTHER_RSA, "rsa"), "x5u": "https://evil.example/cert", "x5c": ["MIIB"]}
    for key in (RSA.private_key, OTHER_RSA.private_key):
        header = {"alg": "RS384", "kid": "rsa", name: values[name]}
        await service.refuses(_by_hand(header, service.claims(client), key))
    assert service.fetched == []


async def test_smart_J4_jku_must_be_the_registered_address_and_is_never_fetched(service: Service):
    service.served = KEYS
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    inline = await service.add()
    assert await service.send(signed(service.claims(client), jku=JWKS_URI)) == client
    for jku in ("https://evil.example/jwks", f"{JWKS_URI}/", JWKS_URI.upper(), "", None, [JWKS_URI]):
        await service.refuses(_by_hand({"alg": "RS384", "kid": "rsa", "jku": jku}, service.claims(client)))
    await service.refuses(signed(service.claims(inline), jku=JWKS_URI))
    assert set(service.fetched) == {JWKS_URI}


async def test_smart_J4_keys_come_from_the_registered_address(service: Service):
    service.served = {"keys": [public(OTHER_RSA, "there")]}
    client = await service.add(jwks=KEYS, jwks_uri=JWKS_URI)
    assert await service.send(signed(service.claims(client), OTHER_RSA, kid="there")) == client
    await service.refuses(signed(service.claims(client)))


async def test_smart_J4_no_keys_no_client(service: Service):
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    await service.refuses(signed(service.claims(client)))
    bare = await service.add(jwks=None)
    await service.refuses(signed(service.claims(bare)))


@pytest.mark.parametrize(
    "keys",
    [
        [public(RSA, "rsa"), public(OTHER_RSA, "rsa")],
        [public(RSA, "rsa", use="enc")],
        [public(RSA, "rsa", key_ops=["encrypt"])],
        [public(RSA, "rsa", key_ops="verify")],
        [public(RSA, "rsa", alg="RS256")],
        [public(P384, "rsa")],
        [{"kty": "RSA", "kid": "rsa"}],
        [{"kty": "RSA", "kid": "rsa", "n": "!", "e": 5}],
        [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}],
        [public(OTHER_RSA, "rsa")],
        [],
    ],
)
async def test_smart_J4_exactly_one_fitting_key_has_the_kid(service: Service, keys: list[dict[str, Any]]):
    service.served = {"keys": keys}
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    await service.refuses(signed(service.claims(client)))


async def test_smart_J4_one_kid_may_name_keys_of_two_kinds(service: Service):
    service.served = {"keys": [public(RSA, "same"), public(P384, "same")]}
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    assert await service.send(signed(service.claims(client), P384, "ES384", "same")) == client
    assert await service.send(signed(service.claims(client), RSA, "RS384", "same")) == client


async def test_smart_J4_a_small_RSA_key_is_refused(service: Service):
    modulus = SMALL_RSA.public_key().public_numbers().n
    service.served = {"keys": [{"kty": "RSA", "kid": "rsa", "n": segment(modulus.to_bytes(128)), "e": "AQAB"}]}
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    await service.refuses(_by_hand({"alg": "RS384", "kid": "rsa"}, service.claims(client), SMALL_RSA))


async def test_smart_J4_ES384_is_for_P_384_only(service: Service):
    service.served = {"keys": [public(P256, "ec")]}
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    signing = f"{segment({'alg': 'ES384', 'kid': 'ec'})}.{segment(service.claims(client))}"
    r, s = decode_dss_signature(P256.private_key.sign(signing.encode(), ECDSA(SHA384())))
    for size in (32, 48):
        await service.refuses(f"{signing}.{segment(r.to_bytes(size, 'big') + s.to_bytes(size, 'big'))}")


async def test_smart_16_a_point_that_is_not_on_the_curve_is_refused(service: Service):
    good = public(P384, "ec")
    y = bytearray(base64.urlsafe_b64decode(good["y"] + "=="))
    y[-1] ^= 1
    service.served = {"keys": [{**good, "y": segment(bytes(y))}]}
    client = await service.add(jwks=None, jwks_uri=JWKS_URI)
    await service.refuses(signed(service.claims(client), P384, "ES384", "ec"))


async def test_an_ES384_signature_of_zeros_is_refused(service: Service):
    client = await service.add()
    signing = f"{segment({'alg': 'ES384', 'kid': 'ec'})}.{segment(service.claims(client))}"
    await service.refuses(f"{signing}.{segment(bytes(96))}")


@pytest.mark.parametrize(
    "change",
    [
        {"iss": ...},
        {"sub": ...},
        {"sub": "another"},
        {"iss": "nobody"},
        {"iss": "a\0b"},
        {"iss": "\ud800"},
        {"iss": "x" * 3000},
        {"jti": "a\0b"},
        {"jti": "\udfff"},
        {"iss": ["x"]},
        {"aud": ...},
        {"aud": BASE},
        {"aud": f"{TOKEN_URL}/"},
        {"aud": f"{BASE}/fhir"},
        {"aud": []},
        {"aud": [f"{TOKEN_URL}?"]},
        {"aud": {TOKEN_URL: 1}},
        {"jti": ...},
        {"jti": ""},
        {"jti": 5},
        {"jti": "x" * 513},
    ],
)
async def test_smart_J2_claims_are_required(service: Service, change: dict[str, Any]):
    client = await service.add()
    await service.refuses(signed(service.claims(client, **change)))


async def test_smart_J2_aud_may_be_a_list_that_holds_it(service: Service):
    client = await service.add()
    assert await service.send(signed(service.claims(client, aud=["https://other.example", TOKEN_URL]))) == client


@pytest.mark.parametrize("ahead", [1, 299.5, 300, 360])
async def test_smart_J2_exp_may_be_five_minutes_and_the_skew_ahead(service: Service, ahead: float):
    client = await service.add()
    assert await service.send(signed(service.claims(client, exp=service.seconds + ahead))) == client


@pytest.mark.parametrize("ahead", [361, 3600, 10**12, 0, -1, -3600])
async def test_smart_J2_exp_too_far_ahead_or_past_is_refused(service: Service, ahead: int):
    client = await service.add()
    await service.refuses(signed(service.claims(client, exp=service.seconds + ahead)))


@pytest.mark.parametrize("value", [..., None, "soon", True, [], {}])
async def test_smart_J2_exp_is_required_and_a_number(service: Service, value: object):
    client = await service.add()
    await service.refuses(signed(service.claims(client, exp=value)))


@pytest.mark.parametrize("name", ["nbf", "iat"])
async def test_smart_J2_nbf_and_iat_are_respected(service: Service, name: str):
    client = await service.add()
    assert await service.send(signed(service.claims(client, **{name: service.seconds + 60}))) == client
    for value in (service.seconds + 61, "now", None, True):
        await service.refuses(signed(service.claims(client, **{name: value})))


async def test_smart_J3_an_assertion_counts_once(service: Service):
    client = await service.add()
    assertion = signed(service.claims(client))
    assert await service.send(assertion) == client
    await service.refuses(assertion)
    jti = secrets.token_hex(8)
    assert await service.send(signed(service.claims(client, jti=jti))) == client
    await service.refuses(signed(service.claims(client, jti=jti, exp=service.seconds + 200)))


async def test_smart_J3_of_many_at_once_one_wins(service: Service):
    client = await service.add()
    assertion = signed(service.claims(client))
    answers = await asyncio.gather(*(service.send(assertion) for _ in range(20)), return_exceptions=True)
    assert [answer for answer in answers if answer == client] == [client]
    assert all(answer == client or isinstance(answer, InvalidClient) for answer in answers)


async def test_smart_J3_ids_are_each_clients_own_and_come_again_after_they_expired(service: Service):
    first, second = await service.add(), await service.add()
    assert await service.send(signed(service.claims(first, jti="one"))) == first
    assert await service.send(signed(service.claims(second, jti="one"))) == second
    service.seconds += 363
    assert await service.send(signed(service.claims(first, jti="one"))) == first
    await service.refuses(signed(service.claims(first, jti="one")))


async def test_security_OA9_nobody_else_uses_up_a_clients_ids(service: Service):
    client = await service.add()
    claims = service.claims(client)
    await service.refuses(signed(claims, OTHER_RSA))
    await service.refuses(signed({**claims, "aud": "https://other.example"}))
    assert await service.send(signed(claims)) == client


async def test_smart_R6_a_disabled_client_is_refused(service: Service):
    client = await service.add(is_active=False)
    await service.refuses(signed(service.claims(client)))


async def test_security_OA8_a_client_of_a_disabled_organization_is_refused(service: Service):
    client = await service.add(organization_id=OTHER_ORGANIZATION)
    own = organizations.c.id == OTHER_ORGANIZATION
    for is_active in (False, True):
        async with service.database.platform() as connection:
            await connection.execute(organizations.update().where(own).values(is_active=is_active))
        if not is_active:
            await service.refuses(signed(service.claims(client)))
    assert await service.send(signed(service.claims(client))) == client


async def test_a_public_client_has_no_keys_to_prove_anything_with(service: Service):
    client = await service.add(type="public")
    await service.refuses(signed(service.claims(client)))


async def test_a_confidential_client_may_use_keys(service: Service):
    client = await service.add(type="confidential")
    assert await service.send(signed(service.claims(client))) == client


@pytest.mark.parametrize("kind", [None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "jwt-bearer"])
async def test_smart_T9_a_wrong_type_of_assertion_is_refused(service: Service, kind: str | None):
    client = await service.add()
    form = {"client_assertion": signed(service.claims(client))} | (
        {} if kind is None else {"client_assertion_type": kind}
    )
    with pytest.raises(InvalidClient):
        await client_of_assertion(service, form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
        "..",
        "é.b.c",
        "eyJ hbGciOiJSUzM4NCJ9.e30.AA",
        f"{segment(b'[]')}.{segment({})}.AA",
        f"{segment(b'null')}.{segment({})}.AA",
        f"{segment(bytes([255]))}.{segment({})}.AA",
        f"{segment(b'[' * 3000)}.{segment({})}.AA",
        f"{segment({'alg': 'RS384', 'kid': 'rsa'})}.{segment([])}.AA",
        f"{segment({'alg': 'RS384', 'kid': 'rsa'})}.{segment({})}.AA",
        segment({"alg": "RS384", "kid": "rsa"}) + "." + segment(b'{"iss":NaN}') + ".AA",
    ],
)
async def test_smart_T9_what_is_no_JWT_is_refused(service: Service, text: str):
    await service.refuses(text)


async def test_a_name_that_is_there_twice_is_refused(service: Service):
    client = await service.add()
    claims = json.dumps(service.claims(client))
    twice = ('{"iss":"somebody",' + claims[1:]).encode()
    await service.refuses(_by_hand({"alg": "RS384", "kid": "rsa"}, twice))
    await service.refuses(_by_hand(b'{"alg":"none","alg":"RS384","kid":"rsa"}', service.claims(client)))


async def test_smart_16_a_huge_JWT_is_refused(service: Service):
    client = await service.add()
    token = signed(service.claims(client, more="x" * 8192))
    assert len(token) > 8192
    await service.refuses(token)


async def test_an_altered_assertion_is_refused(service: Service):
    client, victim = await service.add(), await service.add()
    head, _, signature = signed(service.claims(client)).split(".")
    await service.refuses(f"{head}.{segment(service.claims(victim))}.{signature}")
