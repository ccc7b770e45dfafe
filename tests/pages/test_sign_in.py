"""The sign-in page (`smart.md` §15 login, §16; security AU-1 to AU-3, AU-5, AU-6)."""

from __future__ import annotations

from collections.abc import Callable

import bcrypt
import pytest
from argon2 import extract_parameters

from fhir_server.oauth import passwords
from fhir_server.oauth.passwords import FLOOR, hash_password, verify_password
from fhir_server.pages.browser import cookie_name
from tests.pages.apps import App, add_app
from tests.pages.forms import Browser
from tests.pages.people import PASSWORD, add_user, run_sql, sign_in, trail
from tests.site import Site

WRONG = "The e-mail address or the password is not right."


def cookie(browser: Browser, site: Site) -> str:
    return browser.client.cookies[cookie_name(site.settings)]


def forget_failures(site: Site) -> None:
    run_sql(site, "DELETE FROM sign_in_failures")


@pytest.fixture(autouse=True)
def _no_failures(site: Site) -> None:
    forget_failures(site)


def test_smart_login_somebody_signs_in_and_goes_on_where_they_wanted(site: Site, browser: Browser):
    user = add_user(site.settings.database_url)
    page = browser.get("/sign-in?next=/sign-out")
    assert page.title == "Sign in · FHIR server"
    assert not list(page.faults())
    page = browser.press(page, email=user.email.upper(), password=PASSWORD)
    assert page.path == "/sign-out"
    assert "Robin Doe" in page.text
    assert ("session", "sign-in", "allowed") in trail(site, user.id)


def test_who_is_signed_in_is_not_asked_again_unless_a_fresh_sign_in_is_wanted(site: Site, browser: Browser):
    user = add_user(site.settings.database_url)
    sign_in(site, user, browser)
    assert browser.get("/sign-in?next=/account/apps").path == "/account/apps"
    page = browser.get("/sign-in?next=/account/apps&fresh=1")
    assert page.path == "/sign-in"
    assert "once more" in page.text
    assert browser.press(page, email=user.email, password=PASSWORD).path == "/account/apps"


@pytest.mark.parametrize("case", ["unknown", "wrong password", "disabled", "without a password"])
def test_security_AU2_every_refusal_is_the_same_answer(site: Site, new_browser, case: str):
    user = add_user(
        site.settings.database_url,
        is_active=case != "disabled",
        **({"password_hash": None} if case == "without a password" else {}),
    )
    email = "nobody@example.org" if case == "unknown" else user.email
    password = "another password 1" if case == "wrong password" else PASSWORD
    browser = new_browser()
    page = browser.press(browser.get("/sign-in"), email=email, password=password)
    assert page.status == 403
    assert WRONG in page.text
    known = page.html.replace(email, "EMAIL")
    for each in page.forms[0].named("csrf"):
        known = known.replace(each.value, "TOKEN")
    plain = new_browser()
    other = plain.press(plain.get("/sign-in"), email="someone@example.org", password="whatever it is")
    same = other.html.replace("someone@example.org", "EMAIL").replace(other.forms[0].named("csrf")[0].value, "TOKEN")
    assert known == same
    assert {"sign-in"} == {interaction for _, interaction, _ in trail(site, user.id)} or case == "unknown"


@pytest.mark.parametrize("case", ["unknown", "wrong password", "disabled", "without a password", "right"])
def test_security_AU2_for_everybody_one_password_is_verified(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch, case: str
):
    no_password = {"password_hash": None} if case == "without a password" else {}
    user = add_user(site.settings.database_url, is_active=case != "disabled", **no_password)
    costs = []

    def counted(hashed: str, password: str) -> bool:
        costs.append(extract_parameters(hashed))
        return verify_password(hashed, password)

    monkeypatch.setattr("fhir_server.oauth.passwords.verify_password", counted)
    email = "nobody@example.org" if case == "unknown" else user.email
    browser.press(browser.get("/sign-in"), email=email, password=PASSWORD if case != "wrong password" else "x" * 12)
    assert costs == [extract_parameters(hash_password(PASSWORD, hasher=FLOOR))]


