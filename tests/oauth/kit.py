"""What the conformance kits do with a server, and what they ask of each answer (`smart.md`, column kit).

Nothing here knows more of the server than its FHIR base: addresses are those that discovery told.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from fhir_server.oauth.assertions import ASSERTION_TYPE
from storage.repositories.entities import Client
from tests.oauth.test_assertions import signed
from tests.pages.apps import App
from tests.pages.forms import Browser, Page
from tests.site import Site

ORIGIN = "https://kit.example"
CALLBACK = f"{ORIGIN}/suites/custom/smart/redirect"
LAUNCH = f"{ORIGIN}/suites/custom/smart/launch"
EC = ECKey.generate_key("P-384", private=True)
RSA = RSAKey.generate_key(2048, private=True)
JWKS = {
    "keys": [
        {**EC.as_dict(private=False), "kid": "ec", "use": "sig", "key_ops": ["verify"], "alg": "ES384"},
        {**RSA.as_dict(private=False), "kid": "rsa", "use": "sig", "key_ops": ["verify"], "alg": "RS384"},
    ]
}
SCOPE_FORM = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(\*|read|write|(?=[cruds])c?r?u?d?s?)(\?.+)?")
IDENTITY = {"openid", "fhirUser", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    """Return the header that the kits send: neither name nor secret is form-encoded (T3)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@dataclass
class Kit:
    """A test session of a kit: one FHIR base, and what was learnt of it."""

    site: Site
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """What discovery tells (`well_known_endpoint`, `smart_cors_well_known_endpoint`; D1, D9)."""
        address = f"{self.site.base}/.well-known/smart-configuration"
        answer = self.http.get(address, headers={"Accept": "application/json", "Origin": ORIGIN})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["access-control-allow-origin"] in {ORIGIN, "*"}
        found: dict[str, Any] = answer.json()
        return found

    @property
    def token_endpoint(self) -> str:
        return str(self.configuration["token_endpoint"])

    def read(self, address: str, token: str | None = None) -> httpx.Response:
        """Ask the FHIR base as a kit does; without a token if there is none."""
        headers = {"Accept": "application/fhir+json", "Origin": ORIGIN}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.get(f"{self.site.base}/{address}", headers=headers)

    def found(self, address: str, token: str) -> dict[str, dict[str, Any]]:
        """Search, follow all pages, and return the matches by id."""
        entries: dict[str, dict[str, Any]] = {}
        answer = self.read(address, token)
        while True:
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            entries |= {each["resource"]["id"]: each["resource"] for each in bundle.get("entry", ())}
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not following:
                return entries
            assert following[0].startswith(self.site.base)
            answer = self.read(following[0].removeprefix(f"{self.site.base}/"), token)


