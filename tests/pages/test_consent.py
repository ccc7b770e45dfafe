"""The consent page and what is remembered of it (`smart.md` §15, C4, C8; §16 consent tampering)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from fhir_server.oauth.logos import embedded_logo
from storage.authorization.grants import revoke_grants
from storage.tables.authorization import grants
from tests.pages.apps import App, add_app, change_app, grants_of, put, step_of
from tests.pages.forms import Browser, Page, form_action
from tests.pages.people import add_user, in_database, sign_in

LOGO = embedded_logo(b"\x89PNG\r\n\x1a\nof no use")
LABORATORY = "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
SDOH = "patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh"
PROBLEMS = "patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|problem-list-item"
ASKED = (
    "patient/Patient.rs patient/Observation.rs patient/Condition.rs patient/CarePlan.cruds "
    "openid fhirUser offline_access"
)
RISKY = "patient/*.cruds openid fhirUser offline_access online_access launch/patient user/*.cruds"


@pytest.fixture(scope="module")
def user(site, url):
    patients = [put(site, "Patient", known, name=[{"family": "Agreed"}]) for known in ("agree-1",)]
    return add_user(url, "PATIENT", patients=patients, name="Robin <b>Doe</b>")


@pytest.fixture
def app(site, url) -> App:
    return App(site, add_app(url, scope=RISKY, publisher="Makers & Co"))


def consent(app: App, user, browser: Browser, scope: str = ASKED, **more: str) -> Page:
    """Return the consent page."""
    page = browser.get(app.address(scope, **more))
    if page.path == "/sign-in":
        _, page = sign_in(app.site, user, browser, at=app.address(scope, **more))
    assert step_of(page) == "consent", (page.path, page.text)
    return page


def boxes(page: Page) -> dict[str, str]:
    """Return the boxes of scopes by what their labels say."""
    form = page.form(button="Allow")
    return {control.value: control.name for control in form.controls if control.type == "checkbox"}


def allow(app: App, browser: Browser, page: Page) -> str:
    """Allow what is ticked and return the scope of the token response."""
    return str(app.tokens(browser.press(page, "Allow"))["scope"])


def test_smart_15_the_page_tells_who_asks_who_is_asked_and_for_whom(url, app, user, browser):
    change_app(url, replace(app.client, logo_uri=LOGO))
    page = consent(app, user, browser)
    assert not list(page.faults())
    assert page.heading == f"Allow {app.client.name}?"
    for fact in (
        "Makers & Co",
        "not verified",
        "app.example",
        "Robin <b>Doe</b>",
        "Agreed",
        "This site has not checked",
    ):
        assert fact in page.text, fact
    assert f'src="{LOGO}"' in page.html
    assert "<b>Doe" not in page.html
    assert form_action(page.response) == ["'self'", "https://app.example"]


def test_smart_16_SSRF_a_logo_from_elsewhere_is_not_fetched(url, app, user, browser):
    change_app(url, replace(app.client, logo_uri="https://tracker.example/pixel.png", is_verified=True))
    page = consent(app, user, browser)
    assert "tracker" not in page.html
    assert "not verified" not in page.text
    assert "This site has not checked" not in page.text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"])
def test_smart_16_XSS_what_an_app_is_called_is_text(url, app, user, browser, text):
    change_app(url, replace(app.client, name=text, publisher=text))
    page = consent(app, user, browser)
    assert text not in page.html or "<" not in text
    assert text in page.text
    assert not list(page.faults())


def test_smart_15_scopes_are_told_in_plain_words_by_what_they_let_the_app_do(app, user, browser):
    page = consent(app, user, browser)
    assert list(boxes(page)) == [
        "0.read",
        "1.read",
        *("clinical-test", "laboratory", "social-history", "sdoh", "survey", "vital-signs"),
        "2.read",
        *("encounter-diagnosis", "problem-list-item", "health-concern"),
        "3.read",
        "3.change",
        "identity",
        "stay",
    ]
    for words in (
        "See personal details",
        "Add and change care plans",
        "more than looking",
        "Keep this access when you are not",
    ):
        assert words in page.text, words


def test_smart_15_deleting_stands_out(site, url, browser):
    app = App(site, add_app(url, scope=RISKY))
    page = consent(app, add_user(url, "CLINICIAN"), browser, "user/CarePlan.cruds")
    assert list(boxes(page)) == ["0.read", "0.change", "0.delete"]
    assert '<fieldset class="delete">' in page.html
    assert "Delete care plans – of everyone whose data you may see" in page.text
    page.form(button="Allow").untick("scope", "0.delete")
    assert allow(app, browser, page) == "user/CarePlan.crus"


def test_smart_15_a_wildcard_is_told_as_everything_now_and_in_future(app, user, browser):
    page = consent(app, user, browser, "patient/*.rs")
    assert "all health data there is, now and in future" in page.text
    assert "everything" in page.text


def test_smart_15_what_is_kept_offline_is_told_with_its_duration(site, app, user, browser):
    page = consent(app, user, browser)
    assert f"after {site.settings.refresh_token_idle_days} days without use" in page.text
    assert f"after {site.settings.refresh_token_days} days in any case" in page.text
    assert "days" not in consent(app, user, browser, "patient/*.rs online_access").text


def test_smart_C4_everything_ticked_is_granted_as_it_was_asked(app, user, browser):
    page = consent(app, user, browser, "patient/Observation.read patient/*.cruds openid fhirUser")
    assert allow(app, browser, page) == "patient/Observation.read patient/*.crus openid fhirUser"


def test_smart_C4_what_is_unticked_is_not_granted(app, user, browser):
    page = consent(app, user, browser)
    form = page.form(button="Allow")
    for value in ("1.read", "3.change", "stay"):
        form.untick("scope", value)
    granted = allow(app, browser, page)
    assert granted == "patient/Patient.rs patient/Condition.rs patient/CarePlan.rs openid fhirUser"


def test_smart_C8_conditions_and_observations_can_be_narrowed_to_categories(app, user, browser):
    page = consent(app, user, browser, "launch/patient patient/Patient.rs patient/Observation.rs patient/Condition.rs")
    form = page.form(button="Allow")
    form.tick("only-2", "laboratory").tick("only-2", "sdoh").tick("only-3", "problem-list-item")
    granted = allow(app, browser, page)
    assert granted == f"launch/patient patient/Patient.rs {LABORATORY} {SDOH} {PROBLEMS}"


def test_smart_15_nothing_ticked_and_what_the_app_needs_are_asked_for_again(url, app, user, browser):
    change_app(url, replace(app.client, required_scope="patient/Patient.rs"))
    page = consent(app, user, browser)
    assert "needed by the app" in page.text
    page.form(button="Allow").untick("scope", "0.read")
    page.form(button="Allow").untick("scope", "stay")
    page = browser.press(page, "Allow")
    assert page.status == 422
    assert "does not work without" in page.text
    ticked = {control.value for control in page.form(button="Allow").controls if control.checked}
    assert "stay" not in ticked
    assert "1.read" in ticked
    page.form(button="Allow").tick("scope", "0.read")
    assert "offline_access" not in allow(app, browser, page)


def test_smart_15_allow_and_deny_are_equal(app, user, browser):
    page = consent(app, user, browser)
    assert 'class="actions equal"' in page.html
    assert [button.label for button in page.form(button="Allow").buttons] == ["Allow", "Deny"]


@pytest.mark.parametrize(
    "added",
    [
        ("scope", "patient/*.cruds"),
        ("scope", "0.delete"),
        ("scope", "99.read"),
        ("only-1", "everything"),
    ],
)
def test_smart_16_a_form_that_grew_is_refused(url, app, user, browser, added):
    page = consent(app, user, browser)
    data = [*page.form(button="Allow").data({}, "Allow"), added]
    assert browser.post(page.address, data).status_code == 403
    assert grants_of(url, app.client) == []


@pytest.mark.parametrize("decision", ["", "maybe"])
def test_smart_16_only_a_button_decides(url, app, user, browser, decision):
    page = consent(app, user, browser)
    data = [pair for pair in page.form(button="Allow").data({}, "Allow") if pair[0] != "decision"]
    assert browser.post(page.address, [*data, ("decision", decision)]).status_code == 400
    twice = [*data, ("decision", "deny"), ("decision", "approve")]
    assert browser.post(page.address, twice).status_code == 400
    assert grants_of(url, app.client) == []


def test_smart_16_fields_of_another_name_add_nothing(app, user, browser):
    page = consent(app, user, browser, "patient/Patient.r")
    data = [*page.form(button="Allow").data({}, "Allow"), ("client_id", "other"), ("patient", "x"), ("only-0", "sdoh")]
    answer = browser.post(page.address, data)
    assert answer.status_code == 303
    assert app.tokens(Page(answer, away=answer.headers["location"]))["scope"] == "patient/Patient.r"


# --- remembered -------------------------------------------------------------------------------------------------------


def agree(app: App, user, browser: Browser, scope: str = ASKED) -> None:
    app.code_of(browser.press(consent(app, user, browser, scope), "Allow"))


def test_smart_15_what_was_agreed_to_is_remembered(url, app, user, browser):
    agree(app, user, browser)
    assert (
        app.tokens(browser.get(app.address("patient/Observation.rs openid")))["scope"]
        == "patient/Observation.rs openid"
    )
    assert len(grants_of(url, app.client)) == 2


def test_smart_15_a_fresh_sign_in_may_be_all_that_is_missing(app, user, browser, new_browser):
    agree(app, user, browser)
    _, page = sign_in(app.site, user, new_browser(), at=app.address("patient/Patient.rs"))
    app.code_of(page)  # the sign-in page allows the redirect that follows its form


@pytest.mark.parametrize("scope", [f"{ASKED} online_access user/Patient.r", "patient/*.rs", "patient/Patient.rus"])
def test_smart_15_scopes_that_grew_are_asked_for_again(app, user, browser, scope):
    agree(app, user, browser)
    page = browser.get(app.address(scope))
    assert step_of(page) == "consent", page.away


def test_smart_15_what_was_narrowed_is_asked_for_again(app, user, browser):
    page = consent(app, user, browser)
    page.form(button="Allow").tick("only-1", "laboratory")
    app.code_of(browser.press(page, "Allow"))
    assert step_of(browser.get(app.address("patient/Observation.rs"))) == "consent"
    assert app.tokens(browser.get(app.address(LABORATORY)))["scope"] == LABORATORY


def test_smart_15_prompt_consent_asks_again(app, user, browser):
    agree(app, user, browser)
    assert step_of(browser.get(app.address(ASKED, prompt="consent"))) == "consent"


def test_smart_15_another_app_another_person_and_another_patient_are_asked(site, url, app, user, browser, new_browser):
    agree(app, user, browser)
    other = App(site, add_app(url, scope=RISKY))
    assert step_of(browser.get(other.address(ASKED))) == "consent"
    put(site, "Patient", "agree-2", name=[{"family": "Second"}])
    proxy = add_user(url, "PATIENT", patients=["agree-1", "agree-2"])
    theirs = new_browser()
    _, page = sign_in(site, proxy, theirs, at=app.address("patient/*.rs"))
    for patient in ("agree-1", "agree-2"):
        page = theirs.get(app.address("patient/*.rs"))
        form = next(each for each in page.forms if patient in {button.value for button in each.buttons})
        page = theirs.press(page, f"patient={patient}", form=form)
        assert step_of(page) == "consent", patient
        app.code_of(theirs.press(page, "Allow"))


def test_smart_15_a_withdrawn_and_an_old_consent_are_forgotten(url, app, user, browser):
    agree(app, user, browser)
    (grant,) = grants_of(url, app.client)

    async def age(connection: AsyncConnection) -> None:
        await connection.execute(update(grants).where(grants.c.id == grant.id).values(created_at=1))

    in_database(url, age)
    assert step_of(browser.get(app.address(ASKED))) == "consent"
    agree(app, user, browser)
    app.code_of(browser.get(app.address(ASKED)))

    async def withdraw(connection: AsyncConnection) -> None:
        await revoke_grants(connection, [grants.c.client_id == app.client.id], "withdrawn", 2)

    in_database(url, withdraw)
    assert step_of(browser.get(app.address(ASKED))) == "consent"


@pytest.mark.parametrize("redirect_uri", ["com.example.app:/callback", "http://127.0.0.1:9/callback"])
def test_smart_15_a_public_app_that_another_could_pose_as_is_never_remembered(site, url, user, browser, redirect_uri):
    app = App(site, add_app(url, scope=RISKY, redirect_uris=(redirect_uri,)), redirect_uri)
    agree(app, user, browser)
    page = consent(app, user, browser)
    assert page.status == 200
    source = "com.example.app:" if redirect_uri.startswith("com") else "http://127.0.0.1:9"
    assert source in form_action(page.response)
    assert app.error_of(browser.get(app.address(ASKED, prompt="none"))) == "consent_required"
