"""Apps that register themselves (RFC 7591; smart.md R4, R5; security OA-14)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from fhir_server.oauth.passwords import CLIENT_SECRETS, client_secret_fits
from fhir_server.settings import SelfRegistration
from storage.authorization.opaque import new_opaque
from storage.authorization.registration_tokens import add_registration_token
from storage.engine import Database, create_database
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository
from storage.tables.authorization import sign_in_failures
from storage.tables.platform import organizations
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.site import Site, running_site

ADDRESS = "/oauth/register"
PUBLIC = {
    "client_name": "Growth charts",
    "redirect_uris": ["https://app.example/cb"],
    "token_endpoint_auth_method": "none",
    "scope": "launch/patient openid fhirUser offline_access patient/*.rs",
}
CONFIDENTIAL = {**PUBLIC, "token_endpoint_auth_method": "client_secret_basic"}
KEY = RSAKey.generate_key(2048, private=True)
KEYS = {"keys": [{**KEY.as_dict(private=False), "kid": "a"}]}
SIGNED = {**PUBLIC, "token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS}


class Registrar:
    """A server, and the operator who hands out tokens."""

    def __init__(self, site: Site, database: Database) -> None:
        self.site = site
        self.database = database
        self.http = httpx.AsyncClient(base_url=site.settings.base_url, verify=False)

    async def token(self, organization: str = ORGANIZATION, seconds: int = 60) -> str:
        made, now = new_opaque(), int(time.time())
        async with self.database.platform() as connection:
            await add_registration_token(connection, made, organization, now, now + seconds)
        return made

    async def ask(self, document: Any, token: str | None = "", **more: Any) -> httpx.Response:
        """Register with a fresh token; no counting of attempts comes in between."""
        async with self.database.platform() as connection:
            await connection.execute(sign_in_failures.delete())
        bearer = await self.token() if token == "" else token
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        headers["Content-Type"] = "application/json"
        return await self.http.post(ADDRESS, content=json.dumps(document), headers=headers, **more)

    async def stored(self, answer: httpx.Response) -> Client:
        assert answer.status_code == 201, answer.text
        async with self.database.platform() as connection:
            return await ClientRepository(connection).get(answer.json()["client_id"])

    async def refused(self, document: Any, error: str) -> str:
        answer = await self.ask(document)
        assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text
        return str(answer.json()["error_description"])


@pytest.fixture(scope="module")
def with_tokens(database_url: str) -> Iterator[Site]:
    with running_site(database_url, registration=SelfRegistration.TOKEN) as made:
        yield made


@pytest.fixture
async def registrar(with_tokens: Site) -> AsyncIterator[Registrar]:
    database = create_database(with_tokens.settings.database_url)
    await database.open()
    made = Registrar(with_tokens, database)
    yield made
    await made.http.aclose()
    await database.close()


async def test_smart_R4_a_public_app_registers_itself(registrar: Registrar):
    before = int(time.time())
    answer = await registrar.ask({**PUBLIC, "launch_uris": ["https://app.example/launch"], "software_id": "charts"})
    client = await registrar.stored(answer)
    told = answer.json()
    assert before <= told.pop("client_id_issued_at") <= time.time()
    assert told.pop("client_id") == client.id
    assert told == {
        "client_name": "Growth charts",
        "redirect_uris": ["https://app.example/cb"],
        "launch_uris": ["https://app.example/launch"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "web",
        "scope": PUBLIC["scope"],
        "software_id": "charts",
    }
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert (client.type, client.organization_id, client.origins) == ("public", ORGANIZATION, ("https://app.example",))
    assert client.is_dynamic
    assert client.is_active


async def test_security_OA14_nobody_vouches_for_an_app_that_registered_itself(registrar: Registrar):
    more = {"is_verified": True, "may_introspect": True, "is_partner": True, "type": "backend", "client_id": "mine"}
    client = await registrar.stored(await registrar.ask({**PUBLIC, **more}))
    assert (client.is_verified, client.may_introspect, client.is_partner) == (False, False, False)
    assert (client.type, client.id == "mine") == ("public", False)


async def test_smart_R4_an_app_with_a_secret_is_told_it_once(registrar: Registrar):
    answer = await registrar.ask(CONFIDENTIAL)
    client = await registrar.stored(answer)
    told = answer.json()
    assert told["client_secret_expires_at"] == 0
    assert client.type == "confidential"
    assert client.secret is not None
    assert told["client_secret"] not in client.secret
    assert client_secret_fits(registrar.site.settings.derive(CLIENT_SECRETS), told["client_secret"], client.secret)
    assert client.origins == ()


async def test_smart_R4_a_secret_is_what_is_meant_where_nothing_is_said(registrar: Registrar):
    answer = await registrar.ask({"redirect_uris": ["https://app.example/cb"]})
    assert answer.json()["token_endpoint_auth_method"] == "client_secret_basic"
    assert answer.json()["grant_types"] == ["authorization_code"]
    assert (await registrar.stored(answer)).scope == "launch launch/patient openid fhirUser patient/*.rs"


@pytest.mark.parametrize("keys", [{"jwks": KEYS}, {"jwks_uri": "https://app.example/jwks"}])
async def test_smart_R4_an_app_with_keys_gets_no_secret(registrar: Registrar, keys: dict[str, Any]):
    document = {**PUBLIC, "token_endpoint_auth_method": "private_key_jwt", **keys}
    answer = await registrar.ask(document)
    client = await registrar.stored(answer)
    assert "client_secret" not in answer.json()
    assert client.secret is None
    assert {name: getattr(client, name) for name in keys} == keys
    assert {name: answer.json()[name] for name in keys} == keys


async def test_a_native_app_has_its_own_scheme_and_loopback_addresses(registrar: Registrar):
    uris = ["com.example.app:/cb", "http://127.0.0.1/cb"]
    client = await registrar.stored(
        await registrar.ask({**PUBLIC, "application_type": "native", "redirect_uris": uris})
    )
    assert (client.is_native, client.redirect_uris) == (True, tuple(uris))


async def test_members_that_nobody_understands_are_left_alone(registrar: Registrar):
    answer = await registrar.ask({**PUBLIC, "client_name#fr": "Courbes", "subject_type": "pairwise"})
    assert {"client_name#fr", "subject_type"}.isdisjoint(answer.json())


@pytest.mark.parametrize(
    "uris",
    [
        None, [], "https://app.example/cb", [1], [""], ["https://app.example/cb", None], ["http://app.example/cb"],
        ["https://app.example/cb#x"], ["https://*.example/cb"], ["https://u@app.example/"], ["/cb"],
        ["javascript:alert(1)"], ["data:text/html,x"], ["https://app.example/\r\nx"], ["https://a.example/"] * 21,
        ["https://a.example/" + "x" * 2000],
    ],
)  # fmt: skip
async def test_smart_R4_redirect_uris_that_cannot_be_used(registrar: Registrar, uris: object):
    document = {**PUBLIC, "redirect_uris": uris}
    if uris is None:
        del document["redirect_uris"]
    await registrar.refused(document, "invalid_redirect_uri")


async def test_smart_R3_an_app_with_a_secret_has_no_scheme_of_its_own(registrar: Registrar):
    await registrar.refused({**CONFIDENTIAL, "redirect_uris": ["com.example.app:/cb"]}, "invalid_redirect_uri")


@pytest.mark.parametrize(
    "change",
    [
        {"token_endpoint_auth_method": "client_secret_post"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": 5},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["implicit"]},
        {"grant_types": ["password"]},
        {"grant_types": "authorization_code"},
        {"response_types": ["token"]},
        {"response_types": ["code token"]},
        {"scope": "system/*.rs"},
        {"scope": "patient/*.rs system/Patient.rs"},
        {"scope": "patient/Nothing.rs"},
        {"scope": ""},
        {"scope": " "},
        {"scope": 5},
        {"client_name": ""},
        {"client_name": "x" * 81},
        {"client_name": "Loop\u202egnihsihp"},
        {"client_name": "a\x00b"},
        {"software_id": "a\x00b"},
        {"contacts": ["\ud800"]},
        {"unknown": {"a": ["\x00"]}},
        {"client_uri": "https://app.example/\x00"},
        {"client_name": ["x"]},
        {"logo_uri": "http://app.example/logo.png"},
        {"logo_uri": "javascript:alert(1)"},
        {"logo_uri": "data:image/png;base64,AA"},
        {"client_uri": "javascript:alert(1)"},
        {"tos_uri": "nonsense"},
        {"policy_uri": 5},
        {"contacts": "me"},
        {"launch_uris": ["http://app.example/launch"]},
        {"launch_uris": ["com.example.app:/launch"]},
        {"launch_uris": "https://app.example/launch"},
        {"jwks": KEYS},
        {"jwks_uri": "https://app.example/jwks"},
    ],
)
async def test_smart_R4_metadata_that_cannot_be_used(registrar: Registrar, change: dict[str, Any]):
    said = await registrar.refused({**PUBLIC, **change}, "invalid_client_metadata")
    assert not any(str(value) in said for value in change.values() if len(str(value)) > 8)


@pytest.mark.parametrize(
    "change",
    [
        {"jwks": ...},
        {"jwks_uri": "https://app.example/jwks"},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [{**KEY.as_dict(private=True), "kid": "a"}]}},
        {"jwks": {"keys": [KEY.as_dict(private=False)]}},
        {"jwks": {"keys": [{**ECKey.generate_key("P-256").as_dict(private=False), "kid": "a"}]}},
        {"jwks": {"keys": [{**OctKey.generate_key(256).as_dict(), "kid": "a"}]}},
        {"jwks": {"keys": [{"kty": "RSA", "kid": "a"}]}},
        {"jwks": {"keys": [5]}},
        {"jwks": "keys"},
        {"jwks": {"keys": KEYS["keys"] * 21}},
    ],
)
async def test_smart_R4_keys_that_cannot_be_used(registrar: Registrar, change: dict[str, Any]):
    document = {name: value for name, value in {**SIGNED, **change}.items() if value is not ...}
    await registrar.refused(document, "invalid_client_metadata")


@pytest.mark.parametrize(
    "address",
    [
        "http://app.example/jwks",
        "http://127.0.0.1/jwks",
        "https://127.0.0.1/jwks",
        "https://localhost/jwks",
        "https://10.0.0.1/jwks",
        "https://[::1]/jwks",
        "https://[::ffff:10.0.0.1]/jwks",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
)
async def test_smart_R5_an_address_of_keys_that_is_not_public_is_refused(registrar: Registrar, address: str):
    document = {name: value for name, value in {**SIGNED, "jwks_uri": address}.items() if name != "jwks"}
    await registrar.refused(document, "invalid_client_metadata")


async def test_smart_R4_software_statements_are_not_taken(registrar: Registrar):
    await registrar.refused({**PUBLIC, "software_statement": "e30.e30."}, "invalid_software_statement")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"a":', b"\xff", b'{"scope":"a","scope":"b"}', b"[" * 30_000])
async def test_what_is_no_JSON_object_is_refused(registrar: Registrar, body: bytes):
    headers = {"Authorization": f"Bearer {await registrar.token()}", "Content-Type": "application/json"}
    answer = await registrar.http.post(ADDRESS, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
    async with registrar.database.platform() as connection:
        await connection.execute(sign_in_failures.delete())


async def test_other_content_types_and_large_bodies_are_refused(registrar: Registrar):
    headers = {"Authorization": f"Bearer {await registrar.token()}"}
    form = await registrar.http.post(ADDRESS, data=PUBLIC, headers=headers)
    large = await registrar.http.post(ADDRESS, json={**PUBLIC, "x": "x" * 70_000}, headers=headers)
    assert {(each.status_code, each.json()["error"]) for each in (form, large)} == {(400, "invalid_request")}
    assert (await registrar.http.get(ADDRESS)).status_code == 405


@pytest.mark.parametrize("token", [None, "nonsense", "a.b.c", "x" * 5000])
async def test_security_OA14_without_an_initial_access_token_nobody_registers(registrar: Registrar, token: str | None):
    answer = await registrar.ask(PUBLIC, token)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_security_OA14_an_access_token_is_no_registration_token(registrar: Registrar):
    assert (await registrar.ask(PUBLIC, registrar.site.token())).status_code == 401


async def test_security_OA14_an_initial_access_token_is_good_for_one_app_of_its_organization(registrar: Registrar):
    token = await registrar.token(OTHER_ORGANIZATION)
    assert (await registrar.ask({**PUBLIC, "scope": "system/*.rs"}, token)).status_code == 400  # it is not used up
    client = await registrar.stored(await registrar.ask(CONFIDENTIAL, token))
    assert client.organization_id == OTHER_ORGANIZATION
    assert (await registrar.ask(CONFIDENTIAL, token)).status_code == 401


async def test_security_OA14_of_many_with_one_token_one_registers(registrar: Registrar):
    token = await registrar.token()
    answers = await asyncio.gather(*(registrar.ask(PUBLIC, token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201, *[401] * 7]


async def test_security_OA14_an_expired_token_is_no_good(registrar: Registrar):
    assert (await registrar.ask(PUBLIC, await registrar.token(seconds=0))).status_code == 401


async def test_security_OA14_a_token_of_a_disabled_organization_is_no_good(registrar: Registrar):
    token = await registrar.token(OTHER_ORGANIZATION)
    own = organizations.c.id == OTHER_ORGANIZATION
    async with registrar.database.platform() as connection:
        await connection.execute(organizations.update().where(own).values(is_active=False))
    try:
        assert (await registrar.ask(PUBLIC, token)).status_code == 401
    finally:
        async with registrar.database.platform() as connection:
            await connection.execute(organizations.update().where(own).values(is_active=True))


async def test_security_RL1_attempts_from_one_address_are_slowed_down(registrar: Registrar):
    await registrar.ask(PUBLIC, "wrong")
    headers = {"Authorization": "Bearer wrong"}
    answers = [await registrar.http.post(ADDRESS, json=PUBLIC, headers=headers) for _ in range(21)]
    assert [answer.status_code for answer in answers[:19]] == [401] * 19
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await registrar.ask(PUBLIC)).status_code == 201  # forgotten by the test


async def test_smart_D11_discovery_names_the_address_where_it_is_served(registrar: Registrar):
    for path in ("/fhir/.well-known/smart-configuration", "/.well-known/oauth-authorization-server"):
        told = (await registrar.http.get(path)).json()
        assert told["registration_endpoint"] == f"{registrar.site.settings.base_url}{ADDRESS}"


def test_security_OA14_registration_is_off_by_default_and_may_be_open(fresh_database_url: str):
    with running_site(fresh_database_url) as closed:
        assert httpx.post(f"{closed.settings.base_url}{ADDRESS}", json=PUBLIC).status_code == 404
        told = httpx.get(f"{closed.settings.base_url}/.well-known/oauth-authorization-server").json()
        assert "registration_endpoint" not in told
    with running_site(fresh_database_url, registration=SelfRegistration.OPEN) as site:

        def ask(document: dict[str, Any]) -> httpx.Response:
            return httpx.post(f"{site.settings.base_url}{ADDRESS}", json=document)

        assert ask({**PUBLIC, "scope": "system/*.rs"}).status_code == 400
        answers = {
            kind: ask({**PUBLIC, "token_endpoint_auth_method": kind}) for kind in ("none", "client_secret_basic")
        }
        assert {answer.status_code for answer in answers.values()} == {201}
        owners = asyncio.run(_organizations(fresh_database_url, answers["none"], answers["client_secret_basic"]))
        assert owners == [None, ORGANIZATION]
        with ThreadPoolExecutor(8) as pool:
            many = [answer.status_code for answer in pool.map(lambda _: ask(PUBLIC), range(30))]
        assert 429 in many


async def _organizations(url: str, *answers: httpx.Response) -> list[str | None]:
    database = create_database(url)
    await database.open()
    async with database.platform() as connection:
        clients = [await ClientRepository(connection).get(answer.json()["client_id"]) for answer in answers]
    await database.close()
    return [client.organization_id for client in clients]
