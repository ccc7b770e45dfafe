"""Emergency access: who may open it, what it shows, what is recorded, and its end (security TN-7, AD-1)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from fhir_server.cli.installation import Installation
from fhir_server.cli.issuing import Wanted, issue_token
from fhir_server.cli.output import CommandFailed
from fhir_server.oauth.operator import TokenRefused
from storage.audit_sqlite import audit_path
from storage.engine import create_database
from storage.projection.flush import flush
from storage.rls import ROLE
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.pages.apps import App, add_app, grants_of, put, step_of
from tests.pages.forms import Browser, Page
from tests.pages.people import PASSWORD, add_user, run_sql, sign_in
from tests.site import Site, observation, running_site

REASON = "Unconscious in the emergency room, medication unknown"
COLUMNS = ("interaction", "outcome", "actor_role", "customer_id", "purpose", "grant_id", "resource", "path")


@pytest.fixture(scope="module")
def url(site: Site) -> str:
    return site.settings.database_url


@pytest.fixture(scope="module")
def patient(site: Site) -> str:
    known = put(site, "Patient", "glass-1", name=[{"family": "Brown", "given": ["Emmett"]}], birthDate="1920-01-01")
    put(site, "Observation", "glass-o1", **_without_id(observation("Patient/glass-1")))
    put(site, "MedicationRequest", "glass-m1", **drug("glass-1"))
    put(site, "Patient", "glass-2", name=[{"family": "Tannen"}])
    put(site, "Observation", "glass-o2", **_without_id(observation("Patient/glass-2")))
    put(site, "Patient", "glass-3", OTHER_ORGANIZATION, name=[{"family": "Elsewhere"}])
    return known


def _without_id(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "resourceType"}


def drug(who: str) -> dict[str, Any]:
    concept = {"text": "Aspirin"}
    return {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept,
        "subject": {"reference": f"Patient/{who}"},
    }


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    made = Browser(site.settings.base_url)
    yield made
    made.close()


@pytest.fixture
def support(url: str) -> Any:
    """Somebody in the role SUPPORT, to whom medication is closed otherwise."""
    return add_user(url, "SUPPORT")


def opened(site: Site, user: Any, browser: Browser, patient: str, **more: str) -> Page:
    """Sign in at the page and open emergency access."""
    _, page = sign_in(site, user, browser, at="/emergency")
    assert page.path == "/emergency", (page.path, page.text[:300])
    return browser.press(page, "Open for one hour", patient=patient, reason=REASON, **more)


def recorded(url: str, actor: str) -> list[dict[str, Any]]:
    """Return what the audit has of somebody, in every organization."""
    columns = ", ".join(COLUMNS)
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            asked = f"SELECT {columns} FROM rbac_logs WHERE actor_id = %s ORDER BY id"
            rows = connection.execute(asked, [actor]).fetchall()
    else:
        rows = []
        for file in (make_url(url).database, audit_path(url)):
            with closing(sqlite3.connect(str(file))) as connection:
                asked = f"SELECT {columns} FROM rbac_logs WHERE actor_id = ? ORDER BY at"
                rows += connection.execute(asked, [actor]).fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def app_with_it(site: Site, browser: Browser, client: Any) -> dict[str, Any]:
    """Launch an app and choose emergency access where it asks for the organization; return the tokens."""
    app = App(site, client)
    page = browser.get(app.address("launch/patient patient/*.rs user/*.cruds patient/*.cruds offline_access"))
    assert step_of(page) == "organization", (page.path, page.text[:300])
    form = next(form for form in page.forms if form.named("organization"))
    (emergency,) = [each.value for each in form.named("organization") if " " in each.value]
    form.tick("organization", emergency)
    page = browser.press(page, "Continue")
    assert step_of(page) == "consent", (page.path, page.text[:300])
    assert "emergency access" in page.text
    return app.tokens(browser.press(page, "Allow"))


def bearer(site: Site, token: str) -> httpx.Client:
    return httpx.Client(base_url=site.base, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def test_security_TN7_emergency_access_shows_one_record_and_changes_nothing(site, url, patient, support, browser):
    page = opened(site, support, browser, patient)
    assert "Open until" in page.text
    assert REASON in page.text
    client = add_app(url, scope="launch/patient patient/*.cruds user/*.cruds offline_access")
    tokens = app_with_it(site, browser, client)
    assert tokens["patient"] == patient
    assert tokens["scope"].split() == ["launch/patient", "patient/*.rs", "offline_access"]
    assert tokens["expires_in"] <= 3600
    with bearer(site, tokens["access_token"]) as fhir:
        assert fhir.get(f"/Patient/{patient}").status_code == 200
        assert fhir.get("/MedicationRequest/glass-m1").status_code == 200
        assert [each["resource"]["id"] for each in fhir.get("/Observation").json()["entry"]] == ["glass-o1"]
        assert fhir.get("/Patient/glass-2").status_code == 404
        assert fhir.get("/Observation/glass-o2").status_code == 404
        changed = {**observation(f"Patient/{patient}"), "id": "glass-o1"}
        assert fhir.put("/Observation/glass-o1", json=changed).status_code == 403
        assert fhir.delete("/Observation/glass-o1").status_code == 403
        assert fhir.post("/Observation", json=observation(f"Patient/{patient}")).status_code == 403


def test_security_AD1_opening_and_each_access_are_flagged_in_the_audit(site, url, patient, support, browser):
    opened(site, support, browser, patient)
    tokens = app_with_it(site, browser, add_app(url))
    with bearer(site, tokens["access_token"]) as fhir:
        fhir.get("/MedicationRequest/glass-m1")
        fhir.get("/Patient/glass-2")
    (row,) = run_sql(site, "SELECT id, reason, patient FROM break_glass WHERE user_id = :user", user=support.id)
    assert row[1:] == (REASON, patient)
    rows = recorded(url, support.id)
    (act,) = [each for each in rows if each["resource"] == "break_glass"]
    named = ("interaction", "outcome", "customer_id", "purpose")
    assert [act[name] for name in named] == ["open", "allowed", patient, "BTG"]
    accesses = [each for each in rows if each["actor_role"] == "EMERGENCY" and each["interaction"] == "read"]
    assert len(accesses) == 2, rows
    for each in accesses:
        assert each["purpose"] == "BTG"
        assert each["grant_id"].startswith(f"{row[0]}.")
    assert not any(REASON in str(each) for each in rows)


def test_security_TN7_ending_it_ends_its_tokens_at_once(site, url, patient, support, browser):
    page = opened(site, support, browser, patient)
    client = add_app(url)
    tokens = app_with_it(site, browser, client)
    page = browser.get("/emergency")
    page = browser.press(page, "End now")
    assert "has ended" in page.text
    assert "Open until" not in page.text
    (grant,) = grants_of(url, client)
    assert grant.revoked_at is not None
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": client.id}
    answer = httpx.post(f"{site.settings.base_url}/oauth/token", data=form, timeout=30)
    assert answer.json()["error"] == "invalid_grant"
    with bearer(site, tokens["access_token"]) as fhir:
        wait_for(lambda: fhir.get(f"/Patient/{patient}").status_code == 401)


def wait_for(happened: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_security_TN7_when_the_hour_is_over_nothing_comes_of_it(site, url, patient, support, browser):
    opened(site, support, browser, patient)
    client = add_app(url)
    tokens = app_with_it(site, browser, client)
    run_sql(site, "UPDATE break_glass SET expires_at = :past WHERE user_id = :user", past=1, user=support.id)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": client.id}
    answer = httpx.post(f"{site.settings.base_url}/oauth/token", data=form, timeout=30)
    assert answer.json()["error"] == "invalid_grant"
    page = browser.get(App(site, add_app(url)).address())
    assert step_of(page) != "organization"
    assert "Open until" not in browser.get("/emergency").text


@pytest.mark.parametrize("role", ["PATIENT", "STAFF", "BILLING"])
def test_security_TN7_other_roles_cannot_open_it(site, url, patient, browser, role):
    user = add_user(url, role)
    _, page = sign_in(site, user, browser, at="/emergency")
    assert page.status == 403
    form = {"organization": ORGANIZATION, "patient": patient, "reason": REASON}
    assert browser.post("/emergency", form).status_code == 403
    assert run_sql(site, "SELECT id FROM break_glass WHERE user_id = :user", user=user.id) == []
    assert ("denied", "open") in {(each["outcome"], each["interaction"]) for each in recorded(url, user.id)}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"reason": "too short"}, "Give a reason"),
        ({"reason": "x         y"}, "Give a reason"),
        ({"reason": "x" * 501}, "Give a reason"),
        ({"patient": "nobody"}, "There is no patient"),
        ({"patient": "glass-3"}, "There is no patient"),
        ({"patient": "not/an id"}, "There is no patient"),
        ({"patient": ""}, "There is no patient"),
    ],
)
def test_security_TN7_what_cannot_be_opened_is_told(site, url, patient, support, browser, typed, said):
    _, page = sign_in(site, support, browser, at="/emergency")
    page = browser.press(page, "Open for one hour", **{"patient": patient, "reason": REASON, **typed})
    assert page.status == 422
    assert said in page.text
    assert run_sql(site, "SELECT id FROM break_glass WHERE user_id = :user", user=support.id) == []


def test_security_AU6_only_the_form_of_this_browser_opens_it(site, patient, support, browser):
    sign_in(site, support, browser, at="/emergency")
    form = {"organization": ORGANIZATION, "patient": patient, "reason": REASON}
    assert browser.post("/emergency", form).status_code == 403
    answer = browser.client.get(f"/emergency?organization={ORGANIZATION}&patient={patient}&reason={REASON}")
    assert answer.status_code == 200
    assert run_sql(site, "SELECT id FROM break_glass WHERE user_id = :user", user=support.id) == []


def test_security_TN7_a_sign_in_of_an_hour_ago_is_not_enough(site, patient, support, browser):
    _, page = sign_in(site, support, browser, at="/emergency")
    statement = "UPDATE sessions SET authenticated_at = authenticated_at - 600 WHERE user_id = :user"
    run_sql(site, statement, user=support.id)
    assert browser.get("/emergency").path == "/sign-in"
    page = browser.press(page, "Open for one hour", patient=patient, reason=REASON)
    assert page.path == "/sign-in"
    page = browser.press(page, "Sign in", email=support.email, password=PASSWORD)
    assert page.path == "/emergency"


def test_security_TN7_nobody_ends_or_uses_somebody_elses(site, url, patient, support, browser):
    opened(site, support, browser, patient)
    (row,) = run_sql(site, "SELECT id FROM break_glass WHERE user_id = :user", user=support.id)
    other = add_user(url, "SUPPORT")
    with closing(Browser(site.settings.base_url)) as theirs:
        _, page = sign_in(site, other, theirs, at="/emergency")
        assert "Open until" not in page.text
        (token,) = {each.value for form in page.forms for each in form.named("csrf")} or {""}
        answer = theirs.post("/emergency/end", {"csrf": token, "emergency": row[0]})
        assert answer.status_code == 404
        assert step_of(theirs.get(App(site, add_app(url)).address())) != "organization"
    assert run_sql(site, "SELECT ended_at FROM break_glass WHERE id = :id", id=row[0]) == [(None,)]


def test_a_patient_is_searched_for_and_taken_into_the_form(site, patient, support, browser):
    _, page = sign_in(site, support, browser, at="/emergency")
    page = browser.press(page, "Search", name="Brown")
    assert "Emmett" in page.text
    form = next(form for form in page.forms if any(each.name == "patient" for each in form.buttons))
    page = browser.press(page, f"patient={patient}", form=form)
    (field,) = [each for form in page.forms for each in form.named("patient") if each.type == "text"]
    assert field.value == patient
    assert not list(page.faults())


def administrator(site: Site) -> Any:
    """Return an administrator of the installation, who has no role in any organization."""
    admin = add_user(site.settings.database_url, "AUDITOR", is_platform_admin=True)
    run_sql(site, "DELETE FROM user_organizations WHERE user_id = :user", user=admin.id)
    return admin


def test_security_TN7_an_administrator_of_the_installation_sees_nothing_until_then(site, url, patient, browser):
    admin = administrator(site)
    _, page = sign_in(site, admin, browser, at=App(site, add_app(url)).address())
    assert page.status == 403
    page = browser.get("/emergency")
    page = browser.press(page, "Open for one hour", patient=patient, reason=REASON, organization=ORGANIZATION)
    assert "Open until" in page.text
    app = App(site, add_app(url))
    page = browser.get(app.address())
    assert step_of(page) == "consent", page.text
    tokens = app.tokens(browser.press(page, "Allow"))
    with bearer(site, tokens["access_token"]) as fhir:
        assert fhir.get(f"/Patient/{patient}").status_code == 200
        assert fhir.get("/Patient/glass-2").status_code == 404


def test_security_TN7_an_administrator_needs_the_second_factor_where_people_do(site, patient):
    with running_site(site.settings.database_url, mfa_roles=("CLINICIAN",)) as strict:
        admin = administrator(strict)
        browser, page = sign_in(strict, admin, at="/emergency")
        assert page.status == 403
        assert "second factor" in page.text
        browser.close()


def test_security_TN7_the_role_is_nobodys_without_emergency_access(site, patient):
    token = site.token("patient/*.rs", role="EMERGENCY", patient=patient)
    with bearer(site, token) as fhir:
        assert fhir.get(f"/Patient/{patient}").status_code == 403


# --- the command line -------------------------------------------------------------------------------------------------


def issued(site: Site, **wanted: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        database = create_database(site.settings.database_url, role=ROLE, base_url=site.base)
        database.flush = flush
        await database.open()
        try:
            return await issue_token(Installation(site.settings, database), Wanted(**wanted))
        finally:
            await database.close()

    return asyncio.run(run())


def test_security_TN7_the_command_opens_it_for_the_life_of_one_token(site, url, patient, support, browser):
    answer = issued(site, scope="patient/*.rs", user=support.email, patient=patient, lifetime=120, break_glass=REASON)
    assert answer["expires_in"] == 120
    with bearer(site, answer["access_token"]) as fhir:
        assert fhir.get("/MedicationRequest/glass-m1").status_code == 200
        assert fhir.get("/Patient/glass-2").status_code == 404
        asked = "SELECT reason, expires_at - created_at FROM break_glass WHERE user_id = :user"
        (row,) = run_sql(site, asked, user=support.id)
        assert tuple(row) == (REASON, 120)
        _, page = sign_in(site, support, browser, at="/emergency")
        browser.press(page, "End now")
        wait_for(lambda: fhir.get(f"/Patient/{patient}").status_code == 401)
    made = [each["interaction"] for each in recorded(url, "operator") if each["purpose"] == "BTG"]
    assert set(made) == {"token"}


def test_security_TN7_an_administrator_of_the_installation_by_the_command(site, url, patient):
    admin = administrator(site)
    wanted = {"scope": "patient/*.rs", "user": admin.email, "patient": patient, "break_glass": REASON}
    answer = issued(site, organization=ORGANIZATION, **wanted)
    with bearer(site, answer["access_token"]) as fhir:
        assert fhir.get(f"/Patient/{patient}").status_code == 200
    with pytest.raises(CommandFailed, match="--organization"):
        issued(site, **wanted)


@pytest.mark.parametrize(
    ("role", "wanted", "refused"),
    [
        ("STAFF", {}, CommandFailed),
        ("SUPPORT", {"break_glass": "short"}, CommandFailed),
        ("SUPPORT", {"patient": "nobody"}, CommandFailed),
        ("SUPPORT", {"organization": OTHER_ORGANIZATION}, CommandFailed),
        ("SUPPORT", {"scope": "user/*.rs"}, TokenRefused),
        ("SUPPORT", {"user": f"{uuid4()}@example.org"}, CommandFailed),
    ],
)
def test_security_TN7_what_the_command_refuses(site, url, patient, role, wanted, refused):
    user = add_user(url, role)
    asked = {"scope": "patient/*.rs", "user": user.email, "patient": patient, "break_glass": REASON} | wanted
    with pytest.raises(refused):
        issued(site, **asked)
    assert run_sql(site, "SELECT id FROM break_glass WHERE user_id = :user", user=user.id) == []
