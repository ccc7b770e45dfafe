"""The account page and the change of a password (security AU-1, AU-5, AU-6; `smart.md` V3)."""

from __future__ import annotations

import time

import pytest

from fhir_server.pages.browser import cookie_name
from storage.authorization.grants import Grant, add_grant
from tests.conftest import ORGANIZATION
from tests.pages.apps import add_app, add_membership, grants_of
from tests.pages.people import PASSWORD, add_user, in_database, run_sql, sign_in, trail
from tests.site import Site

NEW = "a longer sentence than before"


@pytest.fixture(autouse=True)
def _no_failures(site: Site) -> None:
    run_sql(site, "DELETE FROM sign_in_failures")


def test_the_account_says_who_somebody_is_and_where(site: Site, browser):
    user = add_user(site.settings.database_url, "NURSE", name="Ada <b>Lovelace</b>")
    add_membership(site.settings.database_url, user, "health-hub", "AUDITOR")
    _, page = sign_in(site, user, browser)
    assert page.heading == "Your account"
    assert not list(page.faults())
    assert user.email in page.text
    assert "Nurse" in page.text
    assert "Auditor" in page.text
    assert "Ada &lt;b&gt;Lovelace&lt;/b&gt;" in page.html


def test_security_AU5_a_new_password_ends_every_other_session_and_renews_this_one(site: Site, new_browser):
    user = add_user(site.settings.database_url)
    other, _ = sign_in(site, user, new_browser())
    browser, page = sign_in(site, user, new_browser())
    before = browser.client.cookies[cookie_name(site.settings)]
    page = browser.press(page, "Change password", present=PASSWORD, new=NEW, again=NEW)
    assert "Your password is changed" in page.text
    assert browser.client.cookies[cookie_name(site.settings)] != before
    assert browser.get("/account").path == "/account"
    assert other.get("/account").path == "/sign-in"
    assert ("user", "password", "allowed") in trail(site, user.id)
    _, refused = sign_in(site, user, new_browser())
    assert refused.status == 403
    fresh = new_browser()
    assert fresh.press(fresh.get("/sign-in"), email=user.email, password=NEW).path == "/account"


def test_smart_V3_a_new_password_ends_online_access_and_leaves_offline_access(site: Site, browser):
    url = site.settings.database_url
    user, client, now = add_user(url), add_app(url), int(time.time())
    _, page = sign_in(site, user, browser)
    ((session,),) = run_sql(site, "SELECT id FROM sessions WHERE user_id = :id", id=user.id)
    for scope, known in (("online_access", session), ("offline_access", None)):
        grant = Grant(
            id=f"{scope}-{user.id}",
            client_id=client.id,
            organization_id=ORGANIZATION,
            role="CLINICIAN",
            scope=f"{scope} user/*.rs",
            authenticated_at=now,
            created_at=now,
            last_used_at=now,
            expires_at=now + 3600,
            user_id=user.id,
            session_id=known,
        )
        in_database(url, lambda connection, grant=grant: add_grant(connection, grant))
    browser.press(page, "Change password", present=PASSWORD, new=NEW, again=NEW)
    assert {each.scope.split()[0]: each.revoked_for for each in grants_of(url, client)} == {
        "online_access": "password changed",
        "offline_access": None,
    }


@pytest.mark.parametrize(
    ("present", "new", "again", "status", "told"),
    [
        ("not my password", NEW, NEW, 403, "present password is not right"),
        (PASSWORD, NEW, NEW + "!", 400, "the same twice"),
        (PASSWORD, "short", "short", 400, "12 to 128 characters"),
        (PASSWORD, "x" * 129, "x" * 129, 400, "12 to 128 characters"),
        (PASSWORD, "password1234", "password1234", 400, "easily guessed"),
    ],
)
def test_security_AU1_a_password_is_refused_and_the_old_one_stays(
    site: Site, new_browser, present: str, new: str, again: str, status: int, told: str
):
    user = add_user(site.settings.database_url)
    browser, page = sign_in(site, user, new_browser())
    page = browser.press(page, "Change password", present=present, new=new, again=again)
    assert page.status == status
    assert told in page.text
    assert new not in page.html
    assert sign_in(site, user, new_browser())[1].path == "/account"


def test_security_AU3_whoever_sits_at_an_open_browser_cannot_try_passwords(site: Site, browser):
    user = add_user(site.settings.database_url)
    _, page = sign_in(site, user, browser)
    for _ in range(6):
        page = browser.press(page, "Change password", present="a wrong guess 1", new=NEW, again=NEW)
        assert page.status == 403
    page = browser.press(page, "Change password", present=PASSWORD, new=NEW, again=NEW)
    assert page.status == 429
    assert "Try again in" in page.text


def test_smart_16_csrf_a_password_is_not_changed_from_elsewhere(site: Site, new_browser):
    user = add_user(site.settings.database_url)
    browser, page = sign_in(site, user, new_browser())
    token = page.form("/account/password").named("csrf")[0].value
    fields = {"present": PASSWORD, "new": NEW, "again": NEW}
    for sent, origin in (("", site.settings.base_url), (token, "https://evil.example")):
        assert browser.post("/account/password", {**fields, "csrf": sent}, Origin=origin).status_code == 403
    assert sign_in(site, user, new_browser())[1].path == "/account"


@pytest.mark.parametrize("path", ["/account", "/account/apps", "/account/second-factor"])
def test_nobody_sees_an_account_without_signing_in(browser, path: str):
    page = browser.get(path)
    assert page.path == "/sign-in"


@pytest.mark.parametrize("path", ["/account/password", "/account/second-factor/off", "/account/second-factor/codes"])
def test_security_AU6_nothing_is_changed_by_following_a_link(browser, path: str):
    assert browser.client.get(path).status_code == 405
