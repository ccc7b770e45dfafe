"""Discovery (smart.md §§1, 2; O1, O2, O8), over HTTP on each engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata

from capability.smart import (
    CAPABILITIES,
    CATEGORIES,
    OAUTH_METADATA,
    OPENID_CONFIGURATION,
    PATHS,
    REGISTRATION_PATH,
    SMART_CONFIGURATION,
    scopes_supported,
    security_extensions,
    smart_configuration,
)
from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.routes import oauth_routes
from fhir_server.oauth.scopes import parse_scopes
from tests.site import Site, running_site, site

__all__ = ["site"]

ANYTHING: Final = ("*/*", "application/fhir+json", "text/html", "application/xml", "image/png")


def document(site: Site, path: str) -> dict[str, Any]:
    return httpx.get(address(site, path)).raise_for_status().json()


def address(site: Site, path: str) -> str:
    return f"{site.base}{path}" if path == SMART_CONFIGURATION else f"{site.settings.base_url}{path}"


@pytest.mark.parametrize("accept", ANYTHING)
def test_smart_D1_the_configuration_is_json_for_anybody_whatever_is_accepted(site: Site, accept: str):
    answer = httpx.get(address(site, SMART_CONFIGURATION), headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")


def test_smart_D1_a_token_that_is_no_token_does_not_matter(site: Site):
    answer = httpx.get(address(site, SMART_CONFIGURATION), headers={"Authorization": "Bearer nothing"})
    assert answer.status_code == 200


def test_smart_D2_the_members_that_clients_need_are_there_and_plain_is_not(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert {"authorization_code", "client_credentials", "refresh_token"} <= set(found["grant_types_supported"])
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_endpoint"] == f"{site.settings.base_url}/oauth/authorize"
    assert found["token_endpoint"] == f"{site.settings.base_url}/oauth/token"
    assert all(isinstance(each, str) and each for each in found["capabilities"])


def test_smart_D3_issuer_and_keys_are_told(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert "sso-openid-connect" in found["capabilities"]
    assert found["issuer"] == site.settings.base_url
    assert found["jwks_uri"] == f"{site.settings.base_url}/oauth/jwks"


def test_smart_D4_scopes_of_types_and_introspection_are_told(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert "patient/Observation.rs" in found["scopes_supported"]
    assert found["introspection_endpoint"] == f"{site.settings.base_url}/oauth/introspect"


def test_smart_D5_client_authentication_is_told_and_secrets_in_the_body_are_not(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert set(found["token_endpoint_auth_methods_supported"]) == {"client_secret_basic", "private_key_jwt", "none"}
    assert set(found["token_endpoint_auth_signing_alg_values_supported"]) == {"RS384", "ES384"}


def test_smart_D6_code_revocation_and_management_are_told(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert found["response_types_supported"] == ["code"]
    assert found["revocation_endpoint"] == f"{site.settings.base_url}/oauth/revoke"
    assert found["management_endpoint"] == f"{site.settings.base_url}/account/apps"


def test_smart_D7_the_deprecated_app_state_endpoint_is_not_told(site: Site):
    found = document(site, SMART_CONFIGURATION)
    assert "smart_app_state_endpoint" not in found
    beside = {"url": f"{site.settings.base_url}/app-state", "capabilities": ["smart-app-state"]}
    assert found["associated_endpoints"] == [beside]  # tests/oauth/test_app_state.py proves it


def test_smart_D8_every_scope_that_is_told_is_one():
    assert parse_scopes_of(scopes_supported()) == ()


def parse_scopes_of(scopes: list[str]) -> tuple[str, ...]:
    """Return those of the scopes that the server does not know, asked for one by one: the list is longer than one."""
    return tuple(unknown for scope in scopes for unknown in parse_scopes(scope, RESOURCE_TYPES).unknown)


def test_smart_D8_wildcards_both_versions_and_the_granular_scopes_of_us_core_are_told():
    told = set(scopes_supported())
    assert {"patient/*.rs", "user/*.cruds", "system/*.read", "patient/*.*", "patient/Patient.read"} <= told
    assert {"openid", "fhirUser", "launch", "launch/patient", "offline_access", "online_access"} <= told
    granular = {each for each in told if "?" in each}
    assert len(granular) == 3 * sum(map(len, CATEGORIES.values())) == 27
    laboratory = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    assert f"patient/Observation.rs?category={laboratory}" in granular


def test_smart_D9_any_origin_may_read_it(site: Site):
    answer = httpx.get(address(site, SMART_CONFIGURATION), headers={"Origin": "https://anybody.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", [SMART_CONFIGURATION, OPENID_CONFIGURATION, OAUTH_METADATA, "/oauth/jwks"])
def test_smart_D10_documents_may_be_kept_for_an_hour_at_most_and_have_a_tag(site: Site, path: str):
    answer = httpx.get(address(site, path))
    assert 0 < int(answer.headers["cache-control"].rpartition("max-age=")[2]) <= 3600
    again = httpx.get(address(site, path), headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(address(site, path), headers={"If-None-Match": '"another"'}).status_code == 200


def test_smart_D11_all_documents_agree_on_what_they_share(site: Site):
    smart, openid, oauth = (
        document(site, path) for path in (SMART_CONFIGURATION, OPENID_CONFIGURATION, OAUTH_METADATA)
    )
    for one, other in ((smart, oauth), (smart, openid), (openid, oauth)):
        assert {name: one[name] for name in one.keys() & other.keys()} == {
            name: other[name] for name in one.keys() & other.keys()
        }
    assert oauth.keys() <= smart.keys() & openid.keys()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_documents_are_only_read(site: Site, method: str):
    assert httpx.request(method, address(site, SMART_CONFIGURATION)).status_code == 405


def test_a_packed_document_says_the_same(site: Site):
    plain = httpx.get(address(site, SMART_CONFIGURATION), headers={"Accept-Encoding": "identity"})
    packed = httpx.get(address(site, SMART_CONFIGURATION), headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


def test_smart_O1_the_openid_configuration_has_what_openid_connect_requires(site: Site):
    found = document(site, OPENID_CONFIGURATION)
    assert found["issuer"] == site.settings.base_url
    assert found["subject_types_supported"] == ["public"]
    assert "RS256" in found["id_token_signing_alg_values_supported"]
    assert found["userinfo_endpoint"] == f"{site.settings.base_url}/oauth/userinfo"


@pytest.mark.parametrize(
    ("path", "kind"),
    [(OPENID_CONFIGURATION, OpenIDProviderMetadata), (OAUTH_METADATA, AuthorizationServerMetadata)],
)
def test_smart_D11_the_documents_follow_their_standards(site: Site, path: str, kind: Any):
    """The library asks for https addresses, as the standard does outside development: the site's are moved there."""
    text = httpx.get(address(site, path)).text.replace("http://127.0.0.1", "https://127.0.0.1")
    kind(httpx.Response(200, text=text).json()).validate()


