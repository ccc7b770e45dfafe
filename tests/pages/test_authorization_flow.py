"""The authorization flow as a browser without JavaScript goes through it (`smart.md` §4, §6, §15, §16; OA-4)."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from capability.roles import roles
from fhir_server.access import RESOURCE_TYPES
from storage.authorization.opaque import digest
from storage.authorization.requests import REQUEST_SECONDS
from storage.repositories.platform import UserRepository
from storage.tables.authorization import authorization_codes, authorization_requests, sessions
from storage.tables.platform import user_organizations, users
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.pages.apps import (
    App,
    add_app,
    add_membership,
    add_organization,
    audited,
    change_app,
    grants_of,
    put,
    step_of,
)
from tests.pages.people import PASSWORD, add_user, in_database, sign_in


@pytest.fixture(scope="module")
def patient(site) -> str:
    known = {"birthDate": "1974-12-25", "gender": "male", "name": [{"family": "Chalmers", "given": ["Peter"]}]}
    return put(site, "Patient", "flow-1", **known)


@pytest.fixture(scope="module")
def user(url, patient):
    """Somebody with one record of their own."""
    return add_user(url, "PATIENT", patients=[patient])


@pytest.fixture
def app(site, url) -> App:
    return App(site, add_app(url))


def test_smart_P1_A10_a_patient_with_one_record_comes_back_with_it(site, url, app, user, patient, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    assert step_of(page) == "consent", page.text
    assert not list(page.faults())
    page = browser.press(page, "Allow")
    tokens = app.tokens(page)
    assert tokens["patient"] == patient
    assert tokens["scope"] == "launch/patient patient/*.rs openid fhirUser"
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert httpx.get(f"{site.base}/Patient/{patient}", headers=bearer, timeout=30).status_code == 200
    (grant,) = grants_of(url, app.client)
    assert (grant.role, grant.organization_id, grant.patient) == ("PATIENT", ORGANIZATION, patient)
    assert grant.fhir_user == f"Patient/{patient}"


def test_smart_A10_security_OA4_a_code_is_stored_hashed_and_lives_a_minute(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    code = app.code_of(browser.press(page, "Allow"))
    assert len(code) >= 43
    (row,) = in_database(url, lambda connection: _codes(connection, digest(code)))
    assert code not in repr(row)
    assert 0 < row.expires_at - time.time() <= 60
    assert row.client_id == app.client.id
    assert row.redirect_uri == app.redirect_uri
    assert app.redeem(code).status_code == 200
    assert app.redeem(code).json()["error"] == "invalid_grant"


async def _codes(connection: AsyncConnection, code: str):
    return list(await connection.execute(authorization_codes.select().where(authorization_codes.c.code == code)))


def test_smart_A1_a_post_of_another_site_only_starts_the_flow(site, app, user, browser):
    sign_in(site, user, browser)
    form = app.parameters()
    started = httpx.post(  # cross-site: without our cookies, with the origin of the app
        f"{site.settings.base_url}/oauth/authorize", data=form, headers={"Origin": "https://app.example"}, timeout=30
    )
    assert started.status_code == 303
    assert "set-cookie" not in started.headers
    assert urlsplit(started.headers["location"]).path.startswith("/authorize/")
    page = browser.get(started.headers["location"])
    assert step_of(page) == "consent"
    app.code_of(browser.press(page, "Allow"))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_smart_A2_A4_faults_are_told_where_they_belong(site, app, method):
    def ask(**changes: str) -> httpx.Response:
        pairs = urlencode(app.parameters(**changes))
        address = f"{site.settings.base_url}/oauth/authorize"
        if method == "GET":
            return httpx.get(f"{address}?{pairs}", timeout=30)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return httpx.post(address, content=pairs, headers=form, timeout=30)

    before = len(audited(site.settings.database_url, app.client))
    refused = ask(redirect_uri="https://evil.example/<script>")
    assert refused.status_code == 400
    assert "location" not in refused.headers
    assert "evil" not in refused.text
    (row,) = audited(site.settings.database_url, app.client)[before:]
    assert row[:3] == ("client", "authorize", "denied")
    assert "evil" not in repr(row)
    assert ask(client_id="nobody").status_code == 400
    told = ask(aud="https://elsewhere.example/fhir")
    assert told.status_code == 303
    assert told.headers["location"].startswith(f"{app.redirect_uri}&error=invalid_request&")
    assert ask(code_challenge_method="plain").headers["location"].startswith(f"{app.redirect_uri}&error=")


def test_smart_A2_what_is_no_form_is_refused_on_a_page(site):
    address = f"{site.settings.base_url}/oauth/authorize"
    assert httpx.post(address, json={}, timeout=30).status_code == 400
    assert httpx.get(f"{address}?client_id=%ff", timeout=30).status_code == 400
    assert httpx.get(f"{address}?client_id=a&client_id=a", timeout=30).status_code == 400
    assert httpx.put(address, timeout=30).status_code == 405


def test_smart_R6_a_client_that_is_switched_off_meanwhile_goes_no_further(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    change_app(url, replace(app.client, is_active=False))
    page = browser.press(page, "Allow")
    assert (page.status, page.away) == (400, None)
    assert browser.get(app.address()).status == 400


def test_smart_A11_X4_no_page_is_kept_framed_or_shared_with_other_origins(site, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    for path in ("consent", "patient", ""):
        address = f"{site.settings.base_url}{urlsplit(page.address).path.rsplit('/', 1)[0]}/{path}".rstrip("/")
        answer = browser.client.get(address, headers={"Origin": "https://app.example"})
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    authorize = httpx.get(
        f"{site.settings.base_url}{app.address()}", headers={"Origin": "https://app.example"}, timeout=30
    )
    assert "access-control-allow-origin" not in authorize.headers
    assert authorize.headers["cache-control"] == "no-store"


def test_smart_A12_another_browser_cannot_take_a_request_over(site, app, user, new_browser):
    ours, theirs = new_browser(), new_browser()
    _, page = sign_in(site, user, ours, at=app.address())
    sign_in(site, user, theirs)
    taken = theirs.get(page.address)
    assert taken.status == 403
    assert theirs.get(page.address.rsplit("/", 1)[0]).status == 403
    assert new_browser().get(page.address).status == 403


def test_smart_A12_a_second_submit_and_the_back_button_give_a_clean_page(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    app.code_of(browser.press(page, "Allow"))
    again = browser.press(page, "Allow")
    assert (again.status, again.away) == (409, None)
    assert again.heading == "This request was answered already"
    assert browser.get(page.address).status == 409
    assert len(grants_of(url, app.client)) == 1


def test_smart_A12_a_request_that_is_too_old_is_gone(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    transaction = digest(page.path.split("/")[2])

    async def age(connection: AsyncConnection) -> None:
        ours = authorization_requests.c.id == transaction
        row = (await connection.execute(authorization_requests.select().where(ours))).one()
        assert row.expires_at - row.created_at == REQUEST_SECONDS <= 900
        await connection.execute(update(authorization_requests).where(ours).values(expires_at=int(time.time())))

    in_database(url, age)
    assert browser.press(page, "Allow").status == 410
    assert browser.get(page.address).status == 410


def test_smart_A12_an_unknown_request_is_not_found(site, user, browser):
    sign_in(site, user, browser)
    assert browser.get(f"/authorize/{'x' * 43}").status == 404
    assert browser.get(f"/authorize/{'x' * 43}/consent").status == 404


def test_smart_A4_denied_is_told_with_state_and_issuer(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    assert app.error_of(browser.press(page, "Deny")) == "access_denied"
    assert grants_of(url, app.client) == []
    assert browser.press(page, "Allow").status == 409
    assert ("grant", "authorize", "denied") in [tuple(row[:3]) for row in audited(url, app.client)]


def test_security_AD2_what_was_granted_is_in_the_audit_without_code_or_state(site, url, app, user, patient, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    page = browser.press(page, "Allow")
    rows = audited(url, app.client)
    assert ("grant", "authorize", "allowed", user.id, patient) in [tuple(row[:5]) for row in rows]
    assert ("Patient", "search-type", "allowed", user.id, patient) in [tuple(row[:5]) for row in rows]
    assert app.code_of(page) not in repr(rows)
    assert app.state not in repr(rows)
    assert {row[-1] for row in rows} == {"/authorize/{transaction}/consent"}


@pytest.mark.parametrize("changed", [{"csrf": "x"}, {"csrf": ""}, {"Origin": "https://evil.example"}])
def test_smart_16_a_consent_that_comes_from_elsewhere_is_refused(site, url, app, user, browser, changed):
    _, page = sign_in(site, user, browser, at=app.address())
    data = dict(page.form(button="Allow").data({}, "Allow"))
    headers = {name: value for name, value in changed.items() if name == "Origin"}
    fields = data | {name: value for name, value in changed.items() if name in data}
    answer = browser.post(page.address, fields, **headers)
    assert answer.status_code == 403
    assert grants_of(url, app.client) == []


def test_smart_16_the_token_of_one_request_is_worth_nothing_for_another(site, url, user, browser):
    first, second = App(site, add_app(url)), App(site, add_app(url))
    _, page = sign_in(site, user, browser, at=first.address())
    other = browser.get(second.address())
    data = dict(page.form(button="Allow").data({}, "Allow"))
    assert browser.post(other.address, data).status_code == 403
    assert grants_of(url, second.client) == []


@pytest.mark.parametrize("frame", ["iframe", "frame", "embed", "object"])
def test_smart_16_nothing_happens_in_a_frame(site, url, user, browser, frame):
    app = App(site, add_app(url))
    _, page = sign_in(site, user, browser, at=app.address())
    app.code_of(browser.press(page, "Allow"))
    started = browser.client.get(app.address(prompt="none"))
    answer = browser.client.get(started.headers["location"], headers={"Sec-Fetch-Dest": frame})
    assert answer.status_code == 403
    assert "location" not in answer.headers


# --- prompt, max_age --------------------------------------------------------------------------------------------------


def test_smart_A4_silence_without_a_sign_in_is_login_required(app, browser):
    assert app.error_of(browser.get(app.address(prompt="none"))) == "login_required"


def test_smart_A4_silence_without_a_consent_is_consent_required(site, app, user, browser):
    sign_in(site, user, browser)
    assert app.error_of(browser.get(app.address(prompt="none"))) == "consent_required"


def test_smart_A4_silence_where_a_person_has_to_choose_is_interaction_required(site, url, app, browser):
    sign_in(site, add_user(url, "CLINICIAN"), browser)
    assert app.error_of(browser.get(app.address(prompt="none"))) == "interaction_required"


def test_smart_15_silence_is_enough_where_consent_is_remembered(site, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    app.code_of(browser.press(page, "Allow"))
    assert app.tokens(browser.get(app.address(prompt="none")))["scope"]


def test_smart_4_a_fresh_sign_in_is_asked_for_by_prompt_and_by_max_age(site, url, app, user, browser):
    sign_in(site, user, browser)
    _age_session(url, user, 120)
    for asked in ({"prompt": "login"}, {"max_age": "60"}, {"prompt": "select_account"}):
        page = browser.get(app.address(**asked))
        assert page.path == "/sign-in", asked
        assert app.client.name in page.text
    assert step_of(browser.get(app.address(max_age="3600"))) == "consent"
    assert app.error_of(browser.get(app.address(prompt="none", max_age="60"))) == "login_required"
    page = browser.press(browser.get(app.address(prompt="login")), "Sign in", email=user.email, password=PASSWORD)
    assert step_of(page) == "consent"


def _age_session(url: str, user, seconds: int) -> None:
    async def age(connection: AsyncConnection) -> None:
        ago = {"authenticated_at": sessions.c.authenticated_at - seconds}
        await connection.execute(update(sessions).where(sessions.c.user_id == user.id).values(ago))

    in_database(url, age)


# --- organizations ----------------------------------------------------------------------------------------------------


def test_settled_4_2_an_app_of_an_organization_is_for_its_members(site, url, user, browser):
    client = add_app(url, type="confidential", organization_id=OTHER_ORGANIZATION)
    _, page = sign_in(site, user, browser, at=App(site, client).address())
    assert (page.status, page.away) == (403, None)
    assert page.heading == "You cannot use this app"
    assert ("grant", "authorize", "denied", user.id) in [tuple(row[:4]) for row in audited(url, client)]


def test_settled_4_2_a_public_app_asks_for_the_organization_where_there_are_several(site, url, app, browser):
    user = add_user(url, "CLINICIAN")
    add_membership(url, user, OTHER_ORGANIZATION, "NURSE")
    _, page = sign_in(site, user, browser, at=app.address("user/Observation.cruds openid"))
    assert step_of(page) == "organization"
    assert not list(page.faults())
    page.form(button="Continue").tick("organization", OTHER_ORGANIZATION)
    page = browser.press(page, "Continue")
    assert step_of(page) == "consent"
    app.code_of(browser.press(page, "Allow"))
    (grant,) = grants_of(url, app.client)
    assert (grant.organization_id, grant.role) == (OTHER_ORGANIZATION, "NURSE")
    assert grant.scope == "user/Observation.rs openid"  # the app is not registered for more


def test_smart_16_an_organization_of_others_cannot_be_chosen(site, url, app, browser):
    user = add_user(url, "CLINICIAN", organization=OTHER_ORGANIZATION)
    add_membership(url, user, add_organization(url), "NURSE")
    _, page = sign_in(site, user, browser, at=app.address("user/*.rs"))
    data = dict(page.form(button="Continue").data({}, None)) | {"organization": ORGANIZATION}
    assert browser.post(page.address, data).status_code == 403
    assert step_of(browser.get(page.address.rsplit("/", 1)[0])) == "organization"


def test_smart_15_nobody_can_jump_ahead(site, url, app, browser):
    user = add_user(url, "CLINICIAN")
    _, page = sign_in(site, user, browser, at=app.address())
    assert step_of(page) == "patient"
    path = page.path.rsplit("/", 1)[0]
    for step in ("consent", "encounter"):
        assert step_of(browser.get(f"{path}/{step}")) == "patient"
    page = browser.press(browser.get(f"{path}/patient"), "Cancel and go back to the app")
    assert app.error_of(page) == "access_denied"


def test_smart_C4_nothing_that_the_role_can_have_is_invalid_scope(site, url, browser):
    client = add_app(url, scope="user/Binary.d user/AuditEvent.rs")
    app = App(site, client)
    _, page = sign_in(site, add_user(url, "NURSE"), browser, at=app.address("user/AuditEvent.rs"))
    assert app.error_of(page) == "invalid_scope"


def test_smart_C12_another_person_in_the_same_browser_begins_anew(site, url, app, user, browser):
    clinician = add_user(url, "CLINICIAN")
    put(site, "Patient", "flow-2", name=[{"family": "Levin"}])
    _, page = sign_in(site, clinician, browser, at=app.address())
    form = next(each for each in page.forms if "flow-2" in {button.value for button in each.buttons})
    page = browser.press(page, "patient=flow-2", form=form)
    assert step_of(page) == "consent"
    page = browser.get(page.links["Not you?"])
    assert page.path == "/sign-in"
    page = browser.press(page, "Sign in", email=user.email, password=PASSWORD)
    assert step_of(page) == "consent"
    assert "Levin" not in page.text


# --- more of §4 -------------------------------------------------------------------------------------------------------


def test_smart_A12_a_consent_that_is_sent_many_times_at_once_gives_one_code(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address())
    data = page.form(button="Allow").data({}, "Allow")
    cookies = dict(browser.client.cookies)

    def send(_number: int) -> httpx.Response:
        return httpx.post(
            page.address,
            data=dict(data) | {"scope": [value for name, value in data if name == "scope"]},
            cookies=cookies,
            headers={"Origin": site.settings.base_url},
            timeout=60,
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert sorted(answer.status_code for answer in answers) == [303, *[409] * 7]
    assert len(grants_of(url, app.client)) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_smart_A13_several_kilobytes_of_scopes_are_taken(site, url, user, browser, method):
    category = "http://terminology.hl7.org/CodeSystem/observation-category"
    words = [f"patient/Observation.rs?category={category}|{code}" for code in ("laboratory", "vital-signs", "survey")]
    words += [f"patient/{name}.rs" for name in sorted(RESOURCE_TYPES) if name != "Observation"]
    app = App(site, add_app(url, scope="patient/*.rs"))
    sign_in(site, user, browser)
    asked = app.parameters(" ".join(words))
    address = f"{site.settings.base_url}/oauth/authorize"
    started = (
        httpx.get(address, params=asked, timeout=30) if method == "GET" else httpx.post(address, data=asked, timeout=30)
    )
    page = browser.get(started.headers["location"])
    assert step_of(page) == "consent"
    granted = app.tokens(browser.press(page, "Allow"))["scope"].split()
    assert set(words) - set(granted) == {"patient/AuditEvent.rs", *_without_rights(words)}


def _without_rights(words: list[str]) -> set[str]:
    role = roles()["PATIENT"]
    return {word for word in words if not role.rights(word.partition("/")[2].partition(".")[0])}


def test_smart_O4_the_nonce_and_the_time_of_sign_in_reach_the_identity_token(site, app, user, browser):
    before = int(time.time())
    _, page = sign_in(site, user, browser, at=app.address("openid patient/*.rs", nonce="n-1", max_age="600"))
    tokens = app.tokens(browser.press(page, "Allow"))
    body = tokens["id_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["nonce"] == "n-1"
    assert claims["sub"] == user.id
    assert before - 1 <= claims["auth_time"] <= time.time() + 1


def test_smart_C11_F6_online_access_is_bound_to_the_session(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address("patient/*.rs online_access"))
    tokens = app.tokens(browser.press(page, "Allow"))
    assert tokens["scope"] == "patient/*.rs online_access"
    (grant,) = grants_of(url, app.client)
    assert grant.session_id
    browser.press(browser.get("/sign-out"), "Sign out")
    (grant,) = grants_of(url, app.client)
    assert grant.revoked_at


def test_smart_C12_user_scopes_of_a_patient_are_of_the_own_record(site, url, app, user, patient, browser):
    put(site, "Patient", "flow-9", name=[{"family": "Foreign"}])
    _, page = sign_in(site, user, browser, at=app.address("user/*.rs"))
    tokens = app.tokens(browser.press(page, "Allow"))
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    found = httpx.get(f"{site.base}/Patient", headers=bearer, timeout=30).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [patient]


def test_smart_15_identity_alone_is_about_no_patient(site, url, app, user, browser):
    _, page = sign_in(site, user, browser, at=app.address("openid patient/*.rs"))
    page.form(button="Allow").untick("scope", "1.read")
    tokens = app.tokens(browser.press(page, "Allow"))
    assert tokens["scope"] == "openid"
    assert "patient" not in tokens


def test_smart_4_the_sign_in_page_knows_who_is_expected(app, user, browser):
    page = browser.get(app.address(login_hint=user.email))
    (field,) = page.form().named("email")
    assert field.value == user.email
    assert app.client.name in page.text


def test_smart_A4_silence_for_somebody_who_cannot_use_the_app_is_access_denied(site, url, user, browser):
    app = App(site, add_app(url, type="confidential", organization_id=OTHER_ORGANIZATION))
    sign_in(site, user, browser)
    assert app.error_of(browser.get(app.address(prompt="none"))) == "access_denied"


def test_smart_16_no_answer_takes_its_address_from_the_host_header(site, app):
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    address = f"{site.settings.base_url}/oauth/authorize"
    started = httpx.get(address, params=app.parameters(), headers=headers, timeout=30)
    assert started.headers["location"].startswith("/authorize/")
    told = httpx.get(address, params=app.parameters(state=None), headers=headers, timeout=30)
    assert "evil" not in told.headers["location"]
    asked = httpx.get(
        f"{site.settings.base_url}{started.headers['location']}", headers=headers, follow_redirects=False, timeout=30
    )
    assert asked.headers["location"].startswith("/sign-in?next=%2Fauthorize%2F")


def test_security_OA13_a_role_that_sees_no_patients_has_none_to_choose(site, url, app, browser):
    _, page = sign_in(site, add_user(url, "AUDITOR"), browser, at=app.address("launch/patient openid"))
    assert step_of(page) == "patient"
    assert "no patient whom you may choose" in page.text
    data = dict(page.form(button="Search").data({}, "Search")) | {"patient": "flow-1"}
    assert browser.post(page.address, data).status_code == 403


# --- what changes while a page is open --------------------------------------------------------------------------------


def change_user(url: str, table, user, **values: object) -> None:
    async def change(connection: AsyncConnection) -> None:
        column = table.c.id if table is users else table.c.user_id
        await connection.execute(update(table).where(column == user.id).values(values))

    in_database(url, change)


def test_smart_16_a_role_that_changed_meanwhile_makes_the_page_worth_nothing(site, url, app, browser):
    user = add_user(url, "ORG_ADMIN")
    _, page = sign_in(site, user, browser, at=app.address("user/Claim.cruds user/AuditEvent.rs openid"))
    assert step_of(page) == "consent"
    change_user(url, user_organizations, user, role="CLINICIAN")
    assert browser.press(page, "Allow").status == 403
    assert grants_of(url, app.client) == []
    tokens = app.tokens(browser.press(browser.get(page.address), "Allow"))
    assert tokens["scope"] == "user/Claim.rs openid"


def test_smart_16_a_patient_whose_link_went_meanwhile_is_not_granted(site, url, app, patient, browser):
    user = add_user(url, "PATIENT", patients=[patient])
    _, page = sign_in(site, user, browser, at=app.address())

    async def unlink(connection: AsyncConnection) -> None:
        await UserRepository(connection).set_patients(user.id, ORGANIZATION, ())

    in_database(url, unlink)
    page = browser.press(page, "Allow")
    assert step_of(page) == "patient"
    assert "no patient whom you may choose" in page.text
    assert grants_of(url, app.client) == []


def test_smart_16_a_person_who_was_disabled_meanwhile_grants_nothing(site, url, app, patient, browser):
    user = add_user(url, "PATIENT", patients=[patient])
    _, page = sign_in(site, user, browser, at=app.address())
    change_user(url, users, user, is_active=False)
    assert browser.press(page, "Allow").path == "/sign-in"
    assert grants_of(url, app.client) == []


def test_smart_16_a_membership_that_ended_meanwhile_grants_nothing(site, url, app, browser):
    user = add_user(url, "CLINICIAN")
    _, page = sign_in(site, user, browser, at=app.address("user/*.rs"))
    change_user(url, user_organizations, user, is_active=False)
    assert browser.press(page, "Allow").status == 403
    assert grants_of(url, app.client) == []


def test_smart_16_a_registration_that_shrank_meanwhile_is_heeded(site, url, user, browser):
    app = App(site, add_app(url))
    _, page = sign_in(site, user, browser, at=app.address("patient/*.rs openid"))
    client = change_app(url, replace(app.client, scope="patient/Patient.r openid"))
    assert browser.press(page, "Allow").status == 403
    page = browser.get(page.address)
    change_app(url, replace(client, redirect_uris=("https://app.example/new",)))
    assert browser.press(page, "Allow").status == 400
    change_app(url, client)
    assert app.tokens(browser.press(browser.get(page.address), "Allow"))["scope"] == "patient/Patient.r openid"
