"""The sequences of the conformance kits over HTTP, in their order: SMART STU 2.2, g10, US Core (`smart.md`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from fhir_server.oauth.passwords import CLIENT_SECRETS, hash_client_secret
from storage.repositories.entities import Client, User
from tests.conftest import ORGANIZATION
from tests.oauth.kit import (
    CALLBACK,
    JWKS,
    LAUNCH,
    ORIGIN,
    Kit,
    KitApp,
    app_of,
    basic,
    capable_of,
    identity,
    introspected,
    refreshed,
    refused_everywhere,
)
from tests.pages.apps import add_app, put, step_of
from tests.pages.conftest import browser, new_browser
from tests.pages.forms import Browser, Page
from tests.pages.people import PASSWORD, add_user, sign_in
from tests.pages.test_launch import launch_of, open_app
from tests.site import Site, site

__all__ = ["browser", "new_browser", "site"]

SECRET = "what the kit was given, +/= and all"
MUST_BE_GRANTED = (
    *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "DiagnosticReport", "DocumentReference", "Goal"),
    *("Immunization", "MedicationRequest", "Observation", "Patient", "Procedure", "Provenance"),
)
G10_TYPES = (
    *MUST_BE_GRANTED,
    *("Medication", "Device", "Encounter", "Location", "Organization", "Practitioner", "PractitionerRole", "Coverage"),
    *("MedicationDispense", "ServiceRequest", "Specimen", "RelatedPerson", "Media", "QuestionnaireResponse"),
)
SEARCHED = [each for each in MUST_BE_GRANTED if each not in {"Patient", "Provenance"}] + ["Device"]
IDENTITY = "launch/patient openid fhirUser offline_access"
PATIENT_SCOPE = " ".join([IDENTITY, *(f"patient/{each}.rs" for each in G10_TYPES)])
EHR_SCOPE = " ".join(["launch openid fhirUser offline_access", *(f"user/{each}.rs" for each in G10_TYPES)])
V1_SCOPE = PATIENT_SCOPE.replace(".rs", ".read")
CATEGORY = "http://terminology.hl7.org/CodeSystem"
OBSERVATION_CATEGORY = f"{CATEGORY}/observation-category"
CONDITION_CATEGORY = f"{CATEGORY}/condition-category"
US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
CATEGORIES = {
    "Condition": (
        (CONDITION_CATEGORY, "encounter-diagnosis"),
        (f"{US_CORE}/condition-category", "health-concern"),
        (CONDITION_CATEGORY, "problem-list-item"),
    ),
    "Observation": (
        (OBSERVATION_CATEGORY, "laboratory"),
        (OBSERVATION_CATEGORY, "social-history"),
        (OBSERVATION_CATEGORY, "vital-signs"),
        (OBSERVATION_CATEGORY, "survey"),
        (f"{US_CORE}/us-core-category", "sdoh"),
    ),
}
GRANULAR = (
    {"Condition": {"encounter-diagnosis", "health-concern"}, "Observation": {"laboratory", "social-history"}},
    {"Condition": {"problem-list-item"}, "Observation": {"vital-signs", "survey", "sdoh"}},
)
"""What the two groups of the US Core kit ask for."""


@pytest.fixture(scope="module")
def url(site: Site) -> str:
    return site.settings.database_url


@pytest.fixture(scope="module")
def kit(site: Site) -> Iterator[Kit]:
    made = Kit(site)
    add_app(site.settings.database_url, origins=(ORIGIN,))
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    until = time.monotonic() + 20  # a new origin is known within five seconds
    while "access-control-allow-origin" not in made.http.options(made.token_endpoint, headers=preflight).headers:
        assert time.monotonic() < until, "the origin is not known"
        time.sleep(0.1)
    yield made
    made.http.close()


def categorized(resource_type: str, patient: str, number: int, system: str, code: str) -> dict[str, Any]:
    subject = {"reference": f"Patient/{patient}"}
    category = [{"coding": [{"system": system, "code": code}]}]
    kind = {"coding": [{"system": "http://loinc.org", "code": f"{number}000-1"}]}
    if resource_type == "Condition":
        return {"subject": subject, "category": category, "code": kind}
    when = f"2024-02-0{number + 1}"
    return {"status": "final", "subject": subject, "category": category, "code": kind, "effectiveDateTime": when}


@pytest.fixture(scope="module")
def records(site: Site) -> None:
    """Two patients with a visit, and a resource of each category."""
    put(site, "Practitioner", "kit-doctor", name=[{"family": "Kit"}])
    ambulatory = {"system": f"{CATEGORY}/v3-ActCode", "code": "AMB"}
    for patient in ("kit-1", "kit-2"):
        put(site, "Patient", patient, name=[{"family": "Kit", "given": [patient]}], birthDate="1980-01-01")
        subject = {"reference": f"Patient/{patient}"}
        put(site, "Encounter", f"{patient}-visit", status="finished", subject=subject, **{"class": ambulatory})
        for resource_type, categories in CATEGORIES.items():
            for number, (system, code) in enumerate(categories):
                known = f"{patient}-{resource_type}-{code}".lower()
                put(site, resource_type, known, **categorized(resource_type, patient, number, system, code))


@pytest.fixture(scope="module")
def person(url: str, records: None) -> User:
    return add_user(url, "PATIENT", patients=["kit-1"], fhir_user="Patient/kit-1")


@pytest.fixture(scope="module")
def doctor(url: str, records: None) -> User:
    return add_user(url, "CLINICIAN", fhir_user="Practitioner/kit-doctor")


def registered(kit: Kit, proof: str, scope: str, **more: Any) -> KitApp:
    """Register a kit: public, by a secret, or by keys (`RS384`, `ES384`)."""
    settings = kit.site.settings
    facts: dict[str, Any] = {
        "scope": scope,
        "redirect_uris": (CALLBACK,),
        "launch_uris": (LAUNCH,),
        "origins": (ORIGIN,),
        **more,
    }
    if proof == "public":
        return app_of(kit, add_app(settings.database_url, **facts))
    facts |= {"type": "confidential", "organization_id": ORGANIZATION}
    if proof == "secret":
        hashed = hash_client_secret(settings.derive(CLIENT_SECRETS), SECRET)
        return app_of(kit, add_app(settings.database_url, secret=hashed, **facts), SECRET)
    return app_of(kit, add_app(settings.database_url, jwks=JWKS, **facts), alg=proof)


def consented(app: KitApp, user: User, browser: Browser, scope: str, method: str = "GET", **more: str) -> Page:
    """Launch until the consent page is shown, signing in where that is asked."""
    page = app.begin(browser, scope, method, **more)
    if page.path == "/sign-in":
        page = browser.press(page, "Sign in", email=user.email, password=PASSWORD)
    assert step_of(page) == "consent", (page.path, page.text[:300])
    return page


def standalone(app: KitApp, user: User, browser: Browser, scope: str, method: str = "GET") -> dict[str, Any]:
    """Launch, allow everything, and return the token response."""
    return app.received(browser.press(consented(app, user, browser, scope, method), "Allow"), scope)


# --- SMART STU 2.2 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("proof", "method"), [("public", "GET"), ("secret", "POST"), ("RS384", "GET")])
def test_smart_D1_D2_D3_D9_A1_T1_T12_T15_O1_O5_F2_F3_smart_kit_standalone(kit, person, browser, proof, method):
    known = {"public": "public", "secret": "confidential-symmetric"}.get(proof, "confidential-asymmetric")
    capable_of(kit.configuration, "launch-standalone", f"client-{known}", "authorize-post", "sso-openid-connect")
    scope = f"{IDENTITY} patient/*.rs"
    app = registered(kit, proof, scope)
    tokens = standalone(app, person, browser, scope, method)
    assert tokens["scope"] == scope
    assert tokens["patient"] == "kit-1"
    claims = identity(kit, app, tokens)
    assert claims["fhirUser"].endswith("Patient/kit-1")
    assert kit.read("Patient/kit-1", tokens["access_token"]).json()["id"] == "kit-1"
    last = refreshed(app, tokens)
    assert kit.read("Patient/kit-1", last["access_token"]).status_code == 200
    preflight = kit.http.options(
        kit.token_endpoint,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )
    assert preflight.status_code in {200, 204}
    assert preflight.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize("proof", ["public", "secret", "ES384"])
def test_smart_L1_L2_L4_L5_L6_L7_smart_kit_ehr(kit, doctor, browser, proof):
    capable_of(kit.configuration, "launch-ehr", "context-ehr-patient", "context-ehr-encounter", "permission-user")
    app = registered(kit, proof, EHR_SCOPE)
    _, page = sign_in(kit.site, doctor, browser, at="/launch")
    page = open_app(browser, page, app, "kit-1", "kit-1-visit")
    assert page.away is not None
    assert page.away.startswith(f"{LAUNCH}?")  # `smart_app_launch`
    launch = launch_of(page, kit.site)  # `iss` is the FHIR base, byte for byte (L2)
    page = consented(app, doctor, browser, EHR_SCOPE, launch=launch)
    tokens = app.received(browser.press(page, "Allow"), EHR_SCOPE)
    assert (tokens["patient"], tokens["encounter"]) == ("kit-1", "kit-1-visit")
    assert identity(kit, app, tokens)["fhirUser"].endswith("Practitioner/kit-doctor")
    assert tokens["need_patient_banner"] is True
    assert kit.http.get(tokens["smart_style_url"]).json()
    last = refreshed(app, tokens)["access_token"]
    for address in (f"Patient/{tokens['patient']}", f"Encounter/{tokens['encounter']}"):  # `g10_*_context`
        assert kit.read(address, last).status_code == 200


@pytest.mark.parametrize("alg", ["ES384", "RS384"])
def test_smart_T8_T9_B1_B2_B3_smart_kit_backend(kit, url, records, alg):
    assert alg in kit.configuration["token_endpoint_auth_signing_alg_values_supported"]
    assert "private_key_jwt" in kit.configuration["token_endpoint_auth_methods_supported"]
    facts = {"type": "backend", "organization_id": ORGANIZATION, "redirect_uris": (), "launch_uris": ()}
    client: Client = add_app(url, jwks=JWKS, scope="system/*.rs", **facts)
    app = app_of(kit, client, alg=alg)
    asked = {"grant_type": "client_credentials", "scope": "system/*.read"}  # the default of the kit
    refused_everywhere([app.ask(**asked | {"grant_type": "not_a_grant_type"})], {"unsupported_grant_type"}, (400,))
    wrong_type = app.ask(**asked | {"client_assertion_type": "not_an_assertion_type"})
    wrong_issuer = app.ask(**asked | app.assertion(iss="not_a_valid_iss"))
    unread = app.ask(**asked | {"client_assertion": "no.jwt"})
    refused_everywhere([wrong_type, wrong_issuer, unread], {"invalid_client", "invalid_request"})
    answer = app.ask(**asked)
    tokens = token_response_of_service(answer)
    assert tokens["scope"] == "system/*.read"
    assert kit.read("Patient/kit-1", tokens["access_token"]).status_code == 200
    assert token_response_of_service(app.ask(**asked | {"scope": "system/*.rs"}))["scope"] == "system/*.rs"


def token_response_of_service(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert {"access_token", "token_type", "expires_in", "scope"} == set(body)
    assert body["expires_in"] <= 300
    return body


def test_smart_I1_I2_I3_I4_smart_kit_introspection(kit, person, browser):
    scope = f"{IDENTITY} patient/*.rs"
    app = registered(kit, "secret", scope, may_introspect=True)
    tokens = standalone(app, person, browser, scope)
    payload = identity(kit, app, tokens)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for asker in (basic(app.client.id, SECRET), bearer):  # `custom_authorization_header`
        told = introspected(kit, asker, tokens["access_token"])
        assert told["active"] is True
        assert told["client_id"] == app.client.id
        assert sorted(told["scope"].split()) == sorted(tokens["scope"].split())
        assert isinstance(told["exp"], int)
        assert told["patient"] == tokens["patient"]
        assert (told["iss"], told["sub"]) == (payload["iss"], payload["sub"])
        assert told["fhirUser"] == payload["fhirUser"]
        assert introspected(kit, asker, "invalid_token_value") == {"active": False}


# --- g10 --------------------------------------------------------------------------------------------------------------


def test_smart_C1_C5_C11_E1_P1_g10_standalone_with_all_scopes(kit, person, browser):
    capable_of(
        kit.configuration,
        *("launch-standalone", "client-public", "client-confidential-symmetric", "client-confidential-asymmetric"),
        *("sso-openid-connect", "context-standalone-patient", "permission-offline", "permission-patient"),
        *("authorize-post", "permission-v2", "permission-v1"),
    )
    app = registered(kit, "secret", PATIENT_SCOPE)
    tokens = standalone(app, person, browser, PATIENT_SCOPE)
    granted = set(tokens["scope"].split())
    assert {*IDENTITY.split(), *(f"patient/{each}.rs" for each in MUST_BE_GRANTED)} <= granted
    assert kit.read("Patient/kit-1").status_code == 401  # `g10_unauthorized_access`
    assert kit.read("Patient/kit-1", tokens["access_token"]).status_code == 200  # `g10_patient_context`
    for resource_type in SEARCHED:  # access to all that was granted
        answer = kit.read(f"{resource_type}?patient=kit-1", tokens["access_token"])
        assert answer.status_code in {200, 404}, resource_type  # 404: a type that is not served
    identity(kit, app, tokens)
    refreshed(app, tokens)


def test_smart_C4_E4_g10_standalone_with_limited_scopes(kit, person, browser):
    app = registered(kit, "secret", PATIENT_SCOPE)
    page = consented(app, person, browser, PATIENT_SCOPE)
    chosen = {"Patient", "Condition", "Observation"}
    form = page.form(button="Allow")
    asked = PATIENT_SCOPE.split()
    for control in [each for each in form.controls if each.type == "checkbox" and each.value.endswith(".read")]:
        scope = asked[int(control.value.split(".")[0])]
        control.checked = scope.removeprefix("patient/").removesuffix(".rs") in chosen
    tokens = app.received(browser.press(page, "Allow"), PATIENT_SCOPE)
    resources = {each for each in tokens["scope"].split() if each.startswith("patient/")}
    assert resources == {f"patient/{each}.rs" for each in chosen}  # `g10_limited_scope_grant`
    assert kit.read("Patient/kit-1", tokens["access_token"]).status_code == 200
    for resource_type in SEARCHED:  # `g10_restricted_access_test`
        answer = kit.read(f"{resource_type}?patient=kit-1", tokens["access_token"])
        assert answer.status_code in ({200} if resource_type in chosen else {401, 403}), resource_type


def test_smart_E1_F5_T6_g10_invalid_tokens(kit, person, browser):
    scope = f"{IDENTITY} patient/*.rs"
    app = registered(kit, "secret", scope)
    tokens = standalone(app, person, browser, scope)
    bad = kit.read("Patient/kit-1", "not-a-token")
    assert bad.status_code == 401
    assert bad.json()["resourceType"] == "OperationOutcome"
    refused_everywhere([app.refresh("INVALID REFRESH TOKEN")], {"invalid_grant"})  # `g10_invalid_token_refresh`
    assert app.refresh(tokens["refresh_token"]).status_code == 200  # a wrong one spends nothing


def test_smart_A5_g10_invalid_aud(kit, person, browser):
    app = registered(kit, "public", PATIENT_SCOPE)
    sign_in(kit.site, person, browser)
    page = app.begin(browser, PATIENT_SCOPE, aud="https://inferno.healthit.gov/invalid_aud")
    assert page.away is not None
    answer = app.answer_of(page)
    assert "code" not in answer
    assert answer["error"] == "invalid_request"
    assert kit.site.base in answer["error_description"]


@pytest.fixture
def launched(kit: Kit, person: User, browser: Browser) -> Callable[[KitApp], tuple[KitApp, str]]:
    """Launch anew, as the kits do before each wrong request; return the app and its code."""

    def launch(registration: KitApp) -> tuple[KitApp, str]:
        app = registration.renewed()
        page = app.begin(browser, PATIENT_SCOPE, prompt="consent")
        if page.path == "/sign-in":
            page = browser.press(page, "Sign in", email=person.email, password=PASSWORD)
        return app, app.code_of(browser.press(page, "Allow"))

    return launch


@pytest.mark.parametrize("proof", ["public", "secret"])
def test_smart_T6_g10_invalid_token_requests(kit, launched, proof):
    app, code = launched(registered(kit, proof, PATIENT_SCOPE))
    refused_everywhere([app.exchange("BAD_CODE")], {"invalid_grant"}, (400,))
    app, code = launched(app)
    wrong = kit.http.post(
        kit.token_endpoint,
        data={
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": app.verifier,
            **({"client_id": "BAD_CLIENT_ID"} if proof == "public" else {}),
        },
        headers=basic("BAD_CLIENT_ID", SECRET) if proof == "secret" else {},
    )
    refused_everywhere([wrong], {"invalid_client"})


@pytest.mark.parametrize("proof", ["public", "secret"])
def test_smart_A6_T6_g10_invalid_pkce(kit, launched, proof):
    app = registered(kit, proof, PATIENT_SCOPE)
    errors = {"invalid_grant", "invalid_request"}
    for verifier in (None, "", "x" * 64):
        app, code = launched(app)
        refused_everywhere([app.exchange(code, code_verifier=verifier)], errors)
    app, code = launched(app)
    challenge = app.parameters()["code_challenge"]  # as if the method were plain
    refused_everywhere([app.exchange(code, code_verifier=challenge)], errors)
    app, code = launched(app)
    assert app.exchange(code).status_code == 200


def test_smart_V2_g10_token_revocation(kit, person, browser):
    scope = f"{IDENTITY} patient/*.rs"
    app = registered(kit, "secret", scope)
    tokens = standalone(app, person, browser, scope)
    assert kit.read("Patient/kit-1", tokens["access_token"]).status_code == 200
    page = browser.get(httpx.URL(str(kit.configuration["management_endpoint"])).path)
    assert app.client.name is not None
    assert app.client.name in page.text
    (form,) = [each for each in page.forms if any(app.client.name in button.label for button in each.buttons)]
    assert "has lost its access" in browser.press(page, form=form).text
    refused_everywhere([app.refresh(tokens["refresh_token"])], {"invalid_grant"})
    until = time.monotonic() + 10  # every worker knows within a second
    while kit.read("Patient/kit-1", tokens["access_token"]).status_code != 401:
        assert time.monotonic() < until, "the access token still works"
        time.sleep(0.1)


def test_smart_C2_C3_g10_v1_scopes(kit, person, browser):
    app = registered(kit, "secret", PATIENT_SCOPE)
    tokens = standalone(app, person, browser, V1_SCOPE)
    granted = set(tokens["scope"].split())
    assert {*IDENTITY.split(), *(f"patient/{each}.read" for each in MUST_BE_GRANTED)} <= granted
    assert kit.found("Observation?patient=kit-1", tokens["access_token"])
    refreshed(app, tokens)


def test_smart_C8_g10_granular_scope_selection(kit, person, browser):
    scope = f"{IDENTITY} patient/Patient.rs patient/Condition.rs patient/Observation.rs"
    app = registered(kit, "secret", scope)
    page = consented(app, person, browser, scope)
    form = page.form(button="Allow")
    form.tick("only-5", "problem-list-item").tick("only-6", "laboratory")
    granted = app.received(browser.press(page, "Allow"))["scope"].split()
    assert "patient/Patient.rs" in granted
    assert not {"patient/Condition.rs", "patient/Observation.rs"} & set(granted)
    assert f"patient/Condition.rs?category={CONDITION_CATEGORY}|problem-list-item" in granted
    assert f"patient/Observation.rs?category={OBSERVATION_CATEGORY}|laboratory" in granted


# --- US Core ----------------------------------------------------------------------------------------------------------


def granular_scope(chosen: dict[str, set[str]]) -> str:
    scopes = [
        f"patient/{resource_type}.rs?category={system}|{code}"
        for resource_type, categories in CATEGORIES.items()
        for system, code in categories
        if code in chosen[resource_type]
    ]
    return " ".join([IDENTITY, *scopes])


def in_categories(resource: dict[str, Any], chosen: set[str]) -> bool:
    return any(coding["code"] in chosen for category in resource["category"] for coding in category["coding"])


@pytest.mark.parametrize("chosen", GRANULAR, ids=["first", "second"])
def test_smart_D4_D8_C6_C7_C9_A13_us_core_granular_scopes(kit, person, browser, chosen):
    told = kit.configuration["scopes_supported"]  # `us_core_smart_well_known_capabilities`
    assert any(each.startswith("patient/") and each.endswith(".rs") for each in told)
    scope = granular_scope(chosen)
    assert {each for each in scope.split() if "?" in each} <= set(told)
    wide = registered(kit, "secret", PATIENT_SCOPE)
    everything = standalone(wide, person, browser, PATIENT_SCOPE)["access_token"]
    app = registered(kit, "secret", PATIENT_SCOPE)
    tokens = standalone(app, person, browser, scope, "POST")
    assert set(tokens["scope"].split()) == set(scope.split())  # `us_core_granted_granular_scopes`
    token = tokens["access_token"]
    for resource_type, categories in CATEGORIES.items():
        known = kit.found(f"{resource_type}?patient=kit-1", everything)
        assert len(known) == len(categories)
        granted = {name for name, each in known.items() if in_categories(each, chosen[resource_type])}
        assert granted
        searches = [f"{resource_type}?patient=kit-1"]
        searches += [f"{resource_type}?patient=kit-1&category={system}|{code}" for system, code in categories]
        searches += [f"{resource_type}?patient=kit-1&code=http://loinc.org|{number}000-1" for number in range(4)]
        for search in searches:  # GranularScopeSearchTest
            assert set(kit.found(search, token)) == set(kit.found(search, everything)) & granted, search
        for name in known:  # GranularScopeReadTest
            status = kit.read(f"{resource_type}/{name}", token).status_code
            assert status in ({200} if name in granted else {401, 403, 404}), name
    assert refreshed(app, tokens)["patient"] == "kit-1"
