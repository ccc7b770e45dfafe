"""A browser app with the npm library fhirclient starts by itself (`smart.md` §§4, 6, 7, 9, 10, 15)."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from fhir_server.demo.cast import CHILD, MOTHER, SAMPLE_PATIENT
from tests.browser.app import categories, do, given, launch, until_back
from tests.browser.asking import question
from tests.browser.cast import ES384, RS384, SECRET, SECRET_APP, SIGNED_APP, private
from tests.browser.people import DOCTOR, JANE, MARA, allow, allow_unless_remembered, choose_patient, look_for, sign_in

SCOPE = "launch/patient openid fhirUser offline_access patient/Patient.rs patient/Observation.rs"


def test_smart_P1_a_patient_with_one_record_is_not_asked_which(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, JANE)
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    response = given(browser)
    assert response["patient"] == SAMPLE_PATIENT
    assert set(response["scope"].split()) == set(SCOPE.split())
    assert browser.of("patient") == "Jane Doe"
    assert browser.of("user") == f"Patient/{SAMPLE_PATIENT} Doe"
    assert categories(browser)
    assert browser.complaints() == []


def test_smart_P1_who_acts_for_others_chooses_among_them_alone(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, MARA)
    browser.until_heading("Choose a patient")
    assert len(browser.all(".card")) == 2
    choose_patient(browser, "Elio Lindqvist")
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    assert given(browser)["patient"] == CHILD
    assert browser.of("patient") == "Elio Lindqvist"
    assert browser.of("user") == f"Patient/{MOTHER} Lindqvist"


def test_smart_P1_a_clinician_searches(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, DOCTOR)
    look_for(browser, "Lindqvist")
    assert all("Lindqvist" in each.text for each in browser.all(".card h2"))
    choose_patient(browser, "Elio Lindqvist")
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    assert given(browser)["patient"] == CHILD
    assert browser.of("user").endswith("Achterberg")


def test_smart_15_deny_is_told_to_the_app(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, JANE)
    browser.until(lambda: browser.heading.startswith("Allow"), "the question")
    browser.press("Deny")
    assert until_back(browser, app) == "failed"
    assert "error=access_denied" in browser.address or "denied" in browser.of("error").lower()


def test_smart_C8_narrowed_to_laboratory_the_app_reads_nothing_else(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, JANE)
    browser.until(lambda: browser.heading.startswith("Allow"), "the question")
    browser.choose("Laboratory")
    browser.press("Allow")
    assert until_back(browser, app) == "ready", browser.of("error")
    words = given(browser)["scope"].split()
    category = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    assert f"patient/Observation.rs?category={category}" in words
    assert "patient/Observation.rs" not in words
    assert "patient/Patient.rs" in words
    assert set(categories(browser)) == {"laboratory"}


def test_smart_C4_what_is_unticked_is_not_granted(site, app, browser):
    launch(browser, app, site.base, SCOPE + " patient/Condition.rs")
    sign_in(browser, JANE)
    browser.until(lambda: browser.heading.startswith("Allow"), "the question")
    browser.untick("See health problems")
    browser.press("Allow")
    assert until_back(browser, app) == "ready", browser.of("error")
    assert "Condition" not in given(browser)["scope"]


def test_smart_F4_the_library_refreshes_and_reads_again(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, JANE)
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    before = given(browser)
    assert do(browser, "refresh") == "refreshed", browser.of("error")
    after = given(browser)
    assert after["refresh_token"] != before["refresh_token"]
    assert after["scope"] == before["scope"]
    assert browser.of("patient") == "Jane Doe"


def test_smart_V2_what_a_person_withdraws_is_over_for_the_app(site, app, browser):
    launch(browser, app, site.base, SCOPE)
    sign_in(browser, MARA)
    choose_patient(browser, "Elio Lindqvist")
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    page = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(f"{site.settings.base_url}/account/apps")
    browser.press("Withdraw")
    browser.driver.close()
    browser.driver.switch_to.window(page)
    browser.until(lambda: do(browser, "read") == "failed", "the end of access")
    assert do(browser, "refresh") == "failed"


def test_smart_A2_an_address_that_is_not_registered_gets_a_page_of_ours(site, app, browser):
    query = "response_type=code&client_id=browser-app&redirect_uri=http%3A%2F%2Flocalhost%3A1%2F&state=x"
    browser.open(f"{site.settings.base_url}/oauth/authorize?{query}")
    assert browser.address.startswith(site.settings.base_url)
    assert "localhost:1" not in browser.text


def test_smart_15_after_signing_out_the_back_button_shows_nothing(site, app, browser):
    browser.open(f"{site.settings.base_url}/sign-in")
    sign_in(browser, JANE)
    browser.open(f"{site.settings.base_url}/account")
    assert JANE in browser.text
    browser.press("Sign out")
    browser.driver.back()
    browser.until(lambda: JANE not in browser.text, "nothing of Jane's")


def test_smart_A1_a_question_posted_from_another_site_finds_the_person_signed_in(site, app, browser):
    browser.open(f"{site.settings.base_url}/sign-in")
    sign_in(browser, JANE)
    scopes = " ".join(f"patient/{name}.rs" for name in ("Patient", "Observation", "Condition", "Goal", "Procedure"))
    browser.open(f"{app}/post.html?question={quote(question(site, app, 'launch/patient ' + scopes), safe='')}")
    browser.until(lambda: browser.heading.startswith("Allow"), "the question, without a sign-in")
    browser.press("Allow")
    browser.until(lambda: browser.address.startswith(app), "the app")
    assert "error=" not in browser.address  # the code itself the library takes out of the address


def test_smart_V3_online_access_ends_when_the_person_signs_out(site, app, browser):
    launch(browser, app, site.base, SCOPE.replace("offline", "online"))
    sign_in(browser, JANE)
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    assert do(browser, "refresh") == "refreshed", browser.of("error")
    page = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(f"{site.settings.base_url}/sign-out")
    browser.press("Sign out")
    browser.driver.close()
    browser.driver.switch_to.window(page)
    assert do(browser, "refresh") == "failed"
    assert "invalid_grant" in browser.of("error")


def test_smart_L8_no_page_of_ours_shows_in_a_frame(site, app, browser):
    browser.open(f"{app}/frame.html?page={quote(question(site, app, SCOPE), safe='')}")
    browser.until(lambda: browser.of("state") == "loaded", "the frame")
    browser.driver.switch_to.frame(browser.all("iframe")[0])
    assert browser.all("form, input, main") == []
    browser.driver.switch_to.default_content()
    assert any("frame" in each for each in browser.complaints())


def test_smart_L8_an_app_may_ask_in_a_window_of_its_own(site, app, browser):
    browser.open(f"{app}/launch.html?{urlencode({'iss': site.base, 'scope': SCOPE, 'target': 'popup'})}")
    page = browser.driver.current_window_handle
    browser.all("#open")[0].click()
    browser.until(lambda: len(browser.driver.window_handles) == 2, "the window")
    (window,) = set(browser.driver.window_handles) - {page}
    browser.driver.switch_to.window(window)
    sign_in(browser, JANE)
    browser.until(lambda: browser.heading.startswith("Allow"), "the question")
    browser.all("button[value=approve]")[0].click()
    browser.until(lambda: len(browser.driver.window_handles) == 1, "the end of the window")
    browser.driver.switch_to.window(page)
    assert until_back(browser, app) == "ready", browser.of("error")
    assert browser.of("patient") == "Jane Doe"


@pytest.mark.parametrize(
    ("client_id", "proof"),
    [
        (SECRET_APP, {"clientSecret": SECRET}),
        (SIGNED_APP, {"clientPrivateJwk": private(ES384)}),
        (SIGNED_APP, {"clientPrivateJwk": private(RS384)}),
    ],
    ids=["client_secret_basic", "ES384", "RS384"],
)
def test_smart_T3_T4_the_library_proves_who_the_app_is(site, app, browser, client_id, proof):
    launch(browser, app, site.base, SCOPE, clientId=client_id, **proof)
    sign_in(browser, JANE)
    allow_unless_remembered(browser, app)
    assert until_back(browser, app) == "ready", browser.of("error")
    assert given(browser)["patient"] == SAMPLE_PATIENT
    assert browser.of("patient") == "Jane Doe"


def test_smart_T5_an_app_with_a_secret_gets_nothing_without_it(site, app, browser):
    launch(browser, app, site.base, SCOPE, clientId=SECRET_APP)
    sign_in(browser, JANE)
    allow_unless_remembered(browser, app)
    assert until_back(browser, app) == "failed"
    assert "invalid_client" in browser.of("error")
