"""The second factor (security AU-4, KY-2): set up, given at sign-in, recovered, turned off."""

from __future__ import annotations

import base64
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from fhir_server.oauth.one_time import (
    STEP_SECONDS,
    as_text,
    fitting_step,
    otpauth_address,
    recovery_hash,
    secret_for,
    without,
)
from fhir_server.oauth.sealed import SealBroken, Sealer
from fhir_server.pages.browser import cookie_name
from storage.audit_sqlite import audit_path
from storage.repositories.entities import User
from tests.pages.apps import App, add_app
from tests.pages.forms import Browser, Page
from tests.pages.people import PASSWORD, add_user, run_sql, sign_in, trail
from tests.site import Site, running_site

NOT_RIGHT = "The code is not right, or was used before."


def code(secret: bytes, step: int = 0) -> str:
    """Return what an authenticator app shows, `step` steps from now."""
    made = TOTP(secret, 6, SHA1(), STEP_SECONDS).generate(int(time.time()) + step * STEP_SECONDS)
    return made.decode()


def secret_on(page: Page) -> bytes:
    match = re.search(r"Text: ([A-Z2-7 ]+)", page.text)
    assert match, page.text
    return base64.b32decode(match[1].split("Code")[0].replace(" ", "")[:32])


def set_up(site: Site, browser: Browser, user: User, at: str = "/account/second-factor") -> tuple[bytes, list[str]]:
    """Sign in, set the second factor up, and return the secret and the recovery codes; the code may be used again."""
    _, page = sign_in(site, user, browser, at)
    assert page.heading == "Set up a second factor"
    secret = secret_on(page)
    page = browser.press(page, code=code(secret))
    assert page.heading == "Your recovery codes", page.text
    run_sql(site, "UPDATE users SET mfa_last_step = NULL WHERE id = :id", id=user.id)
    return secret, re.findall(r"<code>([a-z2-9-]{19})</code>", page.html)


@pytest.fixture(autouse=True)
def _no_failures(site: Site) -> None:
    run_sql(site, "DELETE FROM sign_in_failures")


@pytest.fixture
def user(site: Site) -> User:
    return add_user(site.settings.database_url)


def test_security_AU4_a_person_sets_it_up_and_then_signs_in_with_it(site: Site, new_browser, user: User):
    secret, codes = set_up(site, new_browser(), user)
    assert len(secret) * 8 >= 160
    assert len(set(codes)) == 10
    browser, page = sign_in(site, user, new_browser())
    assert page.heading == "Enter your code"
    assert not list(page.faults())
    assert browser.get("/account").path == "/sign-in/code", "the password alone lets nobody in"
    page = browser.press(page, code=code(secret))
    assert page.path == "/account"
    assert "10 recovery codes left" in page.text
    done = trail(site, user.id)
    assert ("user", "second-factor-on", "allowed") in done
    assert ("session", "second-factor", "allowed") in done