def test_security_AU3_failures_of_an_account_make_everybody_wait_and_a_right_password_forgets_them(
    site: Site, browser: Browser
):
    user = add_user(site.settings.database_url)
    for _ in range(5):
        page = browser.press(browser.get("/sign-in"), email=user.email, password="wrong password 1")
        assert page.status == 403
    page = browser.press(browser.get("/sign-in"), email=user.email, password="wrong password 1")
    assert page.status == 403  # the sixth is looked at, and begins the wait
    page = browser.press(browser.get("/sign-in"), email=user.email, password=PASSWORD)
    assert page.status == 429
    assert "Try again in" in page.text
    assert int(page.response.headers["Retry-After"]) <= 2
    run_sql(site, "UPDATE sign_in_failures SET blocked_until = 0")
    assert browser.press(page, email=user.email, password=PASSWORD).path == "/account"
    assert run_sql(site, "SELECT kind FROM sign_in_failures WHERE kind = 'account'") == []


def test_security_AU3_somebody_unknown_has_to_wait_like_anybody_else(site: Site, browser: Browser):
    for _ in range(6):
        browser.press(browser.get("/sign-in"), email="ghost@example.org", password="wrong password 1")
    page = browser.press(browser.get("/sign-in"), email="GHOST@example.org", password="wrong password 1")
    assert page.status == 429


def test_security_AU3_one_address_cannot_try_one_password_on_everybody(site: Site, browser: Browser):
    page = browser.get("/sign-in")
    for number in range(21):
        page = browser.press(page, email=f"n{number}@example.org", password="Summer of 2026!")
        assert page.status == 403
    assert browser.press(page, email="n99@example.org", password="Summer of 2026!").status == 429


def test_security_AU3_what_failed_is_stored_without_anybodys_name(site: Site, browser: Browser):
    browser.press(browser.get("/sign-in"), email="secret.name@example.org", password="wrong password 1")
    stored = run_sql(site, "SELECT kind, value FROM sign_in_failures")
    assert {kind for kind, _ in stored} == {"account", "address"}
    assert all(len(value) == 64 and "@" not in value and "127" not in value[:4] for _, value in stored)


def test_security_AU5_signing_in_renews_the_cookie_so_nobody_can_fix_it(site: Site, new_browser):
    user = add_user(site.settings.database_url)
    attacker, victim = new_browser(), new_browser()
    attacker.get("/sign-in")
    planted = cookie(attacker, site)
    victim.client.cookies.set(cookie_name(site.settings), planted, domain="127.0.0.1", path="/")
    _, page = sign_in(site, user, victim)
    assert page.path == "/account"
    assert victim.client.cookies.get(cookie_name(site.settings), domain="127.0.0.1") is not None
    assert attacker.get("/account").path == "/sign-in"


def test_security_AU5_only_the_digest_of_the_cookie_is_stored(site: Site, browser: Browser):
    sign_in(site, add_user(site.settings.database_url), browser)
    assert cookie(browser, site) not in str(run_sql(site, "SELECT * FROM sessions"))


def test_smart_16_login_csrf_a_form_from_elsewhere_signs_nobody_in(site: Site, new_browser):
    user = add_user(site.settings.database_url)
    browser, attacker = new_browser(), new_browser()
    token = browser.get("/sign-in").forms[0].named("csrf")[0].value
    fields = {"email": user.email, "password": PASSWORD, "next": "/account"}
    foreign = attacker.get("/sign-in").forms[0].named("csrf")[0].value
    assert browser.post("/sign-in", fields).status_code == 403
    assert browser.post("/sign-in", {**fields, "csrf": foreign}).status_code == 403
    assert browser.post("/sign-in", {**fields, "csrf": token}, Origin="https://evil.example").status_code == 403
    assert browser.post("/sign-in", {**fields, "csrf": foreign}, Origin="null").status_code == 403
    assert browser.get("/account").path == "/sign-in"
    assert browser.post("/sign-in", {**fields, "csrf": token}).status_code == 303


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "http:/evil.example",
        "/ok\r\nSet-Cookie: a=b",
        "",
    ],
)
def test_smart_16_next_leads_nowhere_but_to_paths_of_our_own(site: Site, browser: Browser, address: str):
    user = add_user(site.settings.database_url)
    page = browser.get("/sign-in")
    page.forms[0].named("next")[0].value = address
    fields = page.forms[0].data({"email": user.email, "password": PASSWORD}, None)
    answer = browser.post("/sign-in", fields)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/account"
    shown = browser.client.get("/sign-in", params={"next": address})
    assert shown.headers["location"] == "/account"


