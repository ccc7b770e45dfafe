"""A POST comes from our own page in the same browser, or it is refused (security AU-6, `smart.md` §16 CSRF)."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.site import site

__all__ = ["site"]


def is_taken(site, headers: dict[str, str], *, csrf: str | None = None, cookies: bool = True) -> bool:
    """Return whether a form that says all this is taken for our own."""
    with httpx.Client(base_url=site.settings.base_url) as browser:
        page = browser.get("/sign-in")
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
        assert found
        fields = {"csrf": found[1] if csrf is None else csrf, "next": "/account", "email": "nobody@x.example"}
        if not cookies:
            browser.cookies.clear()
        answer = browser.post("/sign-in", data=fields | {"password": "wrong password"}, headers=headers)
    refused = answer.status_code == 403 and "This form has expired" in answer.text
    assert refused or "is not right" in answer.text or answer.status_code == 429
    return not refused


def test_security_AU6_our_own_form_is_taken_as_browsers_send_it(site):
    own = site.settings.base_url
    assert is_taken(site, {})
    assert is_taken(site, {"Origin": own, "Sec-Fetch-Site": "same-origin"})
    assert is_taken(site, {"Referer": f"{own}/sign-in"})
    # Referrer-Policy: no-referrer makes Chromium and Firefox say this of our own forms
    assert is_taken(site, {"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert is_taken(site, {"Origin": "null"})


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
    assert not is_taken(site, headers)


def test_security_AU6_another_port_is_another_origin(site):
    assert not is_taken(site, {"Origin": "http://127.0.0.1:1"})


@pytest.mark.parametrize("csrf", ["", "0" * 64, "ü"])
def test_security_AU6_without_the_token_of_the_form_it_is_refused(site, csrf):
    assert not is_taken(site, {"Origin": site.settings.base_url}, csrf=csrf)


def test_security_AU6_the_token_is_worth_nothing_in_another_browser(site):
    assert not is_taken(site, {}, cookies=False)
