"""Patient and encounter pickers (`smart.md` §6, §15; L4, L6; security OA-13)."""

from __future__ import annotations

import pytest

from tests.conftest import OTHER_ORGANIZATION
from tests.pages.apps import App, add_app, audited, grants_of, put, step_of
from tests.pages.forms import Form, Page
from tests.pages.people import add_user, sign_in

MR = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def patients(site) -> None:
    """Fourteen patients, namesakes among them, one whose name is an attack, and one of another organization."""
    for number in range(10):
        put(site, "Patient", f"many-{number}", name=[{"family": f"Many{number}", "given": ["Ann"]}])
    number = [{"system": "https://hospital.example/mrn", "value": "MRN-77", "type": MR}]
    other = {"system": "https://hospital.example/billing", "value": "B-1"}
    put(site, "Patient", "twin-1", name=[{"family": "Twin"}], birthDate="1980-01-01", gender="female")
    put(site, "Patient", "twin-2", name=[{"family": "Twin"}], birthDate="1981-02-02", identifier=[other, *number])
    put(site, "Patient", "hostile", name=[{"family": HOSTILE}])
    put(site, "Patient", "child", name=[{"family": "Zorn", "given": ["Kim"]}], birthDate="2020-05-05")
    put(site, "Patient", "elsewhere", organization=OTHER_ORGANIZATION, name=[{"family": "Twin", "given": ["Else"]}])


@pytest.fixture(scope="module")
def encounters(site, patients) -> None:
    """Two visits of one patient, one of another."""
    for known, patient, start, kind in (
        ("visit-1", "twin-1", "2024-01-05T10:00:00Z", "Check-up"),
        ("visit-2", "twin-1", "2024-06-05T10:00:00Z", "Emergency"),
        ("visit-3", "twin-2", "2024-07-05T10:00:00Z", "Not hers"),
    ):
        put(
            site,
            "Encounter",
            known,
            status="finished",
            **{"class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}},
            type=[{"text": kind}],
            subject={"reference": f"Patient/{patient}"},
            period={"start": start},
            location=[{"location": {"display": "Ward 7"}}],
        )


@pytest.fixture
def app(site, url) -> App:
    return App(site, add_app(url))


@pytest.fixture
def picking(site, url, app, patients, browser) -> Page:
    """The patient picker, as a clinician sees it."""
    _, page = sign_in(site, add_user(url, "CLINICIAN"), browser, at=app.address())
    assert step_of(page) == "patient", page.text
    return page


def form_of(page: Page, patient: str) -> Form:
    """Return the form that chooses a patient."""
    return next(each for each in page.forms if patient in {button.value for button in each.buttons})


def shown(page: Page) -> list[str]:
    """Return the ids of the patients on a page."""
    return [button.value for form in page.forms for button in form.buttons if button.name == "patient"]


def choose(browser, page: Page, patient: str) -> Page:
    return browser.press(page, f"patient={patient}", form=form_of(page, patient))


def search(browser, page: Page, **typed: str) -> Page:
    return browser.press(page, "Search", **typed)


def test_smart_P1_a_clinician_picks_a_patient_who_comes_back_with_the_token(browser, app, url, picking):
    assert not list(picking.faults())
    page = search(browser, picking, name="zorn")
    assert not list(page.faults())
    page = choose(browser, page, "child")
    assert step_of(page) == "consent"
    assert "Kim Zorn" in page.text
    assert app.tokens(browser.press(page, "Allow"))["patient"] == "child"
    (grant,) = grants_of(url, app.client)
    assert grant.patient == "child"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ({"name": "twin"}, {"twin-1", "twin-2"}),
        ({"name": "zorn kim"}, {"child"}),
        ({"name": "Kim Zorn"}, {"child"}),
        ({"birth_date": "1980-01-01"}, {"twin-1"}),
        ({"number": "MRN-77"}, {"twin-2"}),
        ({"name": "twin", "birth_date": "1981-02-02", "number": "MRN-77"}, {"twin-2"}),
        ({"name": "twin", "birth_date": "2020-05-05"}, set()),
        ({"name": "a,b|c$d\\"}, set()),
        ({"name": "Else"}, set()),
    ],
)
def test_smart_15_patients_are_found_by_name_birth_date_and_number(browser, picking, typed, found):
    page = search(browser, picking, **typed)
    assert page.status == 200
    assert set(shown(page)) == found
    assert "Nobody was found" in page.text or found


