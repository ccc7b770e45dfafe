"""What the authorization server's addresses leave on record (security AD-2): each is in one of these tables.

That the records are made is shown where the addresses are tested; here nothing can be added without saying.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import fhir_server
from fhir_server.oauth.routes import oauth_routes

RECORDED: Final = {
    "/oauth/authorize": "client authorize and launch use, denied",
    "/authorize/{transaction}": "grant authorize, when it is refused for a person",
    "/authorize/{transaction}/cancel": "grant authorize, denied",
    "/authorize/{transaction}/organization": "grant authorize, when it is refused for a person",
    "/authorize/{transaction}/patient": "Patient search-type: whose names were shown",
    "/authorize/{transaction}/encounter": "Encounter search-type: whose visits were shown",
    "/authorize/{transaction}/consent": "grant authorize, allowed or denied; Patient read",
    "/ehr/launch": "launch create",
    "/launch": "Patient search-type; launch create",
    "/oauth/register": "client register",
    "/oauth/token": "access_token of each kind of grant; client authenticate and token, denied",
    "/oauth/introspect": "access_token introspect",
    "/oauth/revoke": "access_token or grant revoke",
    "/sign-in": "session sign-in, allowed or denied",
    "/sign-in/code": "session second-factor or recovery-code, allowed or denied",
    "/sign-in/from/{provider}": "session sign-in; user link, create, role",
    "/sign-out": "session sign-out",
    "/account/password": "user password",
    "/account/second-factor": "user second-factor-on",
    "/account/second-factor/codes": "user recovery-codes",
    "/account/second-factor/off": "user second-factor-off",
    "/account/apps": "Patient read; grant withdraw",
    "/emergency": "break_glass open, allowed or denied",
    "/emergency/end": "break_glass end",
}
UNRECORDED: Final = {
    "/static/pages.css": "the same for everybody",
    "/static/icon.svg": "the same for everybody",
    "/static/smart-style-*.json": "the same for everybody",
    "/fhir/.well-known/smart-configuration": "the same for everybody",
    "/.well-known/openid-configuration": "the same for everybody",
    "/.well-known/oauth-authorization-server": "the same for everybody",
    "/oauth/jwks": "the same for everybody",
    "/oauth/userinfo": "tells the bearer of a token who the bearer is, as the token does",
    "/sign-in/with/{provider}": "sends a browser on; its return is recorded",
    "/account": "shows people what is theirs: name and address, no patient",
}
INTERACTIONS: Final = {
    "access_token": {"client_credentials", "introspect", "revoke", "token"},
    "client": {"authenticate", "authorize", "register"},
    "grant": {"authorize", "revoke", "withdraw"},
    "launch": {"create", "use"},
    "Patient": {"read"},
    "session": {"second-factor", "sign-in", "sign-out"},
    "user": {"create", "link", "password", "recovery-codes", "role", "second-factor-off", "second-factor-on"},
}
"""Every pair that the code names outright; others are chosen while it runs."""


def test_security_AD2_every_address_says_what_it_leaves_on_record():
    paths = {route.path for route in oauth_routes()}
    styles = {path for path in paths if path.startswith("/static/smart-style-")}
    assert len(styles) == 1
    assert (paths - styles) | {"/static/smart-style-*.json"} == RECORDED.keys() | UNRECORDED.keys()
    assert not RECORDED.keys() & UNRECORDED.keys()


def test_security_AD2_whoever_changes_something_is_among_those_that_are_recorded():
    unsafe = {route.path for route in oauth_routes() if "POST" in route.methods}
    assert unsafe - RECORDED.keys() == {"/oauth/userinfo"}


def test_every_record_that_the_code_names_is_known():
    found: dict[str, set[str]] = {}
    folder = Path(fhir_server.__file__).parent
    for path in [*folder.glob("oauth/*.py"), *folder.glob("pages/*.py")]:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Act":
                resource, interaction = call.args[2:4]
                if isinstance(resource, ast.Constant) and isinstance(interaction, ast.Constant):
                    found.setdefault(str(resource.value), set()).add(str(interaction.value))
    assert found == INTERACTIONS
