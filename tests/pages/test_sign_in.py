"""The sign-in page (`smart.md` §15 login, §16; security AU-1 to AU-3, AU-5, AU-6)."""

from __future__ import annotations

import pytest

from tests.pages.forms import Browser
from tests.pages.people import PASSWORD, add_user



@pytest.fixture
def browser(site: Site):  # noqa: F811
    made = Browser(site.settings.base_url)
    yield made
    made.close()


def test_smart_login_somebody_signs_in_and_goes_on(site, browser):  # noqa: F811
    user = add_user(site.settings.database_url)
    page = browser.get("/sign-in?next=/sign-out")
    assert page.title == "Sign in · FHIR server"
    assert not list(page.faults())
    page = browser.press(page, email=user.email.upper(), password=PASSWORD)
    assert page.path == "/sign-out"
    assert "Robin Doe" in page.text
    page = browser.press(page, "Sign out")
    assert page.heading == "You are signed out"