def test_smart_15_namesakes_are_told_apart(browser, picking):
    page = search(browser, picking, name="twin")
    for fact in ("1980-01-01", "female", "1981-02-02", "MRN-77"):
        assert fact in page.text
    assert "B-1" not in page.text  # the medical record number comes before others


def test_smart_15_many_patients_come_page_by_page(browser, picking):
    page, seen = search(browser, picking, name="ann"), []
    assert len(shown(page)) == 10
    assert not any(button.label == "More patients" for form in page.forms for button in form.buttons)
    page = browser.get(picking.address)
    while True:
        seen += shown(page)
        more = [form for form in page.forms if any(button.label == "More patients" for button in form.buttons)]
        if not more:
            break
        page = browser.press(page, "More patients", form=more[0])
    assert len(seen) == len(set(seen)) >= 14
    assert "elsewhere" not in seen


def test_smart_15_what_cannot_be_searched_for_is_said(browser, picking):
    data = dict(picking.form(button="Search").data({}, "Search"))
    answer = browser.post(picking.address, data | {"birth_date": "yesterday"})
    assert answer.status_code == 422
    assert "cannot be searched for" in answer.text
    assert browser.post(picking.address, data | {"cursor": "forged"}).status_code == 422


def test_smart_16_names_are_escaped(browser, picking):
    page = search(browser, picking, name="<script>alert")
    assert "hostile" in shown(page)
    assert HOSTILE not in page.html
    assert HOSTILE in page.text
    page = choose(browser, page, "hostile")
    assert HOSTILE not in page.html
    assert "<script" not in page.html


@pytest.mark.parametrize("patient", ["elsewhere", "nobody", "../Patient/child", "child/_history/1", "a b", "x" * 300])
def test_smart_16_OA13_a_patient_swapped_in_the_form_is_403(browser, app, url, picking, patient):
    data = dict(picking.form(button="Search").data({}, "Search")) | {"patient": patient}
    answer = browser.post(picking.address, data)
    assert answer.status_code == 403
    assert ("Patient", "search-type", "denied") in [row[:3] for row in audited(url, app.client)]
    assert step_of(browser.get(picking.address.rsplit("/", 1)[0])) == "patient"


def test_smart_16_a_form_of_another_origin_chooses_nobody(browser, picking):
    data = dict(picking.form(button="Search").data({}, "Search")) | {"patient": "child"}
    assert browser.post(picking.address, data, Origin="https://evil.example").status_code == 403
    assert browser.post(picking.address, data | {"csrf": "0" * 64}).status_code == 403


def test_security_AD3_who_was_shown_is_in_the_audit(browser, app, url, picking):
    search(browser, picking, name="zorn")
    assert ("Patient", "search-type", "allowed") in [row[:3] for row in audited(url, app.client)]
    assert "zorn" not in repr(audited(url, app.client)).lower()


def test_smart_P1_a_proxy_chooses_among_those_alone_whom_they_act_for(site, url, app, patients, browser):
    user = add_user(url, "PATIENT", patients=["twin-1", "child"])
    _, page = sign_in(site, user, browser, at=app.address("patient/*.rs openid fhirUser"))
    assert step_of(page) == "patient"
    assert set(shown(page)) == {"twin-1", "child"}
    assert not any(form.named("name") for form in page.forms)
    data = dict(form_of(page, "child").data({}, None)) | {"patient": "twin-2"}
    assert browser.post(page.address, data).status_code == 403
    page = choose(browser, page, "child")
    tokens = app.tokens(browser.press(page, "Allow"))
    assert tokens["patient"] == "child"
    assert tokens["scope"] == "patient/*.rs openid"  # of two, nobody can tell which one the proxy is


