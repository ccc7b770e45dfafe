"""The apps of the browser tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from joserfc.jwk import ECKey, RSAKey

from fhir_server.demo.cast import EVERYTHING
from fhir_server.oauth.clients import Registration, register
from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret
from fhir_server.settings import Settings
from storage.repositories.entities import Client

BROWSER_APP, SECRET_APP, SIGNED_APP = "browser-app", "secret-app", "signed-app"
EHR_APP_NAME = "Growth <b>chart</b>"
"""What an app calls itself is hostile input."""
SECRET = "a secret with : and % and + in it"
ES384 = ECKey.generate_key("P-384", {"alg": "ES384"}, auto_kid=True)
RS384 = RSAKey.generate_key(2048, {"alg": "RS384"}, auto_kid=True)


def private(key: ECKey | RSAKey) -> dict[str, Any]:
    """Return a private JWK as the library wants it."""
    return {**key.as_dict(private=True), "key_ops": ["sign"], "ext": True}


def apps_of(origin: str, settings: Settings) -> tuple[Client, ...]:
    """Return the apps that live at an origin: one without secret, one with a secret, one with keys."""
    public = Registration(
        id=BROWSER_APP,
        type="public",
        scope=EVERYTHING,
        name=EHR_APP_NAME,
        redirect_uris=(f"{origin}/index.html",),
        launch_uris=(f"{origin}/launch.html",),
        origins=(origin,),
    )
    confidential = replace(public, type="confidential", organization_id=settings.organization, launch_uris=())
    keys = {"keys": [key.as_dict(private=False) for key in (ES384, RS384)]}
    secret = hash_client_secret(settings.derive(CLIENT_SECRETS), SECRET)
    return (
        register(public),
        replace(register(replace(confidential, id=SECRET_APP)), secret=secret),
        register(replace(confidential, id=SIGNED_APP, keys=keys)),
    )
