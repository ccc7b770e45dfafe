"""Who asks, behind reverse proxies (security RL-1, IN-8)."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fhir_server.proxies import Proxies
from fhir_server.settings import SettingsInvalid, load_settings
from tests.pages.forms import Browser
from tests.pages.people import PASSWORD, add_user
from tests.site import Site, running_site

OURS = ("10.1.0.0/16", "127.0.0.1", "2001:db8::/32")


def client(peer: str | None, *forwarded: str, networks: tuple[str, ...] = OURS) -> str | None:
    headers = [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    found = Proxies(networks).client({"client": peer and (peer, 4711), "headers": headers})
    return found and found[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.1.0.9", ("203.0.113.5",), "203.0.113.5"),
        ("10.1.0.9", ("203.0.113.5, 10.1.0.7",), "203.0.113.5"),
        ("10.1.0.9", ("203.0.113.5", "10.1.0.7"), "203.0.113.5"),
        ("10.1.0.9", ("198.51.100.1, 203.0.113.5",), "203.0.113.5"),
        ("10.1.0.9", ("10.1.0.8",), "10.1.0.8"),
        ("10.1.0.9", ("203.0.113.5:61000",), "203.0.113.5"),
        ("10.1.0.9", ("[2001:4860::1]:61000",), "2001:4860::1"),
        ("2001:db8::1", ("2001:4860::1",), "2001:4860::1"),
        ("::ffff:10.1.0.9", ("203.0.113.5",), "203.0.113.5"),
        ("10.1.0.9", (), "10.1.0.9"),
    ],
)
def test_security_RL1_the_address_is_the_last_one_that_no_proxy_of_ours_has(peer, forwarded, address):
    assert client(peer, *forwarded) == address


@pytest.mark.parametrize("told", ["", "unknown", "<script>", "203.0.113.5, nonsense", "1.2.3.4.5", "[", "\xff"])
def test_security_RL1_what_is_no_address_is_not_believed(told):
    assert client("10.1.0.9", told) == "10.1.0.9"


@pytest.mark.parametrize("peer", ["203.0.113.9", "10.2.0.1", "::1", None, "testclient"])
def test_security_RL1_IN8_nobody_else_is_believed(peer):
    assert client(peer, "198.51.100.1") == peer


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "0.0.0.0/0", "::/0"])
def test_security_RL1_only_addresses_and_networks_are_proxies(monkeypatch, value):
    monkeypatch.setenv("FHIR_SERVER_TRUSTED_PROXIES", value)
    with pytest.raises(SettingsInvalid, match="TRUSTED_PROXIES"):
        load_settings()


@pytest.fixture(scope="module")
def behind(database_url: str) -> Iterator[Site]:
    with running_site(database_url, trusted_proxies=("127.0.0.1",)) as made:
        yield made


def test_security_AU3_RL1_behind_a_proxy_nobody_waits_for_the_wrong_passwords_of_others(behind: Site):
    user = add_user(behind.settings.database_url)

    def sign_in(address: str, email: str, password: str) -> int:
        browser = Browser(behind.settings.base_url)
        browser.client.headers["X-Forwarded-For"] = f"192.0.2.1, {address}"
        try:
            page = browser.press(browser.get("/sign-in"), "Sign in", email=email, password=password)
        finally:
            browser.close()
        return page.status

    tried = [sign_in("203.0.113.66", f"nobody-{number}@example.org", "wrong " * 3) for number in range(25)]
    assert tried[-1] == 429
    assert sign_in("203.0.113.66", user.email, PASSWORD) == 429
    assert sign_in("203.0.113.7", user.email, PASSWORD) == 200


def test_security_IN8_addresses_are_ours_whatever_a_proxy_says(behind: Site):
    told = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    answer = httpx.get(f"{behind.base}/.well-known/smart-configuration", headers=told, timeout=30)
    assert answer.json()["issuer"] == behind.settings.base_url
    assert "evil" not in answer.text
