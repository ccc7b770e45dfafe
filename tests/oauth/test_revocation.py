"""Revocation (RFC 7009, `smart.md` V1): a client gives back what is its own, and learns nothing of what is not."""

from __future__ import annotations

import httpx
import pytest

from storage.engine import Database
from storage.repositories.entities import Client
from tests.oauth.granting import SECRET, Granted, Person, grant, new_client, refresh_form, refused
from tests.oauth.test_token_endpoint import basic, exchange
from tests.site import Site, site

__all__ = ["site"]


@pytest.fixture(scope="module")
async def app(database: Database) -> Client:
    return await new_client(database)


@pytest.fixture
async def granted(database: Database, app: Client, person: Person) -> Granted:
    return await grant(database, app, person)


@pytest.fixture
def tokens(http: httpx.Client, granted: Granted) -> dict[str, str]:
    found: dict[str, str] = exchange(http, granted).json()
    return found


def revoke(http: httpx.Client, client: Client, token: str, **more: str) -> httpx.Response:
    return http.post("/oauth/revoke", data={"token": token, "client_id": client.id, **more})


def works(site: Site, token: str) -> bool:
    status = httpx.get(f"{site.base}/Patient", headers={"Authorization": f"Bearer {token}"}).status_code
    assert status in {200, 401}
    return status == 200


def refreshes(http: httpx.Client, client: Client, token: str) -> bool:
    return http.post("/oauth/token", data=refresh_form(client, token)).status_code == 200


@pytest.mark.parametrize("hint", [{}, {"token_type_hint": "refresh_token"}, {"token_type_hint": "access_token"}])
def test_smart_V1_a_refresh_token_takes_its_family_along(
    http: httpx.Client, site: Site, app: Client, tokens: dict[str, str], hint: dict[str, str]
):
    assert works(site, tokens["access_token"])
    answer = revoke(http, app, tokens["refresh_token"], **hint)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert not works(site, tokens["access_token"])
    refused(http.post("/oauth/token", data=refresh_form(app, tokens["refresh_token"])), "invalid_grant")


def test_smart_V1_an_access_token_goes_alone(http: httpx.Client, site: Site, app: Client, tokens: dict[str, str]):
    assert revoke(http, app, tokens["access_token"]).status_code == 200
    assert not works(site, tokens["access_token"])
    assert refreshes(http, app, tokens["refresh_token"])


def test_smart_V1_a_rotated_refresh_token_still_ends_the_family(
    http: httpx.Client, site: Site, app: Client, tokens: dict[str, str]
):
    second = http.post("/oauth/token", data=refresh_form(app, tokens["refresh_token"])).json()
    assert revoke(http, app, tokens["refresh_token"]).status_code == 200
    assert not works(site, second["access_token"])


@pytest.mark.parametrize("token", ["unknown", "a.b.c", "é"])
def test_smart_V1_unknown_tokens_are_200(http: httpx.Client, app: Client, token: str):
    assert revoke(http, app, token).status_code == 200


def test_smart_V1_twice_is_200(http: httpx.Client, app: Client, tokens: dict[str, str]):
    for _ in range(2):
        assert revoke(http, app, tokens["refresh_token"]).status_code == 200
        assert revoke(http, app, tokens["access_token"]).status_code == 200


async def test_smart_V1_another_clients_tokens_are_200_and_nothing_happens(
    database: Database, http: httpx.Client, site: Site, app: Client, tokens: dict[str, str]
):
    other = await new_client(database)
    own = revoke(http, other, "unknown")
    for name in ("access_token", "refresh_token"):
        answer = revoke(http, other, tokens[name])
        assert (answer.status_code, answer.content) == (own.status_code, own.content)
    assert works(site, tokens["access_token"])
    assert refreshes(http, app, tokens["refresh_token"])


async def test_smart_V1_a_confidential_client_authenticates(
    database: Database, http: httpx.Client, site: Site, person: Person
):
    client = await new_client(database, site.settings, type="confidential")
    asked = await grant(database, client, person)
    headers = basic(client.id, SECRET)
    tokens = http.post("/oauth/token", data=asked.form(), headers=headers).json()
    refused(revoke(http, client, tokens["access_token"]), "invalid_client", 401)
    assert works(site, tokens["access_token"])
    assert http.post("/oauth/revoke", data={"token": tokens["access_token"]}, headers=headers).status_code == 200
    assert not works(site, tokens["access_token"])


def test_smart_V1_nobody_is_401(http: httpx.Client, tokens: dict[str, str]):
    refused(http.post("/oauth/revoke", data={"token": tokens["access_token"]}), "invalid_client", 401)


def test_smart_V1_other_kinds_of_token_are_unsupported(http: httpx.Client, app: Client, tokens: dict[str, str]):
    answer = revoke(http, app, tokens["id_token"], token_type_hint="id_token")
    refused(answer, "unsupported_token_type")


def test_smart_V1_a_request_without_token_is_invalid(http: httpx.Client, app: Client):
    refused(revoke(http, app, ""), "invalid_request")
    assert http.get("/oauth/revoke").status_code == 405
