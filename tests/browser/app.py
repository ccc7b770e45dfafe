"""The app of somebody else, as a test starts it and reads what it shows."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from tests.browser.chromium import Browser

ENDS = {"ready", "failed", "refreshed", "read"}


def launch(browser: Browser, app: str, base: str, scope: str, **more: object) -> None:
    """Start the app by itself, against a FHIR base; `more` are options of the library."""
    browser.open(f"{app}/launch.html?{urlencode({'iss': base, 'scope': scope, 'more': json.dumps(more)})}")
    browser.until(lambda: not browser.address.startswith(app), "the authorization server")


def until_back(browser: Browser, app: str) -> str:
    """Wait until the app has ended what it does, and return how."""
    browser.until(lambda: browser.address.startswith(app), "the app")
    return str(browser.until(lambda: state if (state := browser.of("state")) in ENDS else "", "an end"))


def given(browser: Browser) -> dict[str, Any]:
    """Return the token response that the app got."""
    found: dict[str, Any] = json.loads(browser.of("response"))
    return found


def do(browser: Browser, button: str) -> str:
    """Press a button of the app and return how it ends."""
    browser.all(f"#{button}")[0].click()
    return str(browser.until(lambda: state if (state := browser.of("state")) in ENDS - {"ready"} else "", "an end"))


def categories(browser: Browser) -> list[str]:
    """Return the categories of the Observations that the app could read."""
    return [each.text for each in browser.all("#observations li")]
