"""EHR launches: minted by a person or a backend client, used once by one app for one person (`smart.md` §5, §15)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.launches import LAUNCH_SECONDS
from storage.authorization.opaque import digest
from storage.tables.authorization import launches
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.pages.apps import App, add_app, add_membership, audited, put, step_of
from tests.pages.forms import Browser, Page
from tests.pages.people import PASSWORD, add_user, in_database, sign_in

EHR_SCOPE = "launch openid fhirUser patient/*.rs"


@pytest.fixture(scope="module")
def records(site) -> None:
    put(site, "Patient", "bed-1", name=[{"family": "Launch", "given": ["Ada"]}], birthDate="1970-03-03")
    put(site, "Patient", "bed-2", name=[{"family": "Launch", "given": ["Bea"]}])
    put(site, "Patient", "far", organization=OTHER_ORGANIZATION, name=[{"family": "Launch"}])
    for known, patient in (("stay-1", "bed-1"), ("stay-2", "bed-2")):
        kind = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP", "display": "inpatient"}
        put(
            site,
            "Encounter",
            known,
            status="in-progress",
            subject={"reference": f"Patient/{patient}"},
            period={"start": "2024-05-01"},
            **{"class": kind},
        )


@pytest.fixture(scope="module")
def clinician(url, records):
    return add_user(url, "CLINICIAN", fhir_user="Practitioner/launcher")


@pytest.fixture
def app(site, url) -> App:
    return App(site, add_app(url, launch_uris=("https://app.example/launch?v=2", "https://app.example/other")))


def launch_of(page: Page, site) -> str:
    """Return the launch id with which the browser arrives at the app."""
    assert page.away is not None, (page.status, page.text[:300])
    asked = parse_qs(urlsplit(page.away).query)
    assert asked["iss"] == [site.base]
    return asked["launch"][0]


def button_form(page: Page, value: str):
    return next(form for form in page.forms if value in {button.value for button in form.buttons})


def open_app(browser: Browser, page: Page, app: App, patient: str = "bed-1", encounter: str | None = None) -> Page:
    """Go through the launch page."""
    page = browser.press(page, f"client_id={app.client.id}", form=button_form(page, app.client.id))
    assert not list(page.faults())
    page = browser.press(page, f"patient={patient}", form=button_form(page, patient))
    assert not list(page.faults())
    if encounter is not None:
        page.form(button="Open the app").tick("encounter", encounter)
    return browser.press(page, "Open the app")


def ask(app: App, browser: Browser, launch: str, scope: str = EHR_SCOPE, **more: str) -> Page:
    return browser.get(app.address(scope, launch=launch, **more))


def test_smart_L1_L2_L4_L7_a_launch_from_the_page_brings_its_context_to_the_app(site, url, app, clinician, browser):
    _, page = sign_in(site, clinician, browser, at="/launch")
    assert not list(page.faults())
    page = open_app(browser, page, app, encounter="stay-1")
    assert page.away.startswith("https://app.example/launch?v=2&iss=")
    launch = launch_of(page, site)
    assert len(launch) >= 43
    page = ask(app, browser, launch)
    assert step_of(page) == "consent"  # no second sign-in, no picker (L5)
    assert "Ada Launch" in page.text
    tokens = app.tokens(browser.press(page, "Allow"))
    assert (tokens["patient"], tokens["encounter"]) == ("bed-1", "stay-1")
    assert tokens["need_patient_banner"] is True
    assert tokens["scope"] == EHR_SCOPE
    style = httpx.get(tokens["smart_style_url"], headers={"Origin": "https://app.example"}, timeout=30)
    assert style.status_code == 200
    assert style.headers["content-type"] == "application/json"
    assert style.headers["access-control-allow-origin"] == "*"
    assert style.json()["color_background"]
    assert ("launch", "create", "allowed", clinician.id, "bed-1") in [row[:5] for row in audited(url, app.client)]


def test_smart_L1_a_launch_is_stored_hashed_and_lives_five_minutes(site, url, app, clinician, browser):
    _, page = sign_in(site, clinician, browser, at="/launch")
    launch = launch_of(open_app(browser, page, app), site)
    row = launch_row(url, launch)
    assert launch not in repr(row)
    assert LAUNCH_SECONDS <= 300
    assert row.expires_at - row.created_at == LAUNCH_SECONDS
    assert (row.user_id, row.client_id, row.encounter) == (clinician.id, app.client.id, None)


def launch_row(url: str, launch: str) -> Any:
    async def found(connection: AsyncConnection) -> Any:
        return (await connection.execute(select(launches).where(launches.c.id == digest(launch)))).one()

    return in_database(url, found)


def minted(site, browser, clinician, app, **more: Any) -> str:
    """Return a new launch of a clinician who is signed in in the browser."""
    return launch_of(open_app(browser, browser.get("/launch"), app, **more), site)


@pytest.fixture
def signed_in(site, clinician, browser) -> Browser:
    return sign_in(site, clinician, browser, at="/launch")[0]


def test_smart_L3_a_launch_is_used_once(site, app, clinician, signed_in):
    launch = minted(site, signed_in, clinician, app)
    assert step_of(ask(app, signed_in, launch)) == "consent"
    assert app.error_of(ask(app, signed_in, launch)) == "invalid_request"


def test_smart_L3_a_launch_that_many_come_for_at_once_is_used_once(site, app, clinician, signed_in):
    address = f"{site.settings.base_url}{app.address(EHR_SCOPE, launch=minted(site, signed_in, clinician, app))}"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.get(address, timeout=60), range(8)))
    places = [urlsplit(answer.headers["location"]).path.split("/")[1] for answer in answers]
    assert sorted(places) == ["authorize", *["callback"] * 7]


def test_smart_L3_an_unknown_and_another_apps_launch_are_refused(site, url, app, clinician, signed_in):
    launch = minted(site, signed_in, clinician, app)
    assert app.error_of(ask(app, signed_in, "x" * 43)) == "invalid_request"
    other = App(site, add_app(url))
    assert other.error_of(ask(other, signed_in, launch)) == "invalid_request"
    assert ("launch", "use", "denied") in [row[:3] for row in audited(url, other.client)]
    assert step_of(ask(app, signed_in, launch)) == "consent"  # the refused ones did not use it up


def test_smart_L3_an_expired_launch_is_refused(site, url, app, clinician, signed_in):
    launch = minted(site, signed_in, clinician, app)

    async def age(connection: AsyncConnection) -> None:
        expired = {"expires_at": int(time.time())}
        await connection.execute(update(launches).where(launches.c.id == digest(launch)).values(expired))

    in_database(url, age)
    assert app.error_of(ask(app, signed_in, launch)) == "invalid_request"


def test_smart_L3_a_launch_without_its_scope_is_ignored_and_not_used_up(site, app, clinician, signed_in):
    launch = minted(site, signed_in, clinician, app)
    assert step_of(ask(app, signed_in, launch, "patient/*.rs")) == "patient"
    assert step_of(ask(app, signed_in, launch)) == "consent"


def test_smart_L5_another_person_in_the_browser_is_asked_to_make_way(site, url, app, clinician, signed_in, new_browser):
    launch = minted(site, signed_in, clinician, app)
    theirs = new_browser()
    sign_in(site, add_user(url, "CLINICIAN", name="Other Person"), theirs)
    page = ask(app, theirs, launch)
    assert page.status == 403
    assert page.heading == "Somebody else opened this app"
    assert "Other Person" in page.text
    assert not list(page.faults())
    page = theirs.get(page.links["Sign in as the other person"])
    page = theirs.press(page, "Sign in", email=clinician.email, password=PASSWORD)
    assert step_of(page) == "consent"
    assert app.tokens(theirs.press(page, "Allow"))["patient"] == "bed-1"


def test_smart_L5_the_other_person_can_only_cancel(site, url, app, clinician, signed_in, new_browser):
    launch = minted(site, signed_in, clinician, app)
    theirs = new_browser()
    sign_in(site, add_user(url, "CLINICIAN"), theirs)
    page = ask(app, theirs, launch)
    assert theirs.get(f"{page.path}/consent").status == 403
    assert app.error_of(theirs.press(page, "Cancel and go back to the app")) == "access_denied"


def test_smart_L5_silence_does_not_help_another_person(site, url, app, clinician, signed_in, new_browser):
    launch = minted(site, signed_in, clinician, app)
    theirs = new_browser()
    sign_in(site, add_user(url, "CLINICIAN"), theirs)
    assert app.error_of(ask(app, theirs, launch, prompt="none")) == "login_required"


def test_smart_L4_a_launch_without_a_patient_asks_for_one_where_a_scope_needs_it(site, app, signed_in):
    page = signed_in.get("/launch")
    page = signed_in.press(page, f"client_id={app.client.id}", form=button_form(page, app.client.id))
    launch = launch_of(signed_in.press(page, "Open without a patient"), site)
    page = ask(app, signed_in, launch)
    assert step_of(page) == "patient"
    page = signed_in.press(page, "patient=bed-2", form=button_form(page, "bed-2"))
    assert app.tokens(signed_in.press(page, "Allow"))["patient"] == "bed-2"


def test_smart_L4_the_patient_of_a_launch_cannot_be_changed(site, app, clinician, signed_in):
    page = ask(app, signed_in, minted(site, signed_in, clinician, app))
    assert "Choose another" not in page.links
    assert step_of(signed_in.get(page.address.replace("/consent", "/patient"))) == "consent"


def test_smart_L4_context_comes_with_user_scopes_too(site, app, clinician, signed_in):
    page = ask(app, signed_in, minted(site, signed_in, clinician, app, encounter="stay-1"), "launch user/*.rs")
    tokens = app.tokens(signed_in.press(page, "Allow"))
    assert (tokens["patient"], tokens["encounter"]) == ("bed-1", "stay-1")


def test_smart_L6_a_visit_of_another_patient_cannot_be_launched(site, url, app, signed_in):
    page = signed_in.get("/launch")
    page = signed_in.press(page, f"client_id={app.client.id}", form=button_form(page, app.client.id))
    page = signed_in.press(page, "patient=bed-1", form=button_form(page, "bed-1"))
    data = dict(page.form(button="Open the app").data({}, None))
    for changed in (
        {"encounter": "stay-2"},
        {"patient": "far"},
        {"patient": "nobody"},
        {"patient": "bed-2", "encounter": "stay-1"},
    ):
        assert signed_in.post("/ehr/launch", data | changed).status_code == 403, changed
    for changed in ({"client_id": "nobody"}, {"client_id": add_app(url, launch_uris=()).id}, {"client_id": ""}):
        assert signed_in.post("/ehr/launch", data | changed).status_code == 400, changed
    assert signed_in.post("/ehr/launch", data | {"organization": OTHER_ORGANIZATION}).status_code == 403
    assert signed_in.post("/ehr/launch", data | {"csrf": "0"}).status_code == 403
    assert signed_in.post("/ehr/launch", data, Origin="https://evil.example").status_code == 403


def test_smart_15_nobody_launches_without_signing_in(site, browser):
    page = browser.get("/launch")
    assert page.path == "/sign-in"
    answer = browser.post("/ehr/launch", {"client_id": "x"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/sign-in?{urlencode({'next': '/launch'})}"


def test_settled_4_2_apps_of_other_organizations_are_not_launched(site, url, app, clinician, signed_in):
    theirs = add_app(url, type="confidential", organization_id=OTHER_ORGANIZATION)
    ours = add_app(url, type="confidential", organization_id=ORGANIZATION)
    shown = {button.value for form in signed_in.get("/launch").forms for button in form.buttons}
    assert ours.id in shown
    assert theirs.id not in shown


def test_settled_4_2_of_several_organizations_one_is_chosen_first(site, url, app, records, browser):
    user = add_user(url, "CLINICIAN")
    add_membership(url, user, OTHER_ORGANIZATION, "CLINICIAN")
    _, page = sign_in(site, user, browser, at="/launch")
    page.form(button="Continue").tick("organization", OTHER_ORGANIZATION)
    page = browser.press(page, "Continue")
    assert not list(page.faults())
    page = open_app(browser, page, app, patient="far")
    page = ask(app, browser, launch_of(page, site))
    assert step_of(page) == "consent"  # the launch has chosen the organization
    assert "Health Hub" in page.text


def test_security_OA13_a_launch_for_what_the_person_may_no_more_see_gives_no_code(site, url, app, clinician, signed_in):
    put(site, "Patient", "gone", name=[{"family": "Launch"}])
    launch = minted(site, signed_in, clinician, app, patient="gone")
    headers = {"Authorization": f"Bearer {site.token()}"}
    assert httpx.delete(f"{site.base}/Patient/gone", headers=headers, timeout=30).status_code in {200, 204}
    page = ask(app, signed_in, launch)
    assert (page.status, page.away) == (403, None)


# --- by a backend client ----------------------------------------------------------------------------------------------


def mint(site, document: Any, scope: str = "system/*.rs", **claims: Any) -> httpx.Response:
    return httpx.post(
        f"{site.settings.base_url}/ehr/launch",
        json=document,
        headers={"Authorization": f"Bearer {site.token(scope, **claims)}"},
        timeout=30,
    )


def test_smart_L1_a_backend_client_mints_a_launch_for_a_person(site, app, clinician, browser):
    document = {
        "client_id": app.client.id,
        "user": clinician.email.upper(),
        "patient": "bed-2",
        "encounter": "stay-2",
        "intent": "order-review",
        "tenant": "ward-7",
        "need_patient_banner": False,
        "launch_url": "https://app.example/other",
        "fhirContext": [{"reference": "ImagingStudy/i1"}],
    }
    answer = mint(site, document)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["expires_in"] == LAUNCH_SECONDS
    assert body["url"].startswith("https://app.example/other?iss=")
    assert parse_qs(urlsplit(body["url"]).query) == {"iss": [site.base], "launch": [body["launch"]]}
    _, page = sign_in(site, clinician, browser, at=app.address(EHR_SCOPE, launch=body["launch"]))
    tokens = app.tokens(browser.press(page, "Allow"))
    known = {name: tokens[name] for name in ("patient", "encounter", "intent", "tenant", "need_patient_banner")}
    assert known == {
        "patient": "bed-2",
        "encounter": "stay-2",
        "intent": "order-review",
        "tenant": "ward-7",
        "need_patient_banner": False,
    }
    assert tokens["fhirContext"] == [{"reference": "ImagingStudy/i1"}]


def test_smart_L1_only_backend_clients_mint_by_token(site, app, clinician):
    document = {"client_id": app.client.id, "user": clinician.id}
    refused = mint(site, document, "user/*.rs", role="CLINICIAN")
    assert (refused.status_code, refused.json()["error"]) == (400, "access_denied")
    for token in ("x", "nonsense.of.three"):
        answer = httpx.post(
            f"{site.settings.base_url}/ehr/launch",
            json=document,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"user": None},
        {"user": "nobody@example.org"},
        {"user": 7},
        {"patient": "far"},
        {"patient": "nobody"},
        {"patient": "bed-1", "encounter": "stay-2"},
        {"client_id": "nobody"},
        {"launch_url": "https://evil.example/launch"},
        {"smart_style_url": "https://["},
        {"smart_style_url": "https:style.json"},
        {"more": True},
    ],
)
def test_smart_L1_a_launch_that_cannot_be_is_refused(site, app, clinician, changes):
    document = {"client_id": app.client.id, "user": clinician.id, "patient": "bed-1"} | changes
    answer = mint(site, {name: value for name, value in document.items() if value is not None})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert "evil" not in answer.text


def test_smart_L1_no_launch_tells_a_backend_client_who_exists(site, app, clinician):
    document = {"client_id": app.client.id, "user": clinician.id}
    scope = "system/Observation.rs"
    known, unknown = (mint(site, document | {"patient": patient}, scope) for patient in ("bed-1", "nobody"))
    assert known.status_code == unknown.status_code == 400
    assert known.json() == unknown.json()


def test_smart_L1_E1_a_backend_client_that_forgets_its_token_is_told(site, app, clinician):
    document = {"client_id": app.client.id, "user": clinician.id}
    answer = httpx.post(f"{site.settings.base_url}/ehr/launch", json=document, timeout=30)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "access token" in answer.json()["error_description"]


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"client_id":"a","client_id":"b"}', b"\xff"])
def test_smart_L1_what_is_no_json_object_is_refused(site, body):
    answer = httpx.post(
        f"{site.settings.base_url}/ehr/launch",
        content=body,
        headers={"Authorization": f"Bearer {site.token()}", "Content-Type": "application/json"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_smart_X4_launch_pages_are_for_our_own_origin(site, signed_in):
    answer = signed_in.client.get("/launch", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
