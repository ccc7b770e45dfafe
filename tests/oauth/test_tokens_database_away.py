"""Token endpoints while the database is away: 503 with Retry-After, and an unspent code is good afterwards (DU-7)."""

from __future__ import annotations

import time

import httpx

from storage.engine import create_database
from storage.rls import ROLE
from tests.http.test_database_away import own_site, shut
from tests.oauth.granting import grant, new_client, new_person
from tests.postgres import PostgresServer
from tests.site import Site

__all__ = ["own_site"]


async def test_security_DU7_a_code_is_not_lost_while_the_database_is_away(own_site: Site, postgres: PostgresServer):
    database = create_database(own_site.settings.database_url, role=ROLE)
    await database.open()
    asked = await grant(database, await new_client(database), await new_person(database))
    await database.close()
    with httpx.Client(base_url=own_site.settings.base_url, timeout=60) as http:
        shut(own_site, postgres, closed=True)
        for path, form in (
            ("/oauth/token", asked.form()),
            ("/oauth/token", {"grant_type": "refresh_token", "refresh_token": "x", "client_id": asked.grant.client_id}),
            ("/oauth/revoke", {"token": "x", "client_id": asked.grant.client_id}),
        ):
            answer = http.post(path, data=form)
            assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["Cache-Control"] == "no-store"
        shut(own_site, postgres, closed=False)
        deadline = time.monotonic() + 30
        while (answer := http.post("/oauth/token", data=asked.form())).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
