"""Why a client was refused is in the operator's log, and never in the answer (`smart.md` J6; security AU-1)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from storage.authorization.opaque import new_opaque
from storage.engine import Database
from storage.repositories.entities import Client
from tests.oauth.granting import SECRET, new_client
from tests.oauth.kit import JWKS, RSA, Kit, KitApp, app_of, basic
from tests.oauth.test_assertions import signed
from tests.site import Site, site

__all__ = ["site"]

ASKED = {"grant_type": "client_credentials", "scope": "system/*.rs"}
NEVER = "it is no JWT as it has to be, or no key of that client with its kid verifies it"


@pytest.fixture(scope="module")
def kit(site: Site) -> Iterator[Kit]:
    made = Kit(site)
    yield made
    made.http.close()


@pytest.fixture
async def service(database: Database, kit: Kit) -> KitApp:
    """A backend service with keys."""
    client = await new_client(database, type="backend", jwks=JWKS, scope="system/*.rs", redirect_uris=())
    return app_of(kit, client, alg="ES384")


def told(answer: httpx.Response, logs: list[Any]) -> tuple[str, str]:
    """Return whom the log names and why; the answer is the same always."""
    assert answer.status_code == 401
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "The client could not be authenticated in the way that it is registered for.",
    }
    (line,) = [each for each in logs if each["event"] == "client_refused"]
    return line["client"], line["why"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "https://elsewhere.example/oauth/token"}, "aud is not the token endpoint"),
        ({"sub": "another"}, "sub is not iss"),
        ({"exp": 1}, "exp is missing, past, or more than five minutes ahead"),
        ({"exp": int(time.time()) + 86_400}, "exp is missing, past, or more than five minutes ahead"),
        ({"nbf": int(time.time()) + 86_400}, "nbf is in the future"),
        ({"jti": ""}, "jti is missing, or too long"),
    ],
)
def test_smart_J2_J6_the_log_says_which_claim_is_wrong(service: KitApp, changes: dict[str, Any], why: str):
    with capture_logs() as logs:
        answer = service.ask(**ASKED, **service.assertion(**changes))
    assert told(answer, logs) == (service.client.id, why)


def test_smart_J3_J6_the_log_says_that_an_assertion_was_used_before(service: KitApp):
    once = service.assertion()
    assert service.ask(**ASKED, **once).status_code == 200
    with capture_logs() as logs:
        assert told(service.ask(**ASKED, **once), logs) == (service.client.id, "jti was used before")


def test_smart_J4_J6_the_log_says_that_no_key_fits(service: KitApp):
    claims = {"iss": service.client.id, "sub": service.client.id, "aud": service.kit.token_endpoint}
    claims |= {"exp": int(time.time()) + 60, "jti": secrets.token_hex(8)}
    for assertion in (signed(claims, RSA, "RS384", "unknown"), "no.jwt"):
        with capture_logs() as logs:
            answer = service.ask(**ASKED, **service.assertion() | {"client_assertion": assertion})
        name, why = told(answer, logs)
        assert name in {service.client.id, "unknown"}
        assert why == NEVER


def test_smart_J6_who_is_none_of_ours_is_not_named(service: KitApp):
    stranger = replace(service, client=Client("nobody-" + secrets.token_hex(4), "backend"))
    with capture_logs() as logs:
        answer = service.ask(**ASKED, **stranger.assertion())
    assert told(answer, logs) == ("unknown", "iss is no client that is enabled and has keys")


async def test_smart_T2_T3_T5_the_log_says_why_a_secret_was_not_taken(site: Site, kit: Kit, database: Database):
    portal = await new_client(database, site.settings, type="confidential")
    public = await new_client(database)

    def ask(form: dict[str, str], headers: dict[str, str]) -> tuple[str, str]:
        form = {"grant_type": "refresh_token", "refresh_token": new_opaque(), **form}
        with capture_logs() as logs:
            return told(kit.http.post(kit.token_endpoint, data=form, headers=headers), logs)

    assert ask({}, basic(portal.id, "wrong")) == (portal.id, "a wrong secret, or client_id is another one")
    assert ask({"client_id": "another"}, basic(portal.id, SECRET))[1] == "a wrong secret, or client_id is another one"
    assert ask({"client_id": portal.id}, {}) == (portal.id, "it has a secret or keys, and used neither")
    assert ask({"client_id": portal.id, "client_secret": SECRET}, {}) == (portal.id, "a secret in the body")
    assert ask({}, basic(public.id, SECRET)) == (public.id, "it has no secret")
    assert ask({"client_id": "nobody-here"}, {}) == ("unknown", "no such client")
