"""A POST comes from our own page in the same browser, or it is refused (security AU-6, `smart.md` §16 CSRF)."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.site import site

__all__ = ["site"]
REFUSED = 403


def send(site, headers: dict[str, str], *, csrf: str | None = None, cookies: bool = True) -> int:
    with httpx.Client(base_url=site.settings.base_url) as browser:
        page = browser.get("/sign-in")
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
        assert found
        fields = {"csrf": found[1] if csrf is None else csrf, "next": "/account", "email": "nobody@x.example"}
        if not cookies:
            browser.cookies.clear()
        return browser.post("/sign-in", data=fields | {"password": "wrong password"}, headers=headers).status_code


def test_security_AU6_our_own_form_is_taken_as_browsers_send_it(site):
    own = site.settings.base_url
    assert send(site, {}) != REFUSED
    assert send(site, {"Origin": own, "Sec-Fetch-Site": "same-origin"}) != REFUSED
    assert send(site, {"Referer": f"{own}/sign-in"}) != REFUSED
    # Referrer-Policy: no-referrer makes Chromium and Firefox say this of our own forms
    assert send(site, {"Origin": "null", "Sec-Fetch-Site": "same-origin"}) != REFUSED
    assert send(site, {"Origin": "null"}) != REFUSED


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-site"},
        {"Origin": "null", "Referer": "https://evil.example/page"},
        {"Referer": "https://evil.example/page"},
        {"Referer": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=repr,
)
def test_security_AU6_what_another_page_sends_is_refused_although_the_token_fits(site, headers):
    assert send(site, headers) == REFUSED


def test_security_AU6_another_port_is_another_origin(site):
    assert send(site, {"Origin": "http://127.0.0.1:1"}) == REFUSED


@pytest.mark.parametrize("csrf", ["", "0" * 64, "ü"])
def test_security_AU6_without_the_token_of_the_form_it_is_refused(site, csrf):
    assert send(site, {"Origin": site.settings.base_url}, csrf=csrf) == REFUSED


def test_security_AU6_the_token_is_worth_nothing_in_another_browser(site):
    assert send(site, {}, cookies=False) == REFUSED
