"""Browser apps of other origins (smart.md §14, security AU-8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from capability.smart import OAUTH_METADATA, OPENID_CONFIGURATION, PATHS, REGISTRATION_PATH, SMART_CONFIGURATION
from fhir_server.cors import is_for_apps
from fhir_server.oauth.routes import oauth_routes
from fhir_server.oauth.styles import PATH as STYLE
from tests.site import Site, patient, running_site

APP: Final = "https://app.example"
"""The origin that is registered."""
STRANGERS: Final = (
    "https://evil.example",
    "http://app.example",
    "https://app.example.evil.example",
    "https://sub.app.example",
    "https://app.example:444",
    "https://APP.example",
    "null",
    "*",
)
PUBLIC: Final = (
    "/fhir/metadata",
    f"/fhir{SMART_CONFIGURATION}",
    OPENID_CONFIGURATION,
    OAUTH_METADATA,
    PATHS["jwks_uri"],
    STYLE,
)
CALLED: Final = tuple(PATHS[f"{name}_endpoint"] for name in ("token", "revocation", "introspection", "userinfo"))
SENT: Final = (
    "authorization",
    "content-type",
    "accept",
    "prefer",
    "if-match",
    "if-none-match",
    "if-none-exist",
    "if-modified-since",
    "x-request-id",
)
READ: Final = {
    "etag",
    "location",
    "content-location",
    "last-modified",
    "retry-after",
    "x-progress",
    "www-authenticate",
    "link",
}
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


@pytest.fixture(scope="module")
def open_site(database_url: str) -> Iterator[Site]:
    with running_site(database_url, cors_origins=(APP,)) as made:
        yield made


def preflight(
    site: Site, path: str, origin: str, method: str = "GET", headers: str = "authorization"
) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return httpx.options(site.settings.base_url + path, headers=asked)


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("origin", [APP, "https://anybody.example"])
def test_smart_X1_anybody_may_read_what_describes_the_server(open_site: Site, path: str, origin: str):
    answer = httpx.get(open_site.settings.base_url + path, headers={"Origin": origin, "Cookie": "any=one"})
    assert answer.status_code == 200
    assert allowed(answer) == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert allowed(preflight(open_site, path, origin)) == "*"


@pytest.mark.parametrize("path", CALLED)
def test_smart_X2_registered_origins_reach_the_endpoints_that_apps_call(open_site: Site, path: str):
    asked = preflight(open_site, path, APP, "POST", "authorization, content-type")
    assert asked.status_code in {200, 204}
    assert allowed(asked) == APP
    answer = httpx.post(open_site.settings.base_url + path, headers={"Origin": APP})
    assert allowed(answer) == APP
    assert "Origin" in answer.headers["vary"]


def test_smart_X2_registered_origins_reach_the_fhir_interface(open_site: Site):
    answer = open_site.client().get("/Patient", headers={"Origin": APP})
    assert (answer.status_code, allowed(answer)) == (200, APP)
    assert "Origin" in answer.headers["vary"]
    assert {each.strip().lower() for each in answer.headers["access-control-expose-headers"].split(",")} >= READ


@pytest.mark.parametrize("path", ["/fhir/Patient", PATHS["token_endpoint"]])
def test_smart_X2_methods_and_headers_that_apps_need_are_allowed(open_site: Site, path: str):
    for method in METHODS:
        answer = preflight(open_site, path, APP, method, ", ".join(SENT))
        assert answer.status_code in {200, 204}, (method, answer.text)
        assert method in answer.headers["access-control-allow-methods"]
    told = answer.headers["access-control-allow-headers"].lower()
    assert all(header in told for header in SENT)


def test_smart_X3_a_preflight_needs_no_token(open_site: Site):
    assert preflight(open_site, "/fhir/Patient/1", APP, "PUT", "authorization, if-match").status_code in {200, 204}


def test_smart_X3_errors_carry_the_same_headers(open_site: Site):
    base, fhir = open_site.settings.base_url, open_site.client()
    origin = {"Origin": APP}
    answers = [
        httpx.get(f"{base}/fhir/Patient", headers=origin),
        open_site.client("system/Patient.r").get("/Observation", headers=origin),
        fhir.get("/Patient/none", headers=origin),
        fhir.post("/Patient", content=b"{", headers=origin),
        fhir.get("/Nothing", headers=origin),
        httpx.get(f"{base}/oauth/userinfo", headers=origin),
        httpx.put(f"{base}/oauth/userinfo", headers=origin),
        httpx.get(f"{base}/oauth/userinfo", headers={**origin, "Authorization": "Bearer a.b.c"}),
    ]
    assert [answer.status_code for answer in answers] == [401, 403, 404, 400, 404, 401, 405, 401]
    for answer in answers:
        assert allowed(answer) == APP
        assert "www-authenticate" in answer.headers["access-control-expose-headers"].lower()


def test_smart_X4_pages_for_people_are_for_no_other_page():
    open_to_apps = set(CALLED) | {path for path in PUBLIC if path != "/fhir/metadata"} | {REGISTRATION_PATH}
    for route in oauth_routes():
        path = getattr(route, "path", "")
        if is_for_apps(path):
            assert path in open_to_apps, path


@pytest.mark.parametrize(
    "path", ["/oauth/authorize", "/authorize/x/consent", "/sign-in", "/account/apps", "/launch", "/ehr/launch", "/"]
)
def test_smart_X4_security_AU8_pages_have_no_cross_origin_headers(open_site: Site, path: str):
    base = open_site.settings.base_url
    for answer in (httpx.get(base + path, headers={"Origin": APP}), preflight(open_site, path, APP)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("origin", STRANGERS)
def test_smart_X5_security_AU8_other_origins_are_not_allowed(open_site: Site, origin: str):
    base = open_site.settings.base_url
    for path in ("/fhir/Patient", *CALLED):
        asked = preflight(open_site, path, origin, "POST")
        assert asked.status_code == 400
        assert allowed(asked) is None
        assert allowed(httpx.get(base + path, headers={"Origin": origin})) is None


def test_smart_X5_security_AU8_credentials_are_never_allowed(open_site: Site):
    for path in (*PUBLIC, *CALLED, "/fhir/Patient"):
        for answer in (
            preflight(open_site, path, APP),
            httpx.get(open_site.settings.base_url + path, headers={"Origin": APP}),
        ):
            assert "access-control-allow-credentials" not in answer.headers


def test_smart_O6_a_browser_app_reads_its_fhir_user(open_site: Site):
    made = open_site.client().post("/Patient", json=patient("Own")).json()["id"]
    token = open_site.token("openid fhirUser", role="PATIENT", fhir_user=f"{open_site.base}/Patient/{made}")
    headers = {"Authorization": f"Bearer {token}", "Origin": APP}
    answer = httpx.get(f"{open_site.base}/Patient/{made}", headers=headers)
    assert (answer.status_code, allowed(answer)) == (200, APP)
