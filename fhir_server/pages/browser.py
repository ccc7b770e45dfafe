"""The browser that asks: its cookie, and the tokens that prove a form is our own (security AU-5, AU-6).

A browser is known by one cookie with 256 random bits. It is no sign-in by itself: a session (`storage.authorization`)
may belong to it. At sign-in it gets a new value, so that nobody can fix it beforehand.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.service import service_of
from fhir_server.settings import Settings
from storage.authorization.opaque import digest, new_opaque

OPAQUE_LENGTH: Final = len(new_opaque())
CSRF_FIELD: Final = "csrf"
SAME_ORIGIN: Final = "same-origin"
NO_ORIGIN: Final = "null"
PURPOSE: Final = "forms"
"""Purpose of the derived key that form tokens are made with."""


def cookie_name(settings: Settings) -> str:
    """Return the name of the cookie: with the `__Host-` promise where the server is reached by https."""
    return "__Host-fhir-server" if is_secure(settings) else "fhir-server"


def is_secure(settings: Settings) -> bool:
    """Say whether people reach the server by https."""
    return settings.base_url.startswith("https:")


def browser_of(request: Request) -> str | None:
    """Return the value of the browser's cookie; None when it has none yet, or one that we did not make."""
    value = _cookie(request, cookie_name(service_of(request).settings))
    return value if len(value) == OPAQUE_LENGTH and value.isascii() else None


def _cookie(request: Request, name: str) -> str:
    """Return the last cookie of a name, empty when there is none.

    `request.cookies` takes backslashes in quotes apart, in Python before 3.11.10 in time that grows with their number
    squared (CVE-2024-7592): one header of 60 KB would stop the worker for seconds. Ours have no quotes.
    """
    found = ""
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            named, _, value = part.partition("=")
            if named.strip() == name:
                found = value.strip()
    return found


def browser_key(browser: str) -> str:
    """Return what is stored of a browser."""
    return digest(browser)


def set_browser(response: Response, settings: Settings, browser: str) -> None:
    """Give the browser its cookie; it goes when the browser is closed."""
    response.set_cookie(
        cookie_name(settings), browser, path="/", secure=is_secure(settings), httponly=True, samesite="lax"
    )


def drop_browser(response: Response, settings: Settings) -> None:
    """Take the cookie away."""
    response.delete_cookie(cookie_name(settings), path="/", secure=is_secure(settings), httponly=True, samesite="lax")


def form_token(settings: Settings, browser: str, form: str) -> str:
    """Return the hidden field of one form of one browser; `form` names it, with the transaction it belongs to."""
    return hmac.digest(settings.derive(PURPOSE), f"{browser}\n{form}".encode(), hashlib.sha256).hex()


def is_own_form(request: Request, settings: Settings, form: str, token: str) -> bool:
    """Say whether a POST comes from our own form in this browser: its token fits, and no other origin sent it."""
    browser = browser_of(request)
    if browser is None or not _is_own_origin(request, settings):
        return False
    return hmac.compare_digest(form_token(settings, browser, form).encode(), token.encode("utf-8", "surrogatepass"))


def _is_own_origin(request: Request, settings: Settings) -> bool:
    """Say whether a page of ours sent this, as far as the browser tells; what tells nothing has the form's token alone.

    Our pages have `Referrer-Policy: no-referrer`, because of which browsers send `Origin: null` with our own forms
    (Fetch, "append a request Origin header"): it says nothing. `Sec-Fetch-Site` then does; `none` is a person's own
    doing, a reload for instance.
    """
    if request.headers.get("sec-fetch-site", SAME_ORIGIN) not in {SAME_ORIGIN, "none"}:
        return False
    own = _origin(settings.base_url)
    for name in ("origin", "referer"):
        sender = request.headers.get(name, NO_ORIGIN)
        if sender != NO_ORIGIN:
            return _origin(sender) == own
    return True


def _origin(address: str) -> str | None:
    """Return the origin of an address; None for what is none."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}"