def test_security_AU4_a_code_works_once(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    shown = code(secret)
    first, page = sign_in(site, user, new_browser())
    assert first.press(page, code=shown).path == "/account"
    second, page = sign_in(site, user, new_browser())
    page = second.press(page, code=shown)
    assert page.status == 403
    assert NOT_RIGHT in page.text
    assert ("session", "second-factor", "denied") in trail(site, user.id)


def test_security_AU4_a_code_of_the_set_up_does_not_sign_in(site: Site, new_browser, user: User):
    browser, page = sign_in(site, user, new_browser(), "/account/second-factor")
    shown = code(secret_on(page))
    assert browser.press(page, code=shown).heading == "Your recovery codes"
    browser, page = sign_in(site, user, new_browser())
    assert browser.press(page, code=shown).status == 403


def test_security_AU4_a_recovery_code_works_once_however_it_is_typed(site: Site, new_browser, user: User):
    _, codes = set_up(site, new_browser(), user)
    browser, page = sign_in(site, user, new_browser())
    page = browser.press(page, code=f" {codes[3].upper().replace('-', ' ')} ")
    assert page.path == "/account"
    assert "9 recovery codes left" in page.text
    browser, page = sign_in(site, user, new_browser())
    assert browser.press(page, code=codes[3]).status == 403
    assert ("session", "recovery-code", "allowed") in trail(site, user.id)
    ((stored,),) = run_sql(site, "SELECT backup_codes FROM users WHERE id = :id", id=user.id)
    assert not any(each in str(stored) or each.replace("-", "") in str(stored) for each in codes)


def test_security_AU4_a_sign_in_has_five_tries(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    browser, page = sign_in(site, user, new_browser())
    for _ in range(5):
        page = browser.press(page, code="000000")
        assert page.status == 403
    run_sql(site, "DELETE FROM sign_in_failures")
    page = browser.press(page, code=code(secret))
    assert page.status == 403
    assert "Too many wrong codes" in page.text
    assert page.heading == "Sign in"
    assert browser.get("/account").path == "/sign-in"
    denied = ("session", "second-factor", "denied")
    assert trail(site, user.id)[-6:] == [denied] * 6  # five codes, and the try that ended it


def test_security_AU4_a_right_password_does_not_forget_wrong_codes(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    for tries in (5, 1):
        browser, page = sign_in(site, user, new_browser())
        for _ in range(tries):
            page = browser.press(page, code="000000")
    page = browser.press(page, code=code(secret))
    assert page.status == 429
    assert "Try again in" in page.text
    run_sql(site, "UPDATE sign_in_failures SET blocked_until = 0")
    assert browser.press(page, code=code(secret)).path == "/account"


def test_security_AU5_the_cookie_is_renewed_when_the_code_is_given(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    browser, page = sign_in(site, user, new_browser())
    before = browser.client.cookies[cookie_name(site.settings)]
    browser.press(page, code=code(secret))
    after = browser.client.cookies[cookie_name(site.settings)]
    assert before != after
    browser.client.cookies.set(cookie_name(site.settings), before, domain="127.0.0.1", path="/")
    browser.client.cookies.clear()
    browser.client.cookies.set(cookie_name(site.settings), before)
    assert browser.get("/account").path == "/sign-in"


def test_security_AU4_turning_it_off_needs_a_fresh_sign_in_and_the_code(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    browser, page = sign_in(site, user, new_browser())
    browser.press(page, code=code(secret))
    page = browser.get("/account/second-factor")
    assert page.heading == "Your second factor"
    assert not list(page.faults())
    run_sql(site, "UPDATE sessions SET authenticated_at = authenticated_at - 301 WHERE user_id = :id", id=user.id)
    again = browser.press(page, "Turn off")
    assert again.heading == "Sign in"
    assert "once more" in again.text
    again = browser.press(again, email=user.email, password=PASSWORD)
    assert again.heading == "Enter your code"
    again = browser.press(again, code=code(secret, 1))
    assert again.heading == "Your second factor"
    page = browser.press(again, "Turn off")
    assert page.path == "/account"
    assert "turned off" in page.text
    stored = run_sql(site, "SELECT mfa_enabled, mfa_secret, mfa_last_step FROM users WHERE id = :id", id=user.id)
    assert [(bool(on), secret, step) for on, secret, step in stored] == [(False, None, None)]
    assert ("user", "second-factor-off", "allowed") in trail(site, user.id)
    assert sign_in(site, user, new_browser())[1].path == "/account"


def test_security_AU4_new_recovery_codes_replace_the_old_ones(site: Site, new_browser, user: User):
    browser = new_browser()
    _, old = set_up(site, browser, user)
    page = browser.press(browser.get("/account/second-factor"), "Get new recovery codes")
    new = re.findall(r"<code>([a-z2-9-]{19})</code>", page.html)
    assert len(new) == 10
    assert not set(new) & set(old)
    browser, page = sign_in(site, user, new_browser())
    assert browser.press(page, code=old[0]).status == 403
    assert browser.press(page, code=new[0]).path == "/account"


def test_setting_up_a_wrong_code_changes_nothing_and_no_secret_is_offered_twice(site: Site, new_browser, user: User):
    browser, page = sign_in(site, user, new_browser(), "/account/second-factor")
    secret = secret_on(page)
    page = browser.press(page, code="000000" if code(secret) != "000000" else "111111")
    assert page.status == 400
    assert secret_on(page) == secret
    assert run_sql(site, "SELECT mfa_secret FROM users WHERE id = :id", id=user.id) == [(None,)]
    page = browser.press(page, code=code(secret))
    assert page.heading == "Your recovery codes"
    page = browser.press(browser.get("/account/second-factor"), "Turn off")
    assert secret_on(browser.get("/account/second-factor")) != secret


def test_a_picture_for_the_app_is_on_the_page_itself(site: Site, new_browser, user: User):
    _, page = sign_in(site, user, new_browser(), "/account/second-factor")
    ((_, picture),) = [each for each in page.tags if each[0] == "img"]
    assert picture["src"].startswith("data:image/svg+xml;base64,")
    assert "img-src 'self' data:" in page.response.headers["Content-Security-Policy"]
    assert not list(page.faults())


@pytest.fixture(scope="module")
def strict_site(database_url: str) -> Iterator[Site]:
    """A site where nurses need a second factor."""
    with running_site(database_url, mfa_roles="NURSE AUDITOR") as made:
        yield made


@pytest.mark.parametrize(("role", "needed"), [("NURSE", True), ("AUDITOR", True), ("STAFF", False), ("PATIENT", False)])
def test_security_AU4_roles_that_need_it_set_it_up_before_anything_else(strict_site: Site, role: str, needed: bool):
    user = add_user(strict_site.settings.database_url, role)
    browser = Browser(strict_site.settings.base_url)
    _, page = sign_in(strict_site, user, browser, "/account/apps")
    assert (page.path == "/account/second-factor") is needed
    if needed:
        assert browser.get("/account").path == "/account/second-factor"
        assert browser.get("/account/apps").path == "/account/second-factor"
        page = browser.press(browser.get("/sign-in?next=/account/apps"), code=code(secret_on(page)))
        assert page.heading == "Your recovery codes"
        assert page.links["I have kept them"] == "/account/apps"
        assert browser.get("/account/apps").path == "/account/apps"
    browser.close()


def test_security_KY2_a_secret_is_sealed_and_fits_its_own_row_and_column_alone(site: Site, new_browser, user: User):
    secret, _ = set_up(site, new_browser(), user)
    ((stored,),) = run_sql(site, "SELECT mfa_secret FROM users WHERE id = :id", id=user.id)
    assert re.fullmatch(r"v1:[0-9a-f]{8}:[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+", stored)
    key = site.settings.derive("second factors")
    assert Sealer(key, "users", "mfa_secret").open(user.id, stored) == secret
    for place in (
        lambda: Sealer(key, "users", "mfa_secret").open("another", stored),
        lambda: Sealer(key, "users", "phone").open(user.id, stored),
        lambda: Sealer(b"k" * 32, "users", "mfa_secret").open(user.id, stored),
        lambda: Sealer(key, "users", "mfa_secret").open(user.id, stored[:-4] + "AAA="),
        lambda: Sealer(key, "users", "mfa_secret").open(user.id, "nonsense"),
    ):
        with pytest.raises(SealBroken):
            place()


def test_security_KY2_where_a_secret_cannot_be_read_recovery_codes_still_let_in(site: Site, new_browser, user: User):
    secret, codes = set_up(site, new_browser(), user)
    run_sql(site, "UPDATE users SET mfa_secret = 'v1:00000000:AAAA:AAAA' WHERE id = :id", id=user.id)
    browser, page = sign_in(site, user, new_browser())
    page = browser.press(page, code=code(secret))
    assert page.status == 403
    assert browser.press(page, code=codes[0]).path == "/account"


SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("now", "shown"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_security_AU4_codes_are_those_of_RFC_6238_appendix_B(now: int, shown: str):
    assert fitting_step(SECRET, shown, now) == now // 30
    assert fitting_step(SECRET, f"{shown[:3]} {shown[3:]}", now + 30) == now // 30
    assert fitting_step(SECRET, shown, now - 30) == now // 30
    assert fitting_step(SECRET, shown, now + 60) is None
    assert fitting_step(SECRET, shown, now - 60) is None


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "٢٨٧٠٨٢", "28708a", "\ud800", "2" * 5000])
def test_what_is_no_code_fits_no_step(typed: str):
    assert fitting_step(SECRET, typed, 59) is None


def test_secrets_differ_by_browser_and_person_and_recovery_codes_by_person():
    made = {secret_for(b"k" * 32, browser, user) for browser in ("a", "b") for user in ("u", "v")}
    assert len(made) == 4
    assert recovery_hash(b"k", "u", "abcd-efgh") == recovery_hash(b"k", "u", " ABCD efgh")
    assert recovery_hash(b"k", "u", "abcd-efgh") != recovery_hash(b"k", "v", "abcd-efgh")
    assert without(("x", "y", "z"), "y") == ("x", "z")
    assert without(("x", "y"), "z") is None


def test_the_address_in_the_picture_names_site_and_account():
    address = otpauth_address(SECRET, "My & site", "pat@example.org")
    assert address == (
        "otpauth://totp/My%20%26%20site:pat@example.org"
        "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=My%20%26%20site&digits=6&period=30"
    )


def test_smart_A12_a_request_of_an_app_survives_the_set_up_and_the_code(strict_site: Site):
    url = strict_site.settings.database_url
    user, client = add_user(url, "NURSE"), add_app(url, name="Ward app")
    for round_ in ("set-up", "code"):
        browser, app = Browser(strict_site.settings.base_url), App(strict_site, client)
        page = browser.get(app.address("user/Patient.rs openid", prompt="consent"))
        assert "Ward app" in page.text
        page = browser.press(page, email=user.email, password=PASSWORD)
        if round_ == "set-up":
            secret = secret_on(page)
            page = browser.press(page, code=code(secret))
            run_sql(strict_site, "UPDATE users SET mfa_last_step = NULL WHERE id = :id", id=user.id)
            page = browser.get(page.links["I have kept them"])
        else:
            page = browser.press(page, code=code(secret))
        assert page.path.endswith("/consent"), (page.path, page.text[:300])
        assert app.tokens(browser.press(page, "Allow"))["scope"]
        browser.close()


def test_security_PH1_no_password_code_cookie_or_name_is_in_logs_and_audit(site: Site, new_browser, capfd):
    user = add_user(site.settings.database_url, email=f"canary{time.time_ns()}@example.org", name="Canary Person")
    browser = new_browser()
    secret, codes = set_up(site, browser, user)
    cookies = [browser.client.cookies[cookie_name(site.settings)]]
    browser, page = sign_in(site, user, new_browser())
    wrong = browser.press(page, code="123 456 canary")
    browser.press(wrong, code=code(secret))
    cookies.append(browser.client.cookies[cookie_name(site.settings)])
    browser.post("/account/password", {"csrf": "wrong", "present": PASSWORD, "new": "canary sentence one"})
    browser.get("/account?done=canary-word")
    browser.press(browser.get("/sign-in?fresh=1"), email=user.email, password="canary of a password")
    told = "".join(capfd.readouterr())
    statement = "SELECT * FROM rbac_logs"
    kept = str(run_sql(site, statement))
    if site.settings.database_url.startswith("sqlite"):
        with closing(sqlite3.connect(audit_path(site.settings.database_url))) as file:
            kept += str(file.execute(statement).fetchall())
    secrets = [PASSWORD, user.email, "Canary", "canary", as_text(secret), *codes, *cookies]
    assert [each for each in secrets if each in told or each in kept] == []
    assert "page_refused" in told
    assert user.id in kept
