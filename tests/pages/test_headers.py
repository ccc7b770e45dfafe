"""How every page leaves, and that every form asks for its token (security AU-6, AU-7, AU-8; `smart.md` §16, X4)."""

from __future__ import annotations

import re

import pytest
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.oauth.routes import oauth_routes
from fhir_server.pages.browser import set_browser
from fhir_server.pages.page import page_headers
from fhir_server.settings import Settings
from tests.pages.forms import Browser
from tests.pages.people import add_user, sign_in
from tests.site import Site

NO_PAGES = ("/oauth/", "/.well-known/", "/static/", "/ehr/", "/fhir/")
PATHS = sorted(
    {(each.path, method) for each in oauth_routes() if isinstance(each, Route) for method in each.methods or ()}
)
PAGES = [path for path, method in PATHS if method == "GET" and not path.startswith(NO_PAGES)]
FORMS = [path for path, method in PATHS if method == "POST" and not path.startswith(NO_PAGES)]
FIXED = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def address(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x" * 43, path)


def check(headers) -> None:
    assert {name: headers.get(name) for name in FIXED} == FIXED
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"].startswith("'self'")
    assert "script-src" not in policy
    assert "unsafe" not in str(policy)
    assert "Access-Control-Allow-Origin" not in headers


def test_there_are_pages_to_look_at():
    assert {"/sign-in", "/sign-in/code", "/sign-out", "/account", "/account/apps", "/account/second-factor"} <= set(
        PAGES
    )


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("somebody", [False, True], ids=["nobody", "somebody"])
def test_security_AU7_every_page_leaves_with_its_headers(site: Site, browser: Browser, path: str, somebody: bool):
    if somebody:
        sign_in(site, add_user(site.settings.database_url), browser)
    answer = browser.client.get(address(path), headers={"Origin": "https://evil.example"})
    assert answer.status_code < 500, answer.text
    check(answer.headers)


@pytest.mark.parametrize("path", FORMS)
def test_security_AU6_every_form_refuses_what_has_no_token(site: Site, browser: Browser, path: str):
    sign_in(site, add_user(site.settings.database_url, "ORG_ADMIN"), browser)
    answer = browser.post(address(path), {"csrf": "0" * 64, "client": "x", "email": "a", "password": "b"})
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.headers.get("location"))
    check(answer.headers)


def test_security_AU5_by_https_cookies_and_transport_are_strict():
    settings = Settings(base_url="https://fhir.example", secret="s" * 40)
    assert page_headers(settings)["Strict-Transport-Security"].startswith("max-age=31536000")
    response = Response()
    set_browser(response, settings, "value")
    said = response.headers["set-cookie"]
    assert said.startswith("__Host-")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in said.split(";")}
    assert "Domain" not in said


def test_security_AU5_the_cookie_is_kept_from_scripts_and_other_sites(site: Site, browser: Browser):
    said = browser.client.get("/sign-in").headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said
    assert "Path=/" in said
    assert "Domain" not in said
    assert "expires" not in said.lower()
    assert "max-age" not in said.lower()
