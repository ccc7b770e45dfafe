"""Each page for people in a browser that runs no scripts: what it looks like, and how it is used by keyboard."""

from __future__ import annotations

import base64
import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from selenium.webdriver.common.keys import Keys

from fhir_server.demo.cast import MOTHER, PASSWORD
from tests.browser.accessibility import look_at
from tests.browser.asking import question
from tests.browser.cast import EHR_APP_NAME
from tests.browser.people import ADMIN, DOCTOR, EVERYWHERE, JANE, MARA, allow, choose_patient, look_for, sign_in
from tests.conftest import new_database_url

MOST = (
    "launch/patient launch/encounter openid fhirUser offline_access patient/Patient.r patient/Observation.cruds"
    " patient/Condition.rs patient/MedicationRequest.rs"
)


@pytest.fixture(scope="module", params=["sqlite"])
def database_url(request, tmp_path_factory):
    """One engine will do: what pages look like does not depend on it."""
    return new_database_url(request.param, request, tmp_path_factory.mktemp("database"))


def back_at_app(browser, app) -> dict[str, list[str]]:
    browser.until(lambda: browser.address.startswith(app), "the app")
    return parse_qs(urlsplit(browser.address).query)


def test_smart_15_sign_in_says_which_app_asks_and_nothing_of_what_was_wrong(site, app, plain):
    plain.open(question(site, app, MOST))
    assert plain.heading == "Sign in"
    assert EHR_APP_NAME in plain.text
    assert "Harbour Health" in plain.text
    look_at(plain, "sign-in")
    sign_in(plain, JANE, "not the password")
    look_at(plain, "sign-in-refused")
    wrong = plain.of("main")
    sign_in(plain, "nobody@demo.example", "not the password")
    assert plain.of("main") == wrong


def test_smart_15_pickers_and_consent_of_somebody_who_acts_for_others(site, app, plain):
    plain.open(question(site, app, MOST))
    sign_in(plain, MARA)
    plain.until_heading("Choose a patient")
    look_at(plain, "patients-of-a-proxy")
    choose_patient(plain, "Mara Inés Lindqvist")
    plain.until_heading("Choose a visit")
    look_at(plain, "encounters")
    plain.choose("2026-03-02")
    plain.press("Continue")
    plain.until(lambda: plain.heading.startswith("Allow"), "the question")
    look_at(plain, "consent")
    equal = [each.size for each in plain.all(".actions.equal button")]
    assert equal[0]["height"] == equal[1]["height"]
    assert abs(equal[0]["width"] - equal[1]["width"]) < 8
    plain.press("Allow")
    answer = back_at_app(plain, app)
    assert answer["state"] == ["a state"]
    assert answer["iss"] == [site.settings.base_url]
    assert len(answer["code"]) == 1


def test_smart_15_the_search_of_a_clinician(site, app, plain):
    plain.open(question(site, app, "launch/patient patient/*.rs"))
    sign_in(plain, DOCTOR)
    plain.until_heading("Choose a patient")
    look_at(plain, "patients-before-a-search")
    look_for(plain, "Lindqvist")
    look_at(plain, "patients-found")
    look_for(plain, "Nobodywhatsoever")
    assert "Nobody was found" in plain.text
    look_at(plain, "patients-none-found")
    plain.press("Cancel")
    assert back_at_app(plain, app)["error"] == ["access_denied"]


def test_smart_15_changing_and_deleting_stand_out(site, app, plain):
    asked = "launch/patient patient/Patient.rs patient/Observation.cruds patient/Condition.rs offline_access"
    plain.open(question(site, app, asked))
    sign_in(plain, DOCTOR)
    look_for(plain, "Lindqvist")
    choose_patient(plain, "Mara Inés Lindqvist")
    plain.until(lambda: plain.heading.startswith("Allow"), "the question")
    look_at(plain, "consent-with-changes")
    assert plain.all("fieldset.change")
    assert plain.all("fieldset.delete")
    colours = {
        plain.run("return getComputedStyle(arguments[0]).borderLeftColor", each) for each in plain.all("fieldset")
    }
    assert len(colours) == 2


def test_smart_15_the_organization_of_somebody_with_several(site, app, plain):
    plain.open(question(site, app, "openid fhirUser user/Patient.rs"))
    sign_in(plain, EVERYWHERE)
    plain.until_heading("Choose an organization")
    look_at(plain, "organizations")
    plain.press("Continue")
    allow(plain)
    assert "code" in back_at_app(plain, app)


