"""Long lists of scopes: several KiB are granted and work, more than a token has room for is told (A13, OA-6)."""

from __future__ import annotations

import httpx
import pytest

from tests.pages.apps import App, add_app, put, step_of
from tests.pages.forms import Browser, Page
from tests.pages.people import add_user, sign_in


def codes(count: int) -> str:
    return " ".join(f"patient/Observation.rs?code=http://loinc.org|{10_000 + number}-7" for number in range(count))


@pytest.fixture(scope="module")
def user(site):
    put(site, "Patient", "long-1", name=[{"family": "Long"}])
    return add_user(site.settings.database_url, "PATIENT", patients=("long-1",))


@pytest.fixture
def app(site) -> App:
    return App(site, add_app(site.settings.database_url))


def answered(app: App, user, browser: Browser, scope: str) -> Page:
    """Return where the browser comes to, once what is asked for is allowed, if it comes to that."""
    page = browser.get(app.address(scope))
    if page.path == "/sign-in":
        _, page = sign_in(app.site, user, browser, at=app.address(scope))
    return browser.press(page, "Allow") if step_of(page) == "consent" else page


def test_smart_A13_dozens_of_granular_scopes_are_granted_and_the_token_works(site, app, user, browser):
    scope = f"patient/Patient.rs {codes(70)}"
    assert len(scope) > 3500
    tokens = app.tokens(answered(app, user, browser, scope))
    assert tokens["scope"] == scope
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert httpx.get(f"{site.base}/Patient/long-1", headers=headers, timeout=30).status_code == 200


def test_security_OA6_more_than_a_token_has_room_for_is_invalid_scope(app, user, browser):
    assert app.error_of(answered(app, user, browser, f"patient/Patient.rs {codes(99)}")) == "invalid_scope"