def test_security_AU1_an_imported_bcrypt_hash_verifies_once_and_is_made_anew(site: Site, new_browser):
    imported = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    user = add_user(site.settings.database_url, password_hash=imported)
    _, page = sign_in(site, user, new_browser())
    assert page.path == "/account"
    ((stored,),) = run_sql(site, "SELECT password_hash FROM users WHERE id = :id", id=user.id)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert sign_in(site, user, new_browser())[1].path == "/account"


def test_security_AU1_a_strong_hash_stays_as_it_is(site: Site, browser: Browser):
    hashed = hash_password(PASSWORD, hasher=FLOOR)
    user = add_user(site.settings.database_url, password_hash=hashed)
    sign_in(site, user, browser)
    assert run_sql(site, "SELECT password_hash FROM users WHERE id = :id", id=user.id) == [(hashed,)]


def test_signing_in_as_somebody_else_ends_the_first_session(site: Site, browser: Browser):
    first, second = add_user(site.settings.database_url), add_user(site.settings.database_url)
    sign_in(site, first, browser)
    sign_in(site, second, browser, "/sign-in?fresh=1")
    ended = run_sql(site, "SELECT ended_at IS NOT NULL FROM sessions WHERE user_id = :id", id=first.id)
    assert [bool(each) for (each,) in ended] == [True]


def test_a_form_that_is_too_large_or_repeats_a_field_is_refused(site: Site, browser: Browser):
    token = browser.get("/sign-in").forms[0].named("csrf")[0].value
    twice = [("csrf", token), ("email", "a@example.org"), ("email", "b@example.org"), ("password", "x")]
    assert browser.post("/sign-in", twice).status_code == 400
    assert browser.post("/sign-in", {"csrf": token, "password": "x" * 70_000}).status_code == 400


@pytest.mark.parametrize(
    "text", ["a\0b", "\x7f", "a" * 10_000, "'; DROP TABLE users; --", "%", "\u202epat@example.org"]
)
def test_security_IN2_no_text_is_too_strange_to_be_refused(site: Site, browser: Browser, text: str):
    token = browser.get("/sign-in").forms[0].named("csrf")[0].value
    for fields in ({"email": text, "password": PASSWORD}, {"email": "pat@example.org", "password": text}):
        assert browser.post("/sign-in", {"csrf": token, **fields}).status_code in {400, 403}
    for query in ({"next": text}, {"fresh": text}, {text: "1"}):
        assert browser.client.get("/sign-in", params=query).status_code in {200, 303, 400}


def test_smart_15_the_page_names_the_app_and_whom_it_expects_and_keeps_a_wish_for_a_fresh_sign_in(
    site: Site, browser: Browser
):
    client = add_app(site.settings.database_url, name="Growth chart")
    page = browser.get(App(site, client).address(prompt="login", login_hint="pat@example.org"))
    assert page.path == "/sign-in"
    assert "To go on to Growth chart, sign in at FHIR server" in page.text
    assert page.forms[0].named("email")[0].value == "pat@example.org"
    assert "https://app.example" in page.response.headers["Content-Security-Policy"]
    page = browser.press(browser.get("/sign-in?fresh=1"), email="pat@example.org", password="wrong password 1")
    assert "once more" in page.text


def test_smart_A12_whom_an_app_expects_is_told_to_the_browser_alone_that_owns_the_request(
    site: Site, new_browser: Callable[[], Browser]
):
    client = add_app(site.settings.database_url, name="Growth chart")
    page = new_browser().get(App(site, client).address(login_hint="pat@example.org"))
    elsewhere = new_browser().get(page.response.request.url.raw_path.decode())
    assert elsewhere.path == "/sign-in"
    assert "Growth chart" not in elsewhere.text
    assert elsewhere.forms[0].named("email")[0].value == ""


@pytest.mark.parametrize("change", ["password_hash = 'another'", "is_active = false"], ids=["password", "disabled"])
def test_security_AU5_what_changes_while_a_password_is_looked_at_counts(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch, change: str
):
    user = add_user(site.settings.database_url)
    looked_at = passwords.verify_password

    def meanwhile(hashed: str, password: str) -> bool:
        fits = looked_at(hashed, password)
        run_sql(site, f"UPDATE users SET {change} WHERE id = :user", user=user.id)
        return fits

    monkeypatch.setattr(passwords, "verify_password", meanwhile)
    page = browser.press(browser.get("/sign-in"), "Sign in", email=user.email, password=PASSWORD)
    assert page.path == "/sign-in"
    assert browser.get("/account").path == "/sign-in"
    assert run_sql(site, "SELECT id FROM sessions WHERE user_id = :user", user=user.id) == []
