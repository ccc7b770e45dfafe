"""Each page for people in a browser that runs no scripts: what it looks like, and how it is used by keyboard."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from fhir_server.demo.cast import PASSWORD
from tests.browser.accessibility import look_at


def test_smart_15_sign_in(site, plain):
    plain.open(f"{site.settings.base_url}/sign-in")
    assert plain.heading == "Sign in"
    look_at(plain, "sign-in")
    plain.fill("E-mail address", "jane@demo.example")
    plain.fill("Password", "not the one at all")
    plain.press("Sign in")
    look_at(plain, "sign-in-refused")
