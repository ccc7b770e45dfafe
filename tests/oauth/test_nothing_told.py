"""Nothing that was sent to the authorization server turns up in logs, audit or answers (smart.md §16, security PH-1).

Every parameter, header and cookie that may hold a secret or a name holds a canary.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
import structlog

from capability.smart import PATHS, REGISTRATION_PATH
from fhir_server.logging import configure_logging
from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.site import Site, running_site

CANARY: Final = "canary7f3a"
JWT: Final = f"{CANARY}aaaa.{CANARY}bbbb.{CANARY}cccc"

FORMS: Final[dict[str, dict[str, str]]] = {
    "code": {
        "grant_type": "authorization_code",
        "code": CANARY,
        "code_verifier": CANARY * 5,
        "redirect_uri": f"https://{CANARY}.example/cb",
        "client_id": CANARY,
    },
    "refresh": {"grant_type": "refresh_token", "refresh_token": CANARY, "client_id": CANARY, "scope": CANARY},
    "assertion": {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": JWT,
        "scope": f"system/*.rs {CANARY}",
    },
    "secret in the body": {"grant_type": "authorization_code", "client_id": "x", "client_secret": CANARY},
    "another grant type": {"grant_type": CANARY},
    "token": {"token": CANARY, "token_type_hint": CANARY, "client_id": CANARY},
}
AUTHORIZE: Final = {
    "response_type": "code",
    "client_id": CANARY,
    "redirect_uri": f"https://{CANARY}.example/cb",
    "scope": f"patient/*.rs {CANARY}",
    "state": CANARY,
    "nonce": CANARY,
    "login_hint": f"{CANARY}@example.com",
    "aud": f"https://{CANARY}.example",
    "launch": CANARY,
    "code_challenge": CANARY * 4,
    "code_challenge_method": CANARY,
}


@pytest.fixture(scope="module")
def logged_site(database_url: str) -> Iterator[tuple[Site, io.StringIO]]:
    """A running server that takes registrations, and what it logs."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = io.StringIO()
    configure_logging("debug", written)
    with running_site(database_url, registration="open") as made:
        yield made, written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    logging.getLogger("uvicorn.access").disabled = False


def requests(site: Site) -> Iterator[httpx.Response]:
    """Send canaries everywhere."""
    base = site.settings.base_url
    bearer = {"Authorization": f"Bearer {JWT}"}
    with httpx.Client(base_url=base, cookies={"fhir-server": (CANARY * 5)[:43]}) as client:
        for path in (PATHS["token_endpoint"], PATHS["introspection_endpoint"], PATHS["revocation_endpoint"]):
            for form in FORMS.values():
                yield client.post(path, data=form)
                yield client.post(path, data=form, auth=(CANARY, CANARY))
                yield client.post(path, data=form, headers=bearer)
                yield client.post(f"{path}?{CANARY}={CANARY}", data=form)
        yield client.get(PATHS["authorization_endpoint"], params=AUTHORIZE)
        yield client.post(PATHS["authorization_endpoint"], data=AUTHORIZE)
        yield client.get(f"/authorize/{CANARY}/consent", params={CANARY: CANARY})
        yield client.get("/sign-in", params={"next": f"/authorize/{CANARY}", "error_description": f"<b>{CANARY}</b>"})
        yield client.post("/sign-in", data={"email": f"{CANARY}@example.com", "password": CANARY, "csrf": CANARY})
        yield client.get(PATHS["userinfo_endpoint"], headers=bearer)
        yield client.post(REGISTRATION_PATH, json={"client_name": CANARY, "redirect_uris": [f"http://{CANARY}"]})
        yield client.get("/fhir/Patient", headers=bearer)
        yield client.get("/fhir/Patient", params={"access_token": JWT})
        yield client.get("/fhir/Patient", headers={"Authorization": f"Basic {CANARY}"})


def test_security_PH1_no_token_code_state_secret_cookie_or_name_is_logged_audited_or_echoed(
    logged_site: tuple[Site, io.StringIO],
):
    site, written = logged_site
    answers = list(requests(site))
    assert len(answers) > 80
    assert {answer.status_code // 100 for answer in answers} <= {2, 3, 4}, "nothing fails"
    for answer in answers:
        asked = str(answer.request.url.path)
        if not asked.startswith("/sign-in"):  # its form goes on to where it was asked to go on to
            assert CANARY not in answer.text.lower(), asked
        assert CANARY not in str(answer.headers).lower() or asked.startswith("/authorize/"), (asked, answer.headers)
    assert CANARY not in written.getvalue().lower()
    assert "grant_refused" in written.getvalue() or "client_refused" in written.getvalue(), "it was listened to"
    kept = [
        str(record).lower()
        for trail in open_trails(site.settings.database_url, role=ROLE)
        for organization in {ORGANIZATION, site.settings.organization}
        for record in export(trail, organization)
    ]
    assert kept
    assert not [record for record in kept if CANARY in record]
