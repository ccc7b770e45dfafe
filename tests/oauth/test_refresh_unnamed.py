"""A public client may refresh without its id, as SMART App Launch 2.2 has it; nobody else gets in that way (F1)."""

from __future__ import annotations

import httpx
import pytest

from storage.engine import Database
from tests.oauth.granting import SECRET, grant, new_client, new_person
from tests.oauth.test_token_endpoint import basic, exchange
from tests.site import Site, site

__all__ = ["site"]


def refresh(http: httpx.Client, token: str, **more: str) -> httpx.Response:
    return http.post("/oauth/token", data={"grant_type": "refresh_token", "refresh_token": token} | more)


async def test_smart_F1_a_public_client_is_known_by_its_token(http: httpx.Client, database: Database):
    granted = await grant(database, await new_client(database), await new_person(database))
    first = exchange(http, granted).json()["refresh_token"]
    answer = refresh(http, first)
    assert answer.status_code == 200, answer.text
    assert answer.json()["refresh_token"] != first
    again = refresh(http, first)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refresh(http, answer.json()["refresh_token"]).status_code == 400


async def test_smart_F1_a_confidential_client_is_not(http: httpx.Client, database: Database, site: Site):
    client = await new_client(database, site.settings, type="confidential")
    granted = await grant(database, client, await new_person(database))
    sent = granted.form(client_id=None)
    first = http.post("/oauth/token", data=sent, headers=basic(client.id, SECRET)).json()["refresh_token"]
    answer = refresh(http, first)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert refresh(http, first, client_id=client.id).status_code == 401
    assert http.post(
        "/oauth/token",
        data={"grant_type": "refresh_token", "refresh_token": first},
        headers=basic(client.id, SECRET),
    ).is_success  # it was not used up by the others


async def test_smart_F1_another_client_is_not_helped(http: httpx.Client, database: Database):
    client = await new_client(database)
    granted = await grant(database, client, await new_person(database))
    first = exchange(http, granted).json()["refresh_token"]
    other = await new_client(database)
    answer = refresh(http, first, client_id=other.id)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize("token", ["unknown", "x" * 43, "ü"])
def test_smart_F5_an_unknown_token_names_nobody(http: httpx.Client, token: str):
    answer = refresh(http, token)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"invalid_client", "invalid_grant"}
