"""The apps of the browser tests."""

from __future__ import annotations

from fhir_server.demo.cast import EVERYTHING
from fhir_server.oauth.clients import Registration, register
from storage.repositories.entities import Client

BROWSER_APP = "browser-app"
EHR_APP_NAME = "Growth <b>chart</b>"
"""What an app calls itself is hostile input."""


def apps_of(origin: str) -> tuple[Client, ...]:
    """Return the apps that live at an origin."""
    return (
        register(
            Registration(
                id=BROWSER_APP,
                type="public",
                scope=EVERYTHING,
                name=EHR_APP_NAME,
                redirect_uris=(f"{origin}/index.html",),
                launch_uris=(f"{origin}/launch.html",),
                origins=(origin,),
            )
        ),
    )