def test_security_links_come_from_the_configured_base_and_not_from_the_host_header(site: Site):
    for path in (SMART_CONFIGURATION, OPENID_CONFIGURATION, OAUTH_METADATA):
        answer = httpx.get(address(site, path), headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in answer.text


@pytest.mark.parametrize("slash", ["", "/"])
def test_smart_16_no_address_sends_anybody_where_the_host_header_says(site: Site, slash: str):
    paths = {getattr(route, "path", "/") for route in oauth_routes()} | {"/", "/healthz", "/fhir", "/fhir/metadata"}
    for path in sorted(paths):
        at = site.settings.base_url + path.replace("{", "").replace("}", "") + slash
        answer = httpx.get(at, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
        assert "evil.example" not in str(answer.headers), path
        assert "evil.example" not in answer.text, path


def test_smart_S1_metadata_tells_the_same_addresses(site: Site):
    smart = document(site, SMART_CONFIGURATION)
    security = httpx.get(f"{site.base}/metadata").json()["rest"][0]["security"]
    uris = next(each for each in security["extension"] if each["url"].endswith("/oauth-uris"))
    told = {each["url"]: each["valueUri"] for each in uris["extension"]}
    assert told == {
        "authorize": smart["authorization_endpoint"],
        "token": smart["token_endpoint"],
        "introspect": smart["introspection_endpoint"],
        "revoke": smart["revocation_endpoint"],
        "manage": smart["management_endpoint"],
    } | ({"register": smart["registration_endpoint"]} if "registration_endpoint" in smart else {})
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"


def test_smart_S2_metadata_tells_the_same_capabilities(site: Site):
    security = httpx.get(f"{site.base}/metadata").json()["rest"][0]["security"]
    told = [each["valueCode"] for each in security["extension"] if each["url"].endswith("/capabilities")]
    assert told == document(site, SMART_CONFIGURATION)["capabilities"]


def test_smart_S3_metadata_says_that_browser_apps_are_served(site: Site):
    assert httpx.get(f"{site.base}/metadata").json()["rest"][0]["security"]["cors"] is True


def test_registration_is_told_only_where_it_is_open():
    for told in (False, True):
        configuration = smart_configuration("https://host.example", registration=told)
        uris = security_extensions("https://host.example", registration=told)[0]["extension"]
        assert ("registration_endpoint" in configuration) is told
        assert ("register" in {each["url"] for each in uris}) is told


def test_smart_O2_the_keys_are_public_rsa_keys_of_2048_bits_or_more(site: Site):
    keys = document(site, "/oauth/jwks")["keys"]
    assert {key["alg"] for key in keys} == {"RS384", "RS256"}
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}
        assert (key["kty"], key["use"]) == ("RSA", "sig")
        assert len(key["n"]) >= 2048 // 6


def test_smart_D6_an_installation_that_takes_registrations_says_so_everywhere(fresh_database_url: str):
    with running_site(fresh_database_url, registration="open") as made:
        at = f"{made.settings.base_url}/oauth/register"
        for path in (SMART_CONFIGURATION, OPENID_CONFIGURATION, OAUTH_METADATA):
            assert document(made, path)["registration_endpoint"] == at
        security = httpx.get(f"{made.base}/metadata").json()["rest"][0]["security"]
        assert {"url": "register", "valueUri": at} in security["extension"][0]["extension"]


def test_every_endpoint_that_is_told_is_served():
    paths = {getattr(route, "path", None) for route in oauth_routes()}
    for name, value in smart_configuration("https://host.example", registration=True).items():
        if name.endswith("_endpoint") or name == "jwks_uri":
            assert urlsplit(value).path in paths, name


def test_every_address_that_is_told_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "authorization.md").read_text("utf-8")
    for path in (*PATHS.values(), REGISTRATION_PATH, SMART_CONFIGURATION, OPENID_CONFIGURATION, OAUTH_METADATA):
        assert f"{path}`" in page, path