def test_smart_P1_somebody_without_a_record_is_told_so_and_can_leave(site, url, app, browser):
    _, page = sign_in(site, add_user(url, "PATIENT"), browser, at=app.address())
    assert step_of(page) == "patient"
    assert "no patient whom you may choose" in page.text
    assert app.error_of(browser.press(page, "Cancel and go back to the app")) == "access_denied"


def test_smart_P1_a_record_that_is_no_more_cannot_be_granted(site, url, app, browser):
    _, page = sign_in(site, add_user(url, "PATIENT", patients=["never-was"]), browser, at=app.address())
    assert (page.status, page.away) == (403, None)


def test_smart_P3_a_patient_scope_alone_asks_for_the_patient_and_grants_no_launch_scope(
    site, url, app, patients, browser
):
    user = add_user(url, "PATIENT", patients=["twin-1"])
    _, page = sign_in(site, user, browser, at=app.address("patient/Observation.rs"))
    tokens = app.tokens(browser.press(page, "Allow"))
    assert (tokens["patient"], tokens["scope"]) == ("twin-1", "patient/Observation.rs")


def test_smart_P1_an_app_about_no_patient_is_not_asked_for_one(site, url, app, patients, browser):
    _, page = sign_in(site, add_user(url, "CLINICIAN"), browser, at=app.address("user/*.rs openid"))
    assert step_of(page) == "consent"
    assert "patient" not in app.tokens(browser.press(page, "Allow"))


def test_smart_15_another_patient_can_be_chosen_from_the_consent_page(browser, app, picking):
    page = choose(browser, search(browser, picking, name="zorn"), "child")
    page = browser.get(page.links["Choose another"])
    assert step_of(page) == "patient"
    page = choose(browser, search(browser, page, name="twin"), "twin-1")
    assert app.tokens(browser.press(page, "Allow"))["patient"] == "twin-1"


# --- encounters -------------------------------------------------------------------------------------------------------

WITH_ENCOUNTER = "launch/patient launch/encounter patient/*.rs"


@pytest.fixture
def visits(site, url, app, encounters, browser) -> Page:
    """The encounter picker, as the patient sees it."""
    user = add_user(url, "PATIENT", patients=["twin-1"])
    _, page = sign_in(site, user, browser, at=app.address(WITH_ENCOUNTER))
    assert step_of(page) == "encounter", page.text
    return page


def test_smart_P2_visits_are_shown_newest_first_with_date_type_and_place(browser, app, visits):
    assert not list(visits.faults())
    text = visits.text
    assert text.index("2024-06-05") < text.index("2024-01-05")
    assert "Emergency" in text
    assert "Ward 7" in text
    assert "Not hers" not in text
    visits.form(button="Continue").tick("encounter", "visit-1")
    page = browser.press(visits, "Continue")
    tokens = app.tokens(browser.press(page, "Allow"))
    assert (tokens["patient"], tokens["encounter"]) == ("twin-1", "visit-1")


def test_smart_P2_none_is_a_choice(browser, app, visits):
    page = browser.press(visits, "Continue")
    assert step_of(page) == "consent"
    assert "encounter" not in app.tokens(browser.press(page, "Allow"))


@pytest.mark.parametrize("encounter", ["visit-3", "nothing", "", "Encounter/visit-1"])
def test_smart_L6_a_visit_of_another_patient_cannot_be_chosen(browser, visits, encounter):
    data = dict(visits.form(button="Continue").data({}, None)) | {"encounter": encounter}
    assert browser.post(visits.address, data).status_code == 403


def test_smart_L6_another_patient_drops_the_visit(site, url, app, encounters, browser):
    user = add_user(url, "PATIENT", patients=["twin-1", "twin-2"])
    _, page = sign_in(site, user, browser, at=app.address(WITH_ENCOUNTER))
    page = choose(browser, page, "twin-1")
    page.form(button="Continue").tick("encounter", "visit-1")
    page = browser.press(page, "Continue")
    page = choose(browser, browser.get(page.links["Choose another"]), "twin-2")
    assert step_of(page) == "encounter"
    assert "Not hers" in page.text
