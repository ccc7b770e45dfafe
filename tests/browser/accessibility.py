"""What a machine can see of accessibility (WCAG 2.2 AA): names, structure, contrast, sizes, reflow."""

from __future__ import annotations

from pathlib import Path

from tests.browser.chromium import Browser

SMALLEST_WIDTH = 320
"""CSS pixels at which nothing scrolls sideways (WCAG 1.4.10)."""

FAULTS = Path(__file__).with_name("faults.js").read_text("utf-8")


def faults_of(browser: Browser) -> list[str]:
    """Return what is wrong with the page, in light and in dark and at the smallest width."""
    found = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        found += [f"{scheme}: {fault}" for fault in browser.run(FAULTS)]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    with browser.screen(SMALLEST_WIDTH, 700):
        found += [f"{SMALLEST_WIDTH} px: {fault}" for fault in browser.run(FAULTS)]
    return list(dict.fromkeys(found))


def look_at(browser: Browser, name: str) -> None:
    """Keep pictures of a page of ours and find no fault with it."""
    assert faults_of(browser) == []
    assert [each for each in browser.complaints() if "Content Security Policy" in each] == []
    browser.shoot(name)