PROOFS: Final[Mapping[str, str]] = {
    "launch-ehr": "browser/test_ehr_launch.py::test_smart_L2_L4_L5_the_app_opens_with_the_patient_and_the_visit_",
    "launch-standalone": "browser/test_standalone_launch.py::test_smart_P1_a_patient_with_one_record_",
    "authorize-post": "pages/test_authorization_flow.py::test_smart_A1_a_post_of_another_site_only_starts_the_flow",
    "client-public": "oauth/test_token_endpoint.py::test_smart_T2_a_public_client_has_no_secret",
    "client-confidential-symmetric": "oauth/test_token_endpoint.py::test_smart_T3_a_confidential_client_sends_",
    "client-confidential-asymmetric": "oauth/test_assertions.py::test_smart_T4_the_client_comes_from_iss_",
    "sso-openid-connect": "oauth/test_identity.py::test_smart_O4_an_openid_library_takes_them",
    "context-banner": "browser/test_ehr_launch.py::test_smart_L7_the_banner_is_shown_when_the_frame_shows_none",
    "context-style": "browser/test_ehr_launch.py::test_smart_L7_the_banner_is_shown_when_the_frame_shows_none",
    "context-ehr-patient": "browser/test_ehr_launch.py::test_smart_L2_L4_L5_the_app_opens_with_the_patient_",
    "context-ehr-encounter": "browser/test_ehr_launch.py::test_smart_L2_L4_L5_the_app_opens_with_the_patient_",
    "context-standalone-patient": "pages/test_pickers.py::test_smart_P1_a_clinician_picks_a_patient_",
    "context-standalone-encounter": "pages/test_pickers.py::test_smart_P2_visits_are_shown_newest_first_",
    "permission-offline": "oauth/test_refresh.py::test_smart_F6_offline_access_lasts_ninety_days_",
    "permission-online": "oauth/test_refresh.py::test_smart_F6_online_access_lasts_as_long_as_the_session",
    "permission-patient": "access/test_refusals.py::test_smart_E18_the_patient_in_context_is_readable_",
    "permission-user": "access/test_granular.py::test_smart_C6_a_granular_scope_on_the_patient_and_one_of_the_user_",
    "permission-v1": "oauth/test_scopes.py::test_smart_C3_",
    "permission-v2": "oauth/test_scopes.py::test_smart_C2_what_is_no_scope_is_never_guessed",
}
"""Which test proves a capability: a file below `tests`, and how the test's name begins."""


def test_every_capability_that_is_told_is_proved_by_a_test():
    assert PROOFS.keys() == set(CAPABILITIES)
    tests = Path(__file__).resolve().parents[1]
    for capability, proof in PROOFS.items():
        file, name = proof.split("::")
        assert f"def {name}" in (tests / file).read_text("utf-8"), capability
