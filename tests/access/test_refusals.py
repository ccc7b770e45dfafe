"""What a request to the FHIR interface gets that may not be answered (smart.md E1, E17–E19; security PH-3)."""

from __future__ import annotations

import time
from typing import Any, Final

import httpx
import pytest

from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.site import Site, issues, observation, patient

REALM: Final = 'Bearer realm="fhir"'


def ask(site: Site, path: str, token: str | None = None, method: str = "GET", **headers: str) -> httpx.Response:
    bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.request(method, site.base + path, headers={**bearer, **headers})


@pytest.fixture(scope="module")
def people(fhir: httpx.Client) -> tuple[str, str]:
    """Two patients, each with an Observation of the same id as theirs."""
    made = []
    for family in ("Own", "Other"):
        person = fhir.post("/Patient", json=patient(family)).json()["id"]
        fhir.put(f"/Observation/o-{person}", json=observation(f"Patient/{person}", id=f"o-{person}"))
        made.append(person)
    return made[0], made[1]


@pytest.mark.parametrize("path", ["/Patient/1", "/Patient", "/Nothing", "", "/Patient/1/_history", "/$meta"])
def test_smart_E1_without_a_token_there_is_a_challenge_and_no_error_code(site: Site, path: str):
    answer = ask(site, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == REALM
    assert issues(answer)[0]["code"] == "login"


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNzd29yZA==", "Digest x", "Negotiate abc"])
def test_smart_E1_another_scheme_is_no_token(site: Site, value: str):
    answer = httpx.get(f"{site.base}/Patient", headers={"Authorization": value})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)


@pytest.mark.parametrize("token", ["nothing", "a.b.c", "a b", "e30.e30.", "..", "~"])
def test_smart_E1_what_is_no_token_is_an_invalid_one(site: Site, token: str):
    answer = ask(site, "/Patient", token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith(f'{REALM}, error="invalid_token"')
    assert issues(answer)[0]["code"] == "login"


def test_smart_E1_an_expired_token_is_invalid_and_is_said_to_have_expired(site: Site):
    asked = TokenRequest("tester", "tests", ORGANIZATION, "SERVICE", "system/*.rs", 600)
    token = issue(asked, Issuer(site.settings.base_url, site.base), site.ring, int(time.time()) - 601)
    answer = ask(site, "/Patient", token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith(f'{REALM}, error="invalid_token"')
    assert issues(answer)[0]["code"] == "expired"


@pytest.mark.parametrize("bearer", ["Bearer", "bearer a b"])
def test_smart_E1_a_malformed_header_is_an_invalid_token(site: Site, bearer: str):
    answer = httpx.get(f"{site.base}/Patient", headers={"Authorization": bearer})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith(f'{REALM}, error="invalid_token"')


@pytest.mark.parametrize(
    ("method", "path", "scope", "missing"),
    [
        ("GET", "/Patient/1", "system/Patient.s", "system/Patient.r"),
        ("GET", "/Patient", "system/Patient.r", "system/Patient.s"),
        ("POST", "/Patient/_search", "system/Patient.cru", "system/Patient.s"),
        ("DELETE", "/Patient/1", "system/Patient.rs", "system/Patient.d"),
        ("GET", "/Observation?subject:Patient.name=x", "system/Observation.rs", "system/Patient.s"),
        ("GET", "/_history", "openid", "system/*.s"),
    ],
)
def test_smart_E1_a_scope_that_is_missing_is_named(site: Site, method: str, path: str, scope: str, missing: str):
    form = {"Content-Type": "application/x-www-form-urlencoded"} if method == "POST" else {}
    answer = ask(site, path, site.token(scope), method, **form)
    assert answer.status_code == 403, answer.text
    assert answer.headers["www-authenticate"] == f'{REALM}, error="insufficient_scope", scope="{missing}"'
    assert issues(answer)[0]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("claims", "level"),
    [({"role": "CLINICIAN"}, "user"), ({"role": "PATIENT", "patient": "p1"}, "patient"), ({}, "system")],
)
def test_smart_E1_the_scope_is_named_on_the_level_of_the_token(site: Site, claims: dict[str, Any], level: str):
    answer = ask(site, "/Observation", site.token("openid", **claims))
    assert f'scope="{level}/Observation.s"' in answer.headers["www-authenticate"]


def test_smart_E1_a_transaction_names_what_its_entry_lacks(site: Site):
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "GET", "url": "Patient/1"}}],
    }
    answer = site.client("system/Observation.rs").post("/", json=bundle)
    assert answer.status_code == 403
    assert 'scope="system/Patient.r"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("path", ["/Patient", "/Patient/p1", "/_history"])
