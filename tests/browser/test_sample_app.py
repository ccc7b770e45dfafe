"""The sample app of the demonstration: a newcomer completes a launch in a minute."""

from __future__ import annotations

import json

import pytest

from fhir_server.demo.cast import MOTHER
from tests.browser.accessibility import faults_of
from tests.browser.chromium import Browser
from tests.browser.people import DOCTOR, JANE, MARA, allow, sign_in
from tests.conftest import new_database_url


@pytest.fixture(scope="module", params=["sqlite"])
def database_url(request, tmp_path_factory):
    """The engine of the demonstration."""
    return new_database_url(request.param, request, tmp_path_factory.mktemp("database"))


def start(site, browser: Browser) -> None:
    browser.open(f"{site.settings.base_url}/demo-app/")
    browser.until(lambda: browser.has_button("Connect"), "the button")


def connect(site, browser: Browser) -> None:
    start(site, browser)
    browser.press("Connect to the record")


def kept(browser: Browser) -> dict[str, object]:
    return json.loads(browser.run("return sessionStorage.getItem('token')"))


def test_a_newcomer_connects_signs_in_allows_and_sees_results(site, browser):
    start(site, browser)
    browser.shoot("sample-app-start")
    browser.press("Connect to the record")
    sign_in(browser, JANE)
    allow(browser)
    browser.until_heading("Jane Doe")
    browser.until(lambda: browser.all("#labs tr"), "results")
    assert faults_of(browser) == []
    browser.shoot("sample-app-record")
    assert browser.complaints() == []
    assert "code" not in browser.address


def test_the_sample_app_refreshes_its_token(site, browser):
    connect(site, browser)
    sign_in(browser, JANE)
    allow(browser)
    browser.until_heading("Jane Doe")
    before = kept(browser)
    browser.all("#refresh")[0].click()
    browser.until(lambda: "new token" in browser.text, "another token")
    after = kept(browser)
    assert before["refresh_token"] != after["refresh_token"]
    assert before["access_token"] != after["access_token"]
    assert before["patient"] == after["patient"]


def test_the_sample_app_tells_that_it_was_denied_and_can_start_again(site, browser):
    connect(site, browser)
    sign_in(browser, MARA)
    browser.until_heading("Choose a patient")
    browser.press("Cancel")
    browser.until(lambda: browser.has_button("Connect"), "the button")
    assert browser.all("#message.bad")
    assert faults_of(browser) == []


def test_the_sample_app_opens_from_the_ehr(site, browser):
    browser.open(f"{site.settings.base_url}/launch")
    sign_in(browser, DOCTOR)
    browser.until_heading("Open an app")
    browser.press_in("Lab results", "Choose")
    browser.fill("Name", "Lindqvist")
    browser.press("Search")
    browser.press_in("Mara Inés Lindqvist", "Choose")
    browser.choose("2026-03-02")
    browser.press("Open the app")
    allow(browser)
    browser.until_heading("Mara Inés Lindqvist")
    response = kept(browser)
    assert (response["patient"], response["encounter"]) == (MOTHER, "us-core-visit")


def test_the_sample_app_takes_no_launch_of_another_server(site, browser):
    browser.open(f"{site.settings.base_url}/demo-app/launch.html?iss=https://evil.example/fhir&launch=x")
    browser.until(lambda: "another server" in browser.text, "a refusal")


def test_the_sample_app_takes_no_answer_that_it_did_not_ask_for(site, browser):
    browser.open(f"{site.settings.base_url}/demo-app/?state=x&code=stolen&iss={site.settings.base_url}")
    browser.until(lambda: "no question of ours" in browser.text, "a refusal")
    assert "stolen" not in browser.address
