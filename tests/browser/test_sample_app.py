"""The sample app of the demonstration: a newcomer completes a launch in a minute."""

from __future__ import annotations


def test_the_sample_app_is_there(site, browser):
    browser.open(f"{site.settings.base_url}/demo-app/")
    browser.until(lambda: browser.has_button("Connect"), "the button")
    browser.shoot("sample-app-start")
    assert browser.complaints() == []
