"""What people do on the pages between an app's question and its answer."""

from __future__ import annotations

from fhir_server.demo.cast import PASSWORD
from tests.browser.chromium import Browser

JANE, MARA, DOCTOR, ADMIN = (f"{name}@demo.example" for name in ("jane", "mara", "clinician", "admin"))
EVERYWHERE = "everywhere@demo.example"
"""A clinician of two organizations, whom the demonstration does not have."""


def sign_in(browser: Browser, email: str, password: str = PASSWORD) -> None:
    """Sign in on the page that asks for it."""
    browser.until_heading("Sign in")
    browser.fill("E-mail address", email)
    browser.fill("Password", password)
    browser.press("Sign in")


def allow(browser: Browser) -> None:
    """Allow what an app asks for."""
    browser.until(lambda: browser.heading.startswith("Allow"), "the question")
    browser.press("Allow")


def allow_unless_remembered(browser: Browser, app: str) -> None:
    """Allow what a confidential app asks for; what it was allowed before is not asked again."""
    browser.until(lambda: browser.address.startswith(app) or browser.heading.startswith("Allow"), "the question")
    if not browser.address.startswith(app):
        allow(browser)


def choose_patient(browser: Browser, name: str) -> None:
    """Choose one of the patients on the page."""
    browser.until_heading("Choose a patient")
    browser.press_in(name, "Choose")


def look_for(browser: Browser, name: str) -> None:
    """Search for a patient by name."""
    browser.until_heading("Choose a patient")
    browser.fill("Name", name)
    browser.press("Search")
