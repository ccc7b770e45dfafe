"""The page where people see and withdraw what apps may do (`smart.md` V2, `management_endpoint`)."""

from __future__ import annotations

import time

import httpx
import pytest

from storage.authorization.grants import Grant, add_grant
from storage.repositories.entities import Client, User
from tests.conftest import ORGANIZATION
from tests.pages.apps import App, add_app, grants_of, put, step_of
from tests.pages.forms import Browser, Page
from tests.pages.people import add_user, in_database, sign_in, trail
from tests.site import Site

SCRIPT = "<script>alert(1)</script>"


def add_grant_of(site: Site, user: User, client: Client, **more: object) -> Grant:
    now = int(time.time())
    facts = {
        "id": f"grant-{now}-{len(grants_of(site.settings.database_url, client))}-{client.id}",
        "client_id": client.id,
        "organization_id": ORGANIZATION,
        "role": "PATIENT",
        "scope": "patient/Observation.rs offline_access",
        "authenticated_at": now,
        "created_at": now,
        "last_used_at": now,
        "expires_at": now + 3600,
        "user_id": user.id,
    }
    grant = Grant(**{**facts, **more})
    in_database(site.settings.database_url, lambda connection: add_grant(connection, grant))
    return grant


def granted_through_the_pages(site: Site, browser: Browser, app: App, scope: str) -> Page:
    page = browser.get(app.address(scope))
    assert step_of(page) == "consent", (page.path, page.text[:300])
    return browser.press(page, "Allow")


@pytest.fixture
def patient_user(site: Site) -> User:
    known = put(site, "Patient", f"p{time.time_ns()}", name=[{"family": "Chalmers", "given": ["Peter"]}])
    return add_user(site.settings.database_url, "PATIENT", patients=[known])


def test_smart_V2_what_is_withdrawn_is_dead_at_once(site: Site, browser: Browser, patient_user: User):
    client = add_app(site.settings.database_url, name="Heart diary", publisher="Example & Sons")
    app = App(site, client)
    sign_in(site, patient_user, browser)
    back = granted_through_the_pages(site, browser, app, "launch/patient patient/Patient.rs offline_access")
    tokens = app.tokens(back)
    patient = tokens["patient"]
    bearer = {"Authorization": f"Bearer {tokens['access_token']}", "Accept": "application/fhir+json"}
    assert httpx.get(f"{site.base}/Patient/{patient}", headers=bearer).status_code == 200

    page = browser.get("/account/apps")
    assert not list(page.faults())
    for words in ("Heart diary", "not verified", "Example & Sons", "Peter Chalmers", "See personal details", "Keep"):
        assert words in page.text, words
    page = browser.press(page)
    assert "has lost its access" in page.text
    assert "No app has access" in page.text

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": client.id}
    answer = httpx.post(f"{site.settings.base_url}/oauth/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    until = time.monotonic() + 10
    while httpx.get(f"{site.base}/Patient/{patient}", headers=bearer).status_code != 401:
        assert time.monotonic() < until, "the access token still works"
        time.sleep(0.1)
    done = trail(site, patient_user.id)
    assert ("grant", "withdraw", "allowed") in done
    assert ("Patient", "read", "allowed") in done


def test_grants_to_one_app_for_one_patient_are_one_and_are_withdrawn_together(
    site: Site, browser: Browser, patient_user: User
):
    url = site.settings.database_url
    first, second = add_app(url, name="First"), add_app(url, name="Second", is_verified=True)
    for scope in ("patient/Observation.rs", "patient/Observation.c patient/Condition.d"):
        add_grant_of(site, patient_user, first, scope=scope, patient="p1")
    add_grant_of(site, patient_user, first, patient="p2")
    add_grant_of(site, patient_user, second, patient="p1")
    _, page = sign_in(site, patient_user, browser, "/account/apps")
    assert len(page.forms) == 3
    assert "Add measurements" in page.text
    assert "Delete health problems" in page.text
    form = next(
        each for each in page.forms if "First" in each.buttons[0].label and "grant-" in each.named("grant")[0].value
    )
    wanted = form.named("grant")[0].value
    place = next(each.patient for each in grants_of(url, first) if each.id == wanted)
    page = browser.press(page, form=form)
    left = [each.patient for each in grants_of(url, first) if each.revoked_at is None]
    assert place not in left
    assert len(page.forms) == 2
    assert all(each.revoked_at is None for each in grants_of(url, second))


def test_what_is_over_is_not_listed(site: Site, browser: Browser, patient_user: User):
    client = add_app(site.settings.database_url)
    now = int(time.time())
    add_grant_of(site, patient_user, client, expires_at=now)
    add_grant_of(site, patient_user, client, revoked_at=now, revoked_for="withdrawn")
    _, page = sign_in(site, patient_user, browser, "/account/apps")
    assert "No app has access" in page.text


def test_smart_16_idor_nobody_sees_or_withdraws_what_somebody_else_granted(site: Site, new_browser, patient_user: User):
    other = add_user(site.settings.database_url, "PATIENT", patients=["p9"])
    client = add_app(site.settings.database_url, name="Private matter")
    theirs = add_grant_of(site, patient_user, client)
    add_grant_of(site, other, client)
    browser, page = sign_in(site, other, new_browser(), "/account/apps")
    assert len(page.forms) == 1
    form = page.forms[0]
    form.named("grant")[0].value = theirs.id
    browser.press(page, form=form)
    assert all(each.revoked_at is None for each in grants_of(site.settings.database_url, client))


def test_smart_16_csrf_nothing_is_withdrawn_from_elsewhere(site: Site, browser: Browser, patient_user: User):
    client = add_app(site.settings.database_url)
    grant = add_grant_of(site, patient_user, client)
    _, page = sign_in(site, patient_user, browser, "/account/apps")
    token = page.forms[0].named("csrf")[0].value
    for sent, origin in (
        ("", site.settings.base_url),
        ("0" * 64, site.settings.base_url),
        (token, "https://evil.example"),
    ):
        answer = browser.post("/account/apps", {"csrf": sent, "grant": grant.id}, Origin=origin)
        assert answer.status_code == 403
    assert [each.revoked_at for each in grants_of(site.settings.database_url, client)] == [None]


def test_smart_16_xss_names_of_apps_makers_and_patients_are_text(site: Site, browser: Browser):
    url = site.settings.database_url
    known = put(site, "Patient", f"p{time.time_ns()}", name=[{"text": f"Peter {SCRIPT}"}])
    user = add_user(url, "PATIENT", patients=[known], name=SCRIPT)
    client = add_app(url, name=f"App {SCRIPT}", publisher=f'"{SCRIPT}', scope="patient/*.rs")
    add_grant_of(site, user, client, patient=known)
    page = browser.get(App(site, client).address("patient/*.rs"))
    assert page.path == "/sign-in"
    assert SCRIPT not in page.html
    assert f"App {SCRIPT}" in page.text
    for path in ("/account/apps", "/account", "/sign-out"):
        page = sign_in(site, user, browser, path)[1] if path == "/account/apps" else browser.get(path)
        assert page.path == path
        assert SCRIPT not in page.html
        assert SCRIPT in page.text


def test_a_patient_whom_somebody_may_see_no_more_is_not_named(site: Site, browser: Browser):
    url = site.settings.database_url
    known = put(site, "Patient", f"p{time.time_ns()}", name=[{"family": "Hidden"}])
    user = add_user(url, "PATIENT", patients=[])
    add_grant_of(site, user, add_app(url), patient=known)
    _, page = sign_in(site, user, browser, "/account/apps")
    assert len(page.forms) == 1
    assert "Hidden" not in page.text
