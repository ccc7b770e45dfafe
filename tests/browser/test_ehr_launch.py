"""An app is opened from the EHR's side, on the page /launch (`smart.md` §5)."""

from __future__ import annotations

from fhir_server.demo.cast import MOTHER
from tests.browser.app import given, until_back
from tests.browser.cast import EHR_APP_NAME
from tests.browser.people import DOCTOR, allow, sign_in

VISIT = "us-core-visit"


def open_app(site, browser, *, patient: str, visit: str | None) -> None:
    browser.open(f"{site.settings.base_url}/launch")
    sign_in(browser, DOCTOR)
    browser.until_heading("Open an app")
    browser.press_in(EHR_APP_NAME, "Choose")
    browser.until_heading("Choose a patient")
    browser.fill("Name", patient.split()[-1])
    browser.press("Search")
    browser.press_in(patient, "Choose")
    browser.until_heading("Open")
    if visit is not None:
        browser.choose(visit)
    browser.press("Open the app")


def test_smart_L2_L4_L5_the_app_opens_with_the_patient_and_the_visit_without_another_sign_in(site, app, browser):
    open_app(site, browser, patient="Mara Inés Lindqvist", visit="2026-03-02")
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    response = given(browser)
    assert response["patient"] == MOTHER
    assert response["encounter"] == VISIT
    assert browser.of("patient") == "Mara Inés Lindqvist"
    assert browser.of("user").endswith("Achterberg")


def test_smart_L7_the_banner_is_shown_when_the_frame_shows_none(site, app, browser):
    open_app(site, browser, patient="Mara Inés Lindqvist", visit=None)
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    response = given(browser)
    assert response["need_patient_banner"] is True
    assert "born 1979-03-04" in browser.of("banner")
    assert "encounter" not in response
    browser.open(response["smart_style_url"])
    assert "color_background" in browser.text


def test_smart_A12_back_and_once_more_gives_a_clean_page_and_no_second_code(site, app, browser):
    open_app(site, browser, patient="Mara Inés Lindqvist", visit=None)
    allow(browser)
    assert until_back(browser, app) == "ready", browser.of("error")
    browser.driver.back()
    browser.until(lambda: browser.address.startswith(site.settings.base_url), "our page")
    if browser.has_button("Allow"):  # kept by the browser for going back
        browser.press("Allow")
    assert browser.address.startswith(site.settings.base_url)
    assert "Reference:" in browser.text
    assert "Something went wrong" not in browser.text
