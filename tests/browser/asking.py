"""Asking for access without an app's script, as a link would: for browsers that run none."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import urlencode

from tests.browser.cast import BROWSER_APP
from tests.site import Site

VERIFIER = "v" * 43


def question(site: Site, app: str, scope: str, **more: str) -> str:
    """Return the address at which the app asks."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    fields = {
        "response_type": "code",
        "client_id": BROWSER_APP,
        "redirect_uri": f"{app}/index.html",
        "scope": scope,
        "state": "a state",
        "aud": site.base,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    return f"{site.settings.base_url}/oauth/authorize?{urlencode(fields | more)}"