def test_smart_15_by_keyboard_alone(site, app, plain):
    plain.open(question(site, app, "launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs"))
    assert plain.focused() == "E-mail address"
    plain.keys(JANE, Keys.TAB)
    assert plain.focused() == "Password"
    plain.keys(PASSWORD, Keys.ENTER)
    plain.until(lambda: plain.heading.startswith("Allow"), "the question")
    plain.tab_to("Skip to content")
    plain.keys(Keys.ENTER)
    plain.tab_to("Laboratory")
    plain.keys(Keys.SPACE)
    assert plain.field("Laboratory").is_selected()
    plain.tab_to("Deny")
    plain.run("document.activeElement.parentElement.querySelector('button').focus()")
    assert plain.focused() == "Allow"
    plain.keys(Keys.ENTER)
    assert "code" in back_at_app(plain, app)


def test_smart_A2_the_error_page(site, app, plain):
    plain.open(question(site, app, "openid", redirect_uri="https://evil.example/<script>alert(1)</script>"))
    assert plain.address.startswith(site.settings.base_url)
    assert "evil.example" not in plain.text
    assert "Reference:" in plain.text
    look_at(plain, "error")


def test_smart_15_account_apps_and_signing_out(site, app, plain):
    plain.open(question(site, app, "launch/patient openid offline_access patient/Patient.rs"))
    sign_in(plain, MARA)
    choose_patient(plain, "Elio Lindqvist")
    allow(plain)
    back_at_app(plain, app)
    plain.open(f"{site.settings.base_url}/account")
    look_at(plain, "account")
    plain.press("Apps with access")
    assert EHR_APP_NAME in plain.text
    assert "Elio Lindqvist" in plain.text
    look_at(plain, "apps")
    while plain.has_button("Withdraw"):
        plain.press("Withdraw")
    assert "No app has access." in plain.text
    look_at(plain, "apps-none")
    plain.open(f"{site.settings.base_url}/sign-out")
    look_at(plain, "sign-out")
    plain.press("Sign out")
    look_at(plain, "signed-out")
    plain.open(f"{site.settings.base_url}/account")
    assert plain.heading == "Sign in"


def test_security_AU4_a_second_factor_is_set_up_and_asked_for(site, app, plain):
    plain.open(f"{site.settings.base_url}/account/second-factor")
    sign_in(plain, ADMIN)
    plain.until_heading("Set up a second factor")
    look_at(plain, "second-factor-set-up")
    secret = re.sub(r"\s", "", plain.all("code")[0].text)
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)
    plain.fill("Code", totp.generate(int(time.time())).decode())
    plain.press("Turn on")
    plain.until_heading("Your recovery codes")
    look_at(plain, "recovery-codes")
    recovery = plain.all("code")[0].text
    plain.press("I have kept them")
    plain.open(f"{site.settings.base_url}/account/second-factor")
    look_at(plain, "second-factor")
    plain.open(f"{site.settings.base_url}/sign-out")
    plain.press("Sign out")
    plain.open(question(site, app, "launch/patient patient/Patient.rs"))
    sign_in(plain, ADMIN)
    plain.until_heading("Enter your code")
    look_at(plain, "code")
    plain.fill("Code", "000 000")
    plain.press("Go on")
    look_at(plain, "code-refused")
    plain.fill("Code", recovery)
    plain.press("Go on")
    plain.until_heading("Choose a patient")


def test_smart_L1_L2_L5_the_ehr_opens_an_app_for_its_own_user(site, app, plain):
    plain.open(f"{site.settings.base_url}/launch")
    sign_in(plain, DOCTOR)
    plain.until_heading("Open an app")
    look_at(plain, "launch")
    plain.press_in(EHR_APP_NAME, "Choose")
    plain.until_heading("Choose a patient")
    plain.fill("Name", "Lindqvist")
    plain.press("Search")
    look_at(plain, "launch-patient")
    plain.press_in("Mara Inés Lindqvist", "Choose")
    look_at(plain, "launch-visit")
    plain.press("Open the app")
    plain.until(lambda: plain.address.startswith(f"{app}/launch.html"), "the app")
    told = parse_qs(urlsplit(plain.address).query)
    assert told["iss"] == [site.base]

    plain.open(f"{site.settings.base_url}/sign-out")
    plain.press("Sign out")
    plain.open(f"{site.settings.base_url}/sign-in")
    sign_in(plain, JANE)
    plain.open(question(site, app, "launch patient/Patient.rs", launch=told["launch"][0]))
    assert "code=" not in plain.address
    look_at(plain, "launch-of-somebody-else")


def test_security_TN7_emergency_access_is_opened_with_a_reason_and_ended(site, plain):
    plain.open(f"{site.settings.base_url}/emergency")
    sign_in(plain, DOCTOR)
    plain.until_heading("Emergency access")
    look_at(plain, "emergency")
    plain.fill("Id of the patient", MOTHER)
    plain.fill("Reason", "Brought in unconscious; nobody knows her medicines.")
    plain.press("Open for one hour")
    assert "Open until" in plain.text
    look_at(plain, "emergency-open")
    plain.press("End now")
    assert "Open until" not in plain.text