@dataclass
class KitApp(App):
    """A kit as an app: it proves who it is by `secret`, by a key, or not at all."""

    kit: Kit = field(kw_only=True)
    secret: str | None = None
    alg: str | None = None

    def renewed(self) -> KitApp:
        """Begin another launch, with a state and a verifier of its own."""
        return KitApp(self.site, self.client, self.redirect_uri, kit=self.kit, secret=self.secret, alg=self.alg)

    def assertion(self, **changes: Any) -> dict[str, str]:
        """Return the parameters of a signed assertion: five minutes, an id of its own, no `client_id` (T4, J2)."""
        claims = {
            "iss": self.client.id,
            "sub": self.client.id,
            "aud": self.kit.token_endpoint,
            "exp": int(time.time()) + 300,
            "jti": secrets.token_hex(32),
            **changes,
        }
        key, kid = (EC, "ec") if self.alg == "ES384" else (RSA, "rsa")
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": signed(claims, key, str(self.alg), kid),
        }

    def ask(self, **form: str | None) -> httpx.Response:
        """Send a token request with what proves who the app is; None leaves a parameter out."""
        proof: dict[str, str] = {}
        headers = {"Origin": ORIGIN}
        if self.alg is not None:
            proof = self.assertion()
        elif self.secret is not None:
            headers |= basic(self.client.id, self.secret)
        else:
            proof = {"client_id": self.client.id}
        sent = {name: value for name, value in (proof | form).items() if value is not None}
        return self.kit.http.post(self.kit.token_endpoint, data=sent, headers=headers)

    def exchange(self, code: str, **changes: str | None) -> httpx.Response:
        """Exchange a code (`smart_token_exchange_stu2_2`)."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self.ask(**(form | changes))

    def refresh(self, token: str, **more: str) -> httpx.Response:
        """Use a refresh token (`smart_token_refresh_stu2`)."""
        return self.ask(grant_type="refresh_token", refresh_token=token, **more)

    def begin(self, browser: Browser, scope: str, method: str = "GET", **more: str) -> Page:
        """Send a browser to the authorization endpoint, by GET or, as `authorize-post` says, by POST (A1)."""
        endpoint = str(self.kit.configuration["authorization_endpoint"])
        asked = self.parameters(scope, **more)
        if method == "GET":
            return browser.get(str(httpx.URL(endpoint, params=asked)))
        started = self.kit.http.post(endpoint, data=asked, headers={"Origin": ORIGIN})
        assert started.status_code in {302, 303}
        return browser.get(started.headers["location"])

    def received(self, page: Page, scope: str | None = None) -> dict[str, Any]:
        """Return the token response for what the browser came back with, as the kit wants it."""
        return token_response(self.exchange(self.code_of(page)), scope)


def app_of(kit: Kit, client: Client, secret: str | None = None, alg: str | None = None) -> KitApp:
    """Return the app that a registration is for."""
    return KitApp(kit.site, client, CALLBACK, kit=kit, secret=secret, alg=alg)


def token_response(answer: httpx.Response, scope: str | None = None) -> dict[str, Any]:
    """Check a token response and return it (`…_response_body_stu2_2`, `…_response_headers`; T11 to T13, T15)."""
    assert answer.status_code == 200, answer.text
    assert "no-store" in answer.headers["cache-control"]
    assert "no-cache" in answer.headers["pragma"]
    assert answer.headers["access-control-allow-origin"] in {ORIGIN, "*"}
    body: dict[str, Any] = answer.json()
    for name in ("access_token", "token_type", "scope"):
        assert isinstance(body[name], str), name
        assert body[name], name
    assert body["token_type"].lower() == "bearer"
    assert isinstance(body["expires_in"], int)
    for name in ("refresh_token", "id_token", "patient", "encounter", "smart_style_url"):
        assert isinstance(body.get(name, ""), str), name
    assert isinstance(body.get("need_patient_banner", True), bool)
    assert all("/" in each["reference"] for each in body.get("fhirContext", ()))
    for each in body["scope"].split():
        assert each in IDENTITY or SCOPE_FORM.fullmatch(each), each
    if scope is not None:
        assert set(body["scope"].split()) <= set(scope.split())
    return body


def capable_of(configuration: dict[str, Any], *capabilities: str) -> None:
    """Check what discovery has to tell (`well_known_capabilities_stu2`; D2, D3)."""
    for name in ("authorization_endpoint", "token_endpoint", "issuer", "jwks_uri", "introspection_endpoint"):
        assert isinstance(configuration[name], str), name
        assert configuration[name].startswith("http"), name
    assert "authorization_code" in configuration["grant_types_supported"]
    assert configuration["code_challenge_methods_supported"] == ["S256"]
    assert set(capabilities) <= set(configuration["capabilities"])


def identity(kit: Kit, app: KitApp, tokens: dict[str, Any]) -> dict[str, Any]:
    """Check an identity token step by step as the group on OpenID Connect does; returns its claims (O1 to O6)."""
    header, payload = (
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in tokens["id_token"].split(".")[:2]
    )
    answer = kit.http.get(f"{payload['iss']}/.well-known/openid-configuration")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    known = answer.json()
    assert known["issuer"] == payload["iss"]
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert known[name], name
    for name in ("response_types_supported", "subject_types_supported"):
        assert known[name], name
    assert "RS256" in known["id_token_signing_alg_values_supported"]
    keys = kit.http.get(known["jwks_uri"]).json()["keys"]
    rsa = [key for key in keys if key["kty"] == "RSA"]
    assert rsa
    assert not [key for key in keys if {"d", "p", "q"} & set(key)]
    assert header["alg"] == "RS256"
    assert header["kid"] in {key["kid"] for key in rsa}
    claims = jwt.decode(tokens["id_token"], KeySet.import_key_set({"keys": rsa}), algorithms=["RS256"]).claims
    assert claims["aud"] == app.client.id
    assert 0 < len(claims["sub"]) < 256
    assert claims["iat"] <= time.time() + 1 < claims["exp"]
    resource_type, _ = claims["fhirUser"].removeprefix(f"{kit.site.base}/").split("/")
    assert resource_type in {"Patient", "Practitioner", "RelatedPerson", "Person"}
    shown = kit.read(claims["fhirUser"].removeprefix(f"{kit.site.base}/"), tokens["access_token"])
    assert shown.status_code == 200
    assert shown.headers["access-control-allow-origin"] in {ORIGIN, "*"}
    assert shown.json()["resourceType"] == resource_type
    return dict(claims)


def refreshed(app: KitApp, tokens: dict[str, Any]) -> dict[str, Any]:
    """Refresh without and with the scopes received, as the kits do one after the other (F1 to F3)."""
    first = token_response(app.refresh(tokens["refresh_token"]))
    assert first["scope"] == tokens["scope"]
    assert first["access_token"] != tokens["access_token"]
    assert first.get("patient") == tokens.get("patient")
    second = token_response(app.refresh(first["refresh_token"], scope=tokens["scope"]))
    assert second["scope"] == tokens["scope"]
    return second


def introspected(kit: Kit, asker: dict[str, str], token: str) -> dict[str, Any]:
    """Ask for a token (`smart_token_introspection_request_group`; I1)."""
    answer = kit.http.post(str(kit.configuration["introspection_endpoint"]), data={"token": token}, headers=asker)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


def refused_everywhere(answers: list[httpx.Response], errors: set[str], statuses: tuple[int, ...] = (400, 401)) -> None:
    """Check that all of several requests were refused as OAuth says."""
    for number, answer in enumerate(answers):
        assert answer.status_code in statuses, (number, answer.text)
        assert answer.json()["error"] in errors, (number, answer.text)
