"""A browser as a person uses it: fields by their labels, buttons by what is written on them."""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}
PHONE, DESK = (360, 780), (1280, 900)
TALLEST = 6000
"""Pixels of a picture at most."""
PATIENCE = 30.0
"""Seconds until something that does not come is given up."""
SHOTS = Path(os.environ.get("CI_ARTIFACTS") or Path(__file__).parents[2] / "var") / "screenshots"


def start(profile: Path, *, scripts: bool) -> webdriver.Chrome:
    """Start Chromium with a fresh profile; without `scripts` no page runs any."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    assert browser, "Chromium is missing: `make test` installs it"
    assert driver, "chromedriver is missing: `make test` installs it"
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    if not scripts:
        options.add_experimental_option("prefs", NO_SCRIPTS)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    made.set_window_size(*DESK)
    return made


class Browser:
    """One person's browser."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Go to an address."""
        self.driver.get(address)

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.driver.current_url)

    @property
    def heading(self) -> str:
        """The only h1 of the page."""
        return self._steady(lambda: self.driver.find_element(By.TAG_NAME, "h1").text)

    @property
    def text(self) -> str:
        """Everything that can be read."""
        return self._steady(lambda: self.driver.find_element(By.TAG_NAME, "body").text)

    def of(self, element_id: str) -> str:
        """Return the text of the element with an id."""
        return self._steady(lambda: self.driver.find_element(By.ID, element_id).text)

    def all(self, css: str) -> list[WebElement]:
        """Return the elements that a selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def field(self, label: str) -> WebElement:
        """Return the input with a label, which has to be tied to it."""
        for each in self.driver.find_elements(By.TAG_NAME, "label"):
            if re.sub(r"\s+", " ", each.text).strip().startswith(label):
                return self.driver.find_element(By.ID, each.get_attribute("for"))
        raise AssertionError(f"no field {label!r} on {self.heading!r}: {self.text}")

    def fill(self, label: str, value: str) -> None:
        """Write into a field."""
        field = self.field(label)
        field.clear()
        field.send_keys(value)

    def choose(self, label: str) -> None:
        """Tick a box or choose one of several."""
        field = self.field(label)
        if not field.is_selected():
            field.click()

    def untick(self, label: str) -> None:
        """Take a tick away."""
        field = self.field(label)
        if field.is_selected():
            field.click()

    def has_button(self, name: str) -> bool:
        """Say whether there is a button or link with this text."""
        return bool(self._buttons(name))

    def press(self, name: str) -> None:
        """Press the button, or follow the link, with this text and wait until the page is another one."""
        found = self._buttons(name)
        assert found, f"no button {name!r} on {self.heading!r}: {self.text}"
        self._click(found[0], name)

    def press_in(self, card: str, name: str) -> None:
        """Press the button with this text in the one card whose heading begins like this."""
        cards = [each for each in self.all(".card") if each.find_element(By.TAG_NAME, "h2").text.startswith(card)]
        assert len(cards) == 1, f"{len(cards)} cards {card!r} on {self.heading!r}: {self.text}"
        self._click(cards[0].find_element(By.XPATH, f".//button[normalize-space()='{name}']"), name)

    def _click(self, element: WebElement, name: str) -> None:
        page = self.driver.find_element(By.TAG_NAME, "html")
        element.click()
        self.until(lambda: _is_gone(page), f"what {name!r} leads to")

    def _buttons(self, name: str) -> list[WebElement]:
        return [
            each
            for each in self.driver.find_elements(By.CSS_SELECTOR, "button, a[href]")
            if re.sub(r"\s+", " ", each.text).strip().startswith(name)
        ]

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait until something is so and return it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := true():
                    return found
            except StaleElementReferenceException:
                pass
            time.sleep(0.05)
        raise AssertionError(f"waited in vain for {what} at {self.address}: {self.text}")

    def until_heading(self, heading: str) -> None:
        """Wait for a page by its h1."""
        self.until(lambda: heading in self.heading, heading)

    def _steady(self, read: Callable[[], str]) -> str:
        """Read what may be replaced at this moment."""
        for _ in range(50):
            try:
                return str(read())
            except WebDriverException:
                time.sleep(0.05)
        return str(read())

    def run(self, script: str, *arguments: object) -> Any:
        """Run a script of the test's in the page."""
        return self.driver.execute_script(script, *arguments)

    def keys(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self) -> str:
        """Return what the focus is on: its label, its text or its name."""
        element = self.driver.switch_to.active_element
        labels = self.run("return [...(arguments[0].labels ?? [])].map(each => each.innerText).join(' ')", element)
        return re.sub(r"\s+", " ", str(labels or element.text or element.get_attribute("name"))).strip()

    def tab_to(self, name: str) -> None:
        """Press Tab until the focus is on something, and see that the focus shows."""
        for _ in range(80):
            self.keys(Keys.TAB)
            if self.focused().startswith(name):
                outline = self.run("return getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"the focus on {name!r} does not show"
                return
        raise AssertionError(f"Tab never comes to {name!r} on {self.heading!r}")

    def shoot(self, name: str) -> None:
        """Keep what the whole page looks like on a phone and on a desk, and see that it fits both."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        for kind, (width, height) in {"phone": PHONE, "desk": DESK}.items():
            with self.screen(width, height):
                assert self.run("return document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
                whole = int(self.run("return document.documentElement.scrollHeight"))
            with self.screen(width, max(height, min(whole, TALLEST))):
                taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            (SHOTS / f"{name}-{kind}.png").write_bytes(base64.b64decode(taken["data"]))

    @contextmanager
    def screen(self, width: int, height: int) -> Iterator[None]:
        """Be a screen of this size, in CSS pixels, for a while; narrow ones are those of telephones."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < DESK[0]}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def complaints(self) -> list[str]:
        """Return what the browser's console complained of since it was asked last."""
        return [each["message"] for each in self.driver.get_log("browser") if each["level"] in {"SEVERE", "WARNING"}]


def _is_gone(element: WebElement) -> bool:
    """Say whether the page of an element was left; the driver has two ways of telling."""
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    except WebDriverException as error:
        return "does not belong to the document" in str(error.msg)
    return False