def test_smart_E1_a_patient_scope_without_a_patient_is_refused_whatever_is_asked(site: Site, path: str):
    answer = ask(site, path, site.token("patient/*.rs", role="PATIENT"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (403, "forbidden")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_security_OA11_two_authorization_headers_are_a_bad_request(site: Site):
    token = site.token()
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert httpx.get(f"{site.base}/Patient", headers=headers).status_code == 400


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_security_OA11_a_token_in_query_or_form_is_refused(site: Site, method: str):
    token = site.token()
    assert httpx.request(method, f"{site.base}/Patient/_search?access_token={token}").status_code == 401
    assert httpx.post(f"{site.base}/Patient/_search", data={"access_token": token}).status_code == 401


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_security_PH3_no_answer_is_kept_by_anybody(site: Site, people: tuple[str, str], status: int):
    path = "/Patient/none" if status == 404 else f"/Patient/{people[0]}"
    token = {401: None, 403: site.token("system/Observation.rs")}.get(status, site.token())
    answer = ask(site, path, token)
    assert answer.status_code == status
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert {"Authorization", "Accept", "Prefer", "Origin"} <= set(answer.headers["vary"].replace(",", "").split())


def records(site: Site, request_id: str) -> list[dict[str, Any]]:
    return [
        each
        for trail in open_trails(site.settings.database_url, role=ROLE)
        for each in export(trail, ORGANIZATION)
        if each.get("request_id") == request_id
    ]


@pytest.mark.parametrize(("scope", "status"), [("system/Patient.rs", 200), ("system/Observation.rs", 403)])
def test_smart_E17_every_decision_is_on_record_without_the_token(
    site: Site, people: tuple[str, str], scope: str, status: int
):
    token = site.token(scope)
    name = f"decision-{status}"
    assert ask(site, f"/Patient/{people[0]}", token, **{"X-Request-Id": name}).status_code == status
    (record,) = records(site, name)
    assert (record["actor_id"], record["client_id"], record["status"]) == ("tester", "tests", status)
    assert record["outcome"] == ("allowed" if status == 200 else "denied")
    assert not any(part in str(record) for part in token.split("."))


def test_smart_E17_a_refused_token_is_on_record_without_the_token(site: Site):
    token = site.token() + "x"
    assert ask(site, "/Patient", token, **{"X-Request-Id": "decision-401"}).status_code == 401
    (record,) = (
        each
        for trail in open_trails(site.settings.database_url, role=ROLE)
        for each in export(trail, site.settings.organization)
        if each.get("request_id") == "decision-401"
    )
    assert (record["outcome"], record["status"], record["actor_id"]) == ("denied", 401, "anonymous")
    assert not any(part in str(record) for part in token.split("."))


def test_smart_E18_the_patient_in_context_is_readable_with_a_scope_for_it_only(site: Site, people: tuple[str, str]):
    own = people[0]
    with_scope = site.token("patient/Patient.r patient/Observation.rs", role="PATIENT", patient=own)
    without = site.token("patient/Observation.rs launch/patient", role="PATIENT", patient=own)
    assert ask(site, f"/Patient/{own}", with_scope).status_code == 200
    assert ask(site, f"/Patient/{own}", without).status_code == 403


def test_smart_E18_who_is_the_fhir_user_is_readable_always(site: Site, people: tuple[str, str]):
    own = people[0]
    token = site.token("openid patient/Observation.rs", role="PATIENT", patient=own, fhir_user=f"Patient/{own}")
    assert ask(site, f"/Patient/{own}", token).status_code == 200
    assert ask(site, f"/Patient/{people[1]}", token).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH"])
def test_smart_E19_what_is_hidden_answers_as_what_is_absent(site: Site, people: tuple[str, str], method: str):
    own, other = people
    client = site.client("patient/*.cruds", role="APP", patient=own)
    answers = []
    for name in (f"o-{other}", f"o-{'0' * len(other)}"):
        body: Any = observation(f"Patient/{own}", id=name)
        kind = "application/fhir+json"
        if method == "PATCH":
            body, kind = [{"op": "replace", "path": "/status", "value": "amended"}], "application/json-patch+json"
        sent = {} if method in {"GET", "HEAD"} else {"json": body}
        headers = {"X-Request-Id": "same", "Content-Type": kind, "If-Match": 'W/"1"'}
        answer = client.request(method, f"/Observation/{name}", headers=headers, **sent)
        same = {each: value for each, value in answer.headers.items() if each not in {"date", "content-length"}}
        answers.append((answer.status_code, same, answer.text.replace(name, "?")))
    assert answers[0] == answers[1]
    assert answers[0][0] in {404, 412}


def test_smart_E19_a_refusal_says_nothing_of_what_is_there(site: Site, people: tuple[str, str]):
    token = site.token("system/Encounter.rs")
    there, absent = (
        ask(site, f"/Patient/{name}", token, **{"X-Request-Id": "same"}) for name in (people[1], "0" * len(people[1]))
    )
    assert there.content == absent.content
    assert there.status_code == absent.status_code == 403
    assert "Other" not in there.text
