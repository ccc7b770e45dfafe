"""What apps keep for themselves (SMART App State; `smart.md` §17), over HTTP on both engines."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.app_state.document import read_state
from fhir_server.app_state.interactions import MOST_STATES
from fhir_server.app_state.rules import Action, Rule, parse_rule, parse_rules
from fhir_server.errors import InvalidResource, MalformedBody
from fhir_server.oauth.clients import ClientRefused, Registration, register
from fhir_server.oauth.deciding import offer
from fhir_server.oauth.tokens import Issuer, TokenRequest, issue
from storage.audit_sqlite import audit_path
from storage.engine import Database
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.oauth.granting import change_client, grant, new_client, new_person
from tests.pages.people import run_sql
from tests.site import FHIR_JSON, Site, issues, patient, site

__all__ = ["site"]

SYSTEM = "https://app.example"
EVERYTHING = "query,modify:patient,user,global"
RULES = (
    *(f"{SYSTEM}|{code}:{EVERYTHING}" for code in ("preferences", "keys", "config")),
    f"{SYSTEM}|read-only:query:patient,user,global",
    f"{SYSTEM}|of-users:query,modify:user",
)
ORIGIN = "https://app.example"
PRACTITIONER = "Practitioner/dr-1"
SCOPE = "openid fhirUser user/Basic.cuds"


@pytest.fixture(scope="module", autouse=True)
async def app(database: Database) -> Any:
    """The client whose id is in the tokens of the site."""
    return await new_client(database, id="tests", scope=SCOPE, app_states=RULES, origins=(ORIGIN,))


@pytest.fixture(scope="module")
def patients(site: Site, app: Any) -> list[str]:
    """Two patients of the care platform, whose tables say who agreed to share."""
    run_sql(site, f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'")
    told = [
        patient(name, birthDate="1948-05-12", identifier=[{"system": "urn:mrn", "value": name}])
        for name in ("Chalmers", "Levin")
    ]
    answers = [site.client().post("/Patient", json=each) for each in told]
    return [answer.json()["id"] for answer in answers]


class States:
    """The states as one caller sees them."""

    def __init__(self, site: Site, scope: str = SCOPE, *, client_id: str = "tests", **claims: Any) -> None:
        facts = {"role": "CLINICIAN", "organization": ORGANIZATION, "fhir_user": PRACTITIONER} | claims
        more = {name: facts[name] for name in ("patient", "fhir_user", "is_partner", "break_glass_id") if name in facts}
        asked = TokenRequest("tester", client_id, facts["organization"], facts["role"], scope, 600, **more)
        token = issue(asked, Issuer(site.settings.base_url, site.base), site.ring, int(time.time()))
        self.fhir_base = site.base
        headers = {"Authorization": f"Bearer {token}", "Content-Type": FHIR_JSON, "Accept": FHIR_JSON}
        self.http = httpx.Client(base_url=f"{site.settings.base_url}/app-state", headers=headers, timeout=30)
        site.clients.append(self.http)

    def basic(self, code: str = "preferences", subject: str | None = None, **more: Any) -> dict[str, Any]:
        about = {"subject": {"reference": f"{self.fhir_base}/{subject}"}} if subject else {}
        coding = {"system": SYSTEM, "code": code}
        extension = [{"url": f"{SYSTEM}/v1", "valueString": '{"view":"list"}'}]
        return {"resourceType": "Basic", "code": {"coding": [coding]}, **about, "extension": extension, **more}

    def make(self, code: str = "preferences", subject: str | None = None, **more: Any) -> httpx.Response:
        return self.http.post("/Basic", json=self.basic(code, subject, **more))

    def made(self, code: str = "preferences", subject: str | None = None) -> dict[str, Any]:
        answer = self.make(code, subject)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def put(self, state: dict[str, Any], version: str | None = None) -> httpx.Response:
        tag = version if version is not None else f'W/"{state["meta"]["versionId"]}"'
        return self.http.put(f"/Basic/{state['id']}", json=state, headers={"If-Match": tag} if tag else {})

    def delete(self, state: dict[str, Any], tag: str | None = None) -> httpx.Response:
        named = tag if tag is not None else f'W/"{state["meta"]["versionId"]}"'
        return self.http.delete(f"/Basic/{state['id']}", headers={"If-Match": named} if named else {})

    def query(self, code: str = "preferences", subject: str | None = None) -> httpx.Response:
        whose = {"subject": f"{self.fhir_base}/{subject}"} if subject else {"subject:missing": "true"}
        return self.http.get("/Basic", params={"code": f"{SYSTEM}|{code}", **whose})

    def found(self, code: str = "preferences", subject: str | None = None) -> list[dict[str, Any]]:
        answer = self.query(code, subject)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        assert bundle["total"] == len(bundle.get("entry", []))
        return [entry["resource"] for entry in bundle.get("entry", [])]


@pytest.fixture
def user(site: Site) -> Iterator[States]:
    """A clinician, whose states are removed afterwards."""
    states = States(site)
    yield states
    for state in states.found(subject=PRACTITIONER):
        assert states.delete(state).status_code == 204


@pytest.fixture(scope="module")
def admin(site: Site) -> States:
    return States(site, role="ORG_ADMIN")


def refused(answer: httpx.Response, status: int) -> list[dict[str, Any]]:
    """Check that an answer is a refusal in FHIR's form, which nobody keeps."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.headers["Cache-Control"] == "no-store"
    return issues(answer)


# --- ST1: the interactions --------------------------------------------------------------------------------------------


def test_smart_ST1_a_state_is_made_queried_changed_and_deleted(site: Site, user: States):
    answer = user.make(subject=PRACTITIONER)
    assert answer.status_code == 201, answer.text
    state = answer.json()
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Location"] == f"{site.settings.base_url}/app-state/Basic/{state['id']}"
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert user.found(subject=PRACTITIONER) == [state]
    changed = user.put(state | {"extension": [{"url": f"{SYSTEM}/v2", "valueString": "two"}]})
    assert (changed.status_code, changed.headers["ETag"]) == (200, 'W/"2"')
    assert user.found(subject=PRACTITIONER) == [changed.json()]
    gone = user.delete(changed.json())
    assert (gone.status_code, gone.content) == (204, b"")
    assert user.found(subject=PRACTITIONER) == []


def test_smart_ST1_a_query_names_where_it_was_asked(site: Site, user: States):
    state = user.made(subject=PRACTITIONER)
    bundle = user.query(subject=PRACTITIONER).json()
    assert bundle["entry"][0]["fullUrl"] == f"{site.settings.base_url}/app-state/Basic/{state['id']}"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    assert user.http.get(bundle["link"][0]["url"]).json() == bundle


@pytest.mark.parametrize("tag", ["", "*"])
def test_smart_ST1_a_change_has_to_name_the_version(user: States, tag: str):
    state = user.made(subject=PRACTITIONER)
    refused(user.put(state, tag), 428)
    refused(user.delete(state, tag), 428)
    assert user.found(subject=PRACTITIONER) == [state]


def test_smart_ST1_global_states_are_found_by_missing_subject(admin: States, user: States):
    state = admin.made("config")
    mine = user.made(subject=PRACTITIONER)
    assert user.found("config") == [state]
    assert user.found() == []
    assert user.found(subject=PRACTITIONER) == [mine]
    assert admin.delete(state).status_code == 204


@pytest.mark.parametrize(
    "query",
    [
        "",
        "code=https://app.example|preferences",
        "subject:missing=true",
        "code=preferences&subject:missing=true",
        "code=|preferences&subject:missing=true",
        "code=https://app.example|&subject:missing=true",
        "code=https://app.example|preferences&subject:missing=false",
        "code=https://app.example|preferences&subject=Practitioner/dr-1",
        "code=https://app.example|preferences&subject=https://other.example/fhir/Practitioner/dr-1",
        "code=https://app.example|preferences&subject:missing=true&_count=1",
        "code=https://app.example|preferences&subject:missing=true&subject:missing=true",
        "code=https://app.example|preferences&code=https://app.example|keys&subject:missing=true",
    ],
)
def test_smart_ST1_other_queries_are_refused(user: States, query: str):
    refused(user.http.get(f"/Basic?{query}"), 400)


def test_smart_ST1_what_is_not_served_is_said_in_fhirs_form(user: States):
    assert refused(user.http.get("/Patient"), 404)
    assert refused(user.http.patch("/Basic", content="[]"), 405)
    answer = user.http.get(f"/Basic/{uuid4()}")
    refused(answer, 405)
    assert answer.headers["Allow"] == "PUT, DELETE, OPTIONS"
    assert user.http.options("/Basic").headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    refused(user.put(user.basic(subject=PRACTITIONER) | {"id": str(uuid4())}, 'W/"1"'), 404)


# --- ST2: the body ----------------------------------------------------------------------------------------------------

CODING = {"system": SYSTEM, "code": "preferences"}
EXTENSION = {"url": SYSTEM, "valueString": "x"}
FAULTS: dict[str, dict[str, Any]] = {
    "an id": {"id": "mine"},
    "a version": {"meta": {"versionId": "1"}},
    "a tag": {"meta": {"tag": [CODING]}},
    "no code": {"code": None},
    "no coding": {"code": {"coding": []}},
    "two codings": {"code": {"coding": [CODING, CODING]}},
    "a text beside the coding": {"code": {"coding": [CODING], "text": "x"}},
    "a coding without system": {"code": {"coding": [{"code": "preferences"}]}},
    "a coding without code": {"code": {"coding": [{"system": SYSTEM}]}},
    "a coding with more": {"code": {"coding": [CODING | {"version": "1"}]}},
    "a code that is no text": {"code": {"coding": [{"system": SYSTEM, "code": 1}]}},
    "a relative subject": {"subject": {"reference": PRACTITIONER}},
    "a subject elsewhere": {"subject": {"reference": f"https://other.example/{PRACTITIONER}"}},
    "a subject with a display": {"subject": {"reference": "REFERENCE", "display": "Dr. One"}},
    "a subject of another type": {"subject": {"reference": "BASE/Device/1"}},
    "a version of the subject": {"subject": {"reference": "REFERENCE/_history/1"}},
    "a subject by identifier": {"subject": {"identifier": {"value": "1"}}},
    "an extension of another kind": {"extension": [{"url": SYSTEM, "valueInteger": 1}]},
    "an extension of two kinds": {"extension": [EXTENSION | {"valueCode": "x"}]},
    "an extension within an extension": {"extension": [{"url": SYSTEM, "extension": [EXTENSION]}]},
    "an extension with an id": {"extension": [EXTENSION | {"id": "1"}]},
    "an extension without url": {"extension": [{"valueString": "x"}]},
    "an empty extension": {"extension": [{"url": SYSTEM, "valueString": ""}]},
    "no extension": {"extension": []},
    "an author": {"author": {"reference": "REFERENCE"}},
    "a date": {"created": "2026-01-01"},
    "a text": {"text": {"status": "generated", "div": "<div/>"}},
    "a language": {"language": "en"},
    "a modifier": {"modifierExtension": [EXTENSION]},
    "an extension of a primitive": {"_created": {"extension": [EXTENSION]}},
    "what is contained": {"contained": [{"resourceType": "Patient"}]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_smart_ST2_a_state_with_anything_else_is_refused(user: States, fault: str):
    text = json.dumps(user.basic(subject=PRACTITIONER) | FAULTS[fault])
    text = text.replace("REFERENCE", f"{user.fhir_base}/{PRACTITIONER}").replace("BASE", user.fhir_base)
    refused(user.http.post("/Basic", content=text), 400)
    assert user.found(subject=PRACTITIONER) == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b'{"resourceType":"Patient"}', b'{"resourceType":"Basic","resourceType":"Basic"}']
)
def test_smart_ST2_what_is_no_basic_is_refused(user: States, body: bytes):
    refused(user.http.post("/Basic", content=body), 400)


def test_smart_ST2_a_body_of_256_KiB_is_taken_and_one_byte_more_is_not(user: States):
    def body(size: int) -> bytes:
        empty = json.dumps(user.basic(subject=PRACTITIONER, extension=[EXTENSION | {"valueString": "#"}])).encode()
        return empty.replace(b"#", b"x" * (size - len(empty) + 1))

    assert len(body(256 * 1024)) == 256 * 1024
    assert user.http.post("/Basic", content=body(256 * 1024)).status_code == 201
    refused(user.http.post("/Basic", content=body(256 * 1024 + 1)), 413)
    packed = gzip.compress(body(256 * 1024 + 1))
    refused(user.http.post("/Basic", content=packed, headers={"Content-Encoding": "gzip"}), 413)


def test_smart_ST2_only_json_is_read_and_answered(user: States):
    refused(user.http.post("/Basic", content=b"<Basic/>", headers={"Content-Type": "application/fhir+xml"}), 415)
    refused(user.http.get("/Basic", headers={"Accept": "application/fhir+xml"}), 406)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["coding", "system", "code", "reference", "url", "valueString", "x"]), inner
            )
        ),
        max_leaves=6,
    )
)
def test_smart_ST2_whatever_the_parts_are_they_are_taken_or_refused_as_faults(part: Any):
    """Law: no part of a body makes reading it fail in another way."""
    sound = {"resourceType": "Basic", "code": {"coding": [CODING]}, "extension": [EXTENSION]}
    for name in ("code", "subject", "extension", "meta"):
        body = json.dumps(sound | {name: part}, ensure_ascii=True).encode()
        with suppress(InvalidResource, MalformedBody):
            read_state(body, "https://host.example/fhir")


# --- ST3: stored back -------------------------------------------------------------------------------------------------


def test_smart_ST3_what_was_sent_comes_back_to_the_letter(user: States):
    texts = ['{"b":1,"a":1.10}', "  outer spaces ", "línea\n日本\t\U0001f600", "\u2028 </script>"]
    extension = [{"url": f"{SYSTEM}/{index}", "valueString": text} for index, text in enumerate(texts)]
    coding = {"system": SYSTEM, "code": "preferences", "display": "Preferences"}
    sent = user.basic(subject=PRACTITIONER, extension=extension) | {"code": {"coding": [coding]}}
    state = user.http.post("/Basic", json=sent).json()
    assert {name: state[name] for name in sent} == sent
    assert set(state) - set(sent) == {"id", "meta"}
    assert state["meta"]["versionId"] == "1"
    assert user.found(subject=PRACTITIONER) == [state]


def test_smart_ST3_a_state_may_hold_nothing_yet(user: States):
    sent = user.basic(subject=PRACTITIONER)
    del sent["extension"]
    state = user.http.post("/Basic", json=sent).json()
    assert "extension" not in state
    assert user.found(subject=PRACTITIONER) == [state]


def test_smart_ST3_there_are_some_states_of_a_code_and_subject_and_no_end_of_them_is_refused(user: States):
    for _ in range(MOST_STATES):
        user.made(subject=PRACTITIONER)
    refused(user.make(subject=PRACTITIONER), 422)
    assert len(user.found(subject=PRACTITIONER)) == MOST_STATES


def test_smart_ST3_no_more_are_made_by_making_them_at_once(user: States):
    async def make() -> list[int]:
        async with httpx.AsyncClient(base_url=user.http.base_url, headers=user.http.headers, timeout=30) as client:
            sent = (client.post("/Basic", json=user.basic(subject=PRACTITIONER)) for _ in range(MOST_STATES + 6))
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    assert sorted(asyncio.run(make())) == [*[201] * MOST_STATES, *[422] * 6]
    assert len(user.found(subject=PRACTITIONER)) == MOST_STATES


# --- ST4: preconditions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ['W/"7"', 'W/"0"', 'W/"x"', '"999999999999"'])
def test_smart_ST4_a_version_that_is_not_the_newest_changes_nothing(user: States, tag: str):
    state = user.made(subject=PRACTITIONER)
    refused(user.put(state, tag), 412)
    refused(user.delete(state, tag), 412)
    assert user.found(subject=PRACTITIONER) == [state]


def test_smart_ST4_of_changes_at_once_one_wins(user: States):
    state = user.made(subject=PRACTITIONER)

    async def change() -> list[int]:
        async with httpx.AsyncClient(base_url=user.http.base_url, headers=user.http.headers, timeout=30) as client:
            sent = (client.put(f"/Basic/{state['id']}", json=state, headers={"If-Match": 'W/"1"'}) for _ in range(8))
            return [answer.status_code for answer in await asyncio.gather(*sent)]

    assert sorted(asyncio.run(change())) == [200, *[412] * 7]


def test_smart_ST4_code_and_subject_never_change(user: States, patients: list[str]):
    state = user.made(subject=PRACTITIONER)
    other = {"code": {"coding": [CODING | {"code": "keys"}]}}
    named = {"code": {"coding": [CODING | {"display": "Preferences"}]}}
    moved = {"subject": {"reference": f"{user.fhir_base}/Patient/{patients[0]}"}}
    for change in (other, named, moved):
        refused(user.put(state | change), 412)
    refused(user.put({name: value for name, value in state.items() if name != "subject"}), 412)
    assert user.found(subject=PRACTITIONER) == [state]


def test_smart_ST4_the_body_has_the_id_of_the_address(user: States):
    state = user.made(subject=PRACTITIONER)
    address, headers = f"/Basic/{state['id']}", {"If-Match": 'W/"1"'}
    refused(user.http.put(address, json=state | {"id": "other"}, headers=headers), 400)
    refused(user.http.put(address, json=user.basic(subject=PRACTITIONER), headers=headers), 400)


def test_smart_ST4_any_later_request_about_a_deleted_state_is_a_failed_precondition(user: States):
    state = user.made(subject=PRACTITIONER)
    assert user.delete(state).status_code == 204
    refused(user.put(state), 412)
    refused(user.put(state, 'W/"2"'), 412)
    refused(user.put(state, ""), 412)
    refused(user.delete(state, 'W/"2"'), 412)
    refused(user.http.get(f"/Basic/{state['id']}"), 412)
    refused(user.http.patch(f"/Basic/{state['id']}", content="[]"), 412)


# --- ST5: who may -----------------------------------------------------------------------------------------------------


def test_smart_ST5_an_app_in_a_patients_record_keeps_the_patients_state(site: Site, patients: list[str]):
    """The phone app of a patient writes keys, the companion app of the clinic reads them."""
    mine = States(site, f"patient/Basic.cuds?code={SYSTEM}|keys", role="PATIENT", patient=patients[0], fhir_user=None)
    state = mine.made("keys", f"Patient/{patients[0]}")
    companion = States(site, f"patient/Basic.s?code={SYSTEM}|keys", patient=patients[0])
    assert companion.found("keys", f"Patient/{patients[0]}") == [state]
    refused(companion.put(state), 403)
    refused(companion.delete(state), 403)
    refused(companion.make("keys", f"Patient/{patients[0]}"), 403)
    assert mine.delete(state).status_code == 204


def test_smart_ST5_another_patient_is_out_of_reach(site: Site, patients: list[str]):
    first = States(site, "patient/Basic.cuds", role="PATIENT", patient=patients[0])
    second = States(site, "patient/Basic.cuds user/Basic.cuds", role="PATIENT", patient=patients[1])
    state = first.made("keys", f"Patient/{patients[0]}")
    refused(second.query("keys", f"Patient/{patients[0]}"), 403)
    refused(second.make("keys", f"Patient/{patients[0]}"), 403)
    hidden, absent = second.put(state), second.put(state | {"id": str(uuid4())})
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert refused(second.delete(state), 404)[0]["code"] == "not-found"
    assert first.found("keys", f"Patient/{patients[0]}") == [state]
    assert first.delete(state).status_code == 204
    refused(second.put(state), 404)


def test_smart_ST5_who_sees_the_patients_of_an_organization_keeps_states_of_any(site: Site, patients: list[str]):
    clinician = States(site, "user/Basic.cuds")
    state = clinician.made("keys", f"Patient/{patients[1]}")
    assert clinician.delete(state).status_code == 204
    refused(clinician.make("keys", "Patient/nobody"), 403)
    refused(clinician.query("keys", "Patient/nobody"), 403)


def test_smart_ST5_states_of_users_are_the_users_own(site: Site, user: States):
    state = user.made(subject=PRACTITIONER)
    other = States(site, fhir_user="Practitioner/dr-2")
    refused(other.query(subject=PRACTITIONER), 403)
    refused(other.make(subject=PRACTITIONER), 403)
    refused(other.put(state), 404)
    unnamed = States(site, "user/Basic.cuds", fhir_user=None)
    refused(unnamed.query(subject=PRACTITIONER), 403)


@pytest.mark.parametrize("kind", ["Practitioner", "PractitionerRole", "RelatedPerson", "Person", "Patient"])
def test_smart_ST5_whatever_stands_for_the_user_may_have_states(site: Site, kind: str):
    states = States(site, "user/Basic.cuds", fhir_user=f"{kind}/me")
    state = states.made("of-users", f"{kind}/me")
    assert states.found("of-users", f"{kind}/me") == [state]
    assert states.delete(state).status_code == 204


def test_smart_ST5_states_of_all_are_queried_by_users_and_changed_by_administrators(admin: States, user: States):
    state = admin.made("config")
    assert user.found("config") == [state]
    refused(user.make("config"), 403)
    refused(user.put(state), 403)
    refused(user.delete(state), 403)
    assert admin.delete(state).status_code == 204


def test_smart_ST5_patient_scopes_say_nothing_of_users_and_of_all(site: Site, patients: list[str]):
    app = States(site, "patient/Basic.cuds", patient=patients[0])
    refused(app.query("config"), 403)
    refused(app.query(subject=PRACTITIONER), 403)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        (f"user/Basic.s?code={SYSTEM}|preferences", True),
        ("user/Basic.s", True),
        ("user/*.rs", True),
        ("user/Basic.cud", False),
        ("user/Basic.r", False),
        ("user/Observation.cruds", False),
        (f"user/Basic.s?code={SYSTEM}|keys", False),
        ("user/Basic.s?code=https://other.example|preferences", False),
        ("user/Basic.s?subject=Practitioner/dr-1", True),
        ("user/Basic.s?subject=Practitioner/dr-2", False),
        (f"user/Basic.s?code={SYSTEM}|keys user/Basic.s?code={SYSTEM}|preferences", True),
        ("openid fhirUser", False),
    ],
)
def test_smart_ST5_a_query_needs_a_scope_that_is_about_it(site: Site, scope: str, allowed: bool):
    answer = States(site, scope).query(subject=PRACTITIONER)
    assert answer.status_code == (200 if allowed else 403)
    if not allowed:
        assert 'error="insufficient_scope", scope="user/Basic.s"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("letters", "statuses"), [("c", (201, 404, 404)), ("us", (403, 200, 403)), ("ds", (403, 403, 204))]
)
def test_smart_ST5_each_change_needs_its_letter(site: Site, user: States, letters: str, statuses: tuple[int, int, int]):
    state = user.made(subject=PRACTITIONER)
    states = States(site, f"user/Basic.{letters}")
    answers = (states.make(subject=PRACTITIONER), states.put(state), states.delete(state))
    assert tuple(answer.status_code for answer in answers) == statuses


def test_smart_ST5_system_scopes_and_backend_clients_keep_no_states(site: Site):
    backend = States(site, "system/*.cruds", role="SERVICE", fhir_user=None)
    refused(backend.query("config"), 403)
    refused(backend.make("config"), 403)
    with pytest.raises(ClientRefused, match="backend"):
        register(Registration("b", "backend", "system/*.rs", ORGANIZATION, app_states=RULES))


def test_smart_ST5_only_codings_that_the_client_is_registered_for(site: Site, user: States):
    refused(user.query("unknown", PRACTITIONER), 403)
    refused(user.make("unknown", PRACTITIONER), 403)
    assert user.found("read-only", PRACTITIONER) == []
    refused(user.make("read-only", PRACTITIONER), 403)


def test_smart_ST5_only_kinds_that_the_client_is_registered_for(admin: States, patients: list[str]):
    refused(admin.query("of-users"), 403)
    refused(admin.query("of-users", f"Patient/{patients[0]}"), 403)
    assert admin.found("of-users", PRACTITIONER) == []


async def test_smart_ST5_what_the_operator_takes_away_is_gone_at_once(site: Site, database: Database, app: Any):
    client = await new_client(database, app_states=(f"{SYSTEM}|preferences:query:user",))
    states = States(site, client_id=client.id)
    assert states.query(subject=PRACTITIONER).status_code == 200
    refused(states.make(subject=PRACTITIONER), 403)
    await change_client(database, client, app_states=())
    refused(states.query(subject=PRACTITIONER), 403)
    await change_client(database, client, app_states=RULES, is_active=False)
    refused(states.query(subject=PRACTITIONER), 403)
    refused(States(site, client_id="nobody").query(subject=PRACTITIONER), 403)


@pytest.mark.parametrize(
    ("role", "query", "make"),
    [
        ("ORG_ADMIN", 200, 201),
        ("NURSE", 200, 201),
        ("STAFF", 200, 201),
        ("BILLING", 200, 403),
        ("SUPPORT", 200, 403),
        ("AUDITOR", 403, 403),
        ("SERVICE", 403, 403),
        ("APP", 403, 403),
    ],
)
def test_smart_ST5_states_of_patients_are_for_roles_that_have_the_letter(
    site: Site, patients: list[str], role: str, query: int, make: int
):
    states = States(site, "user/Basic.cuds", role=role)
    assert states.query("keys", f"Patient/{patients[1]}").status_code == query
    made = states.make("keys", f"Patient/{patients[1]}")
    assert made.status_code == make
    if make == 201:
        assert states.delete(made.json()).status_code == 204


def test_smart_ST5_an_app_that_was_given_a_patient_keeps_states_of_that_one(site: Site, patients: list[str]):
    app = States(site, "patient/Basic.cuds", role="APP", patient=patients[0], fhir_user=None)
    state = app.made("keys", f"Patient/{patients[0]}")
    assert app.delete(state).status_code == 204
    refused(app.query("keys", f"Patient/{patients[1]}"), 403)


def test_smart_ST5_emergency_access_reaches_no_states(site: Site, patients: list[str]):
    facts = {"role": "EMERGENCY", "patient": patients[0], "break_glass_id": "emergency-1"}
    emergency = States(site, "patient/Basic.cuds patient/Patient.r", **facts)
    refused(emergency.query("keys", f"Patient/{patients[0]}"), 403)
    refused(emergency.make("keys", f"Patient/{patients[0]}"), 403)


def test_smart_ST5_a_partner_keeps_states_of_patients_who_agreed_and_of_no_others(site: Site, patients: list[str]):
    partners = [States(site, "patient/Basic.cuds", patient=each, is_partner=True) for each in patients]
    for partner, each in zip(partners, patients, strict=True):
        refused(partner.query("keys", f"Patient/{each}"), 403)
    run_sql(
        site,
        "INSERT INTO patient_consents (organization_id, id, patient_id, consent_type, granted_at)"
        f" VALUES ('{ORGANIZATION}', 'agreed', '{patients[0]}', 'DATA_SHARING', '2024-01-01 00:00:00+00:00')",
    )
    state = partners[0].made("keys", f"Patient/{patients[0]}")
    refused(partners[1].make("keys", f"Patient/{patients[1]}"), 403)
    run_sql(site, "UPDATE patient_consents SET revoked_at = '2025-01-01 00:00:00+00:00' WHERE id = 'agreed'")
    refused(partners[0].query("keys", f"Patient/{patients[0]}"), 403)
    refused(partners[0].put(state), 404)
    assert States(site).delete(state).status_code == 204


def test_security_TN2_states_of_another_organization_are_not_there(site: Site, admin: States):
    state = admin.made("config")
    other = States(site, role="ORG_ADMIN", organization=OTHER_ORGANIZATION)
    assert other.found("config") == []
    refused(other.put(state), 404)
    refused(other.delete(state), 404)
    assert admin.found("config") == [state]
    assert admin.delete(state).status_code == 204


@pytest.mark.parametrize("header", [None, "Basic dGVzdHM6eA==", "Bearer nonsense"])
def test_smart_ST5_every_request_needs_an_access_token(site: Site, header: str | None):
    base = f"{site.settings.base_url}/app-state/Basic"
    headers = {"Authorization": header} if header else {}
    for method in ("GET", "POST", "PUT", "DELETE"):
        address = base if method in {"GET", "POST"} else f"{base}/{uuid4()}"
        answer = httpx.request(method, address, headers=headers)
        refused(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_security_AD1_what_is_done_with_states_is_on_record(site: Site, user: States, database: Database):
    state = user.made(subject=PRACTITIONER)
    user.found(subject=PRACTITIONER)
    assert user.put(state).status_code == 200
    refused(user.put(state), 412)
    refused(user.query("unknown", PRACTITIONER), 403)
    assert user.delete(state, 'W/"2"').status_code == 204
    records = await audit_of(site, database)
    told = [(each[0], each[1], each[2], each[3]) for each in records][-6:]
    assert told == [
        ("write", "create", "allowed", 201),
        ("read", "search-type", "allowed", 200),
        ("write", "update", "allowed", 200),
        ("write", "update", "allowed", 412),
        ("read", "search-type", "denied", 403),
        ("delete", "delete", "allowed", 204),
    ]
    assert json.loads(records[-1][4]) == [state["id"]]
    assert not [each for each in records if "list" in str(each)]  # what a state holds


async def audit_of(site: Site, database: Database) -> list[Any]:
    """Return the audit records about states in the order of their time, reads and writes."""
    names = "action, interaction, outcome, status, resource_ids, at"
    statement = f"SELECT {names} FROM rbac_logs WHERE resource = 'app_state'"
    url = site.settings.database_url
    if url.startswith("postgresql"):
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            rows: list[Any] = connection.execute(statement).fetchall()
    else:
        rows = []
        for path in (url.partition("///")[2], audit_path(url)):
            with sqlite3.connect(path) as file:
                rows += file.execute(statement).fetchall()
    return sorted(rows, key=lambda row: row[-1])


async def test_smart_ST5_an_app_with_a_code_gets_a_token_and_keeps_what_was_granted(
    site: Site, database: Database, patients: list[str]
):
    scope = f"openid fhirUser patient/Basic.cuds?code={SYSTEM}|keys"
    client = await new_client(database, scope=scope, app_states=RULES)
    person = await new_person(database, patients=(patients[0],))
    granted = await grant(database, client, person, scope=scope)
    answer = httpx.post(f"{site.settings.base_url}/oauth/token", data=granted.form())
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == scope
    app = States(site)
    app.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    state = app.made("keys", f"Patient/{patients[0]}")
    assert app.found("keys", f"Patient/{patients[0]}") == [state]
    refused(app.query("preferences", f"Patient/{patients[0]}"), 403)
    refused(app.query("keys", f"Patient/{patients[1]}"), 403)
    assert app.delete(state).status_code == 204


# --- ST5: what is granted, and what the operator says -----------------------------------------------------------------


def test_smart_ST5_scopes_for_states_are_granted_to_patients_too():
    scope = f"patient/Basic.cuds?code={SYSTEM}|keys"
    assert offer(scope, "PATIENT", has_fhir_user=True) == (scope,)
    assert offer("patient/Basic.cruds", "PATIENT", has_fhir_user=True) == ("patient/Basic.cruds",)
    assert offer("patient/Observation.cruds", "PATIENT", has_fhir_user=True) == ("patient/Observation.rs",)


def test_smart_ST5_a_patient_with_such_a_scope_makes_no_basic_in_the_record(site: Site, patients: list[str]):
    client = site.client("patient/Basic.cruds", role="PATIENT", patient=patients[0])
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": f"Patient/{patients[0]}"}}
    assert client.post("/Basic", json=basic).status_code == 403


@pytest.mark.parametrize("text", [f"{SYSTEM}|a:query:user", f"{SYSTEM}|a:b:query,modify:patient,user,global"])
def test_smart_ST5_a_rule_is_written_as_it_is_read(text: str):
    assert str(parse_rule(text)) == text


def test_smart_ST5_a_rule_has_one_form():
    rule = parse_rule(f"{SYSTEM}|a:modify,query:global,patient")
    assert rule == Rule(SYSTEM, "a", frozenset(Action), frozenset({"patient", "global"}))
    assert str(rule) == f"{SYSTEM}|a:query,modify:patient,global"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        f"{SYSTEM}|a",
        f"{SYSTEM}|a:query",
        f"{SYSTEM}|a:query:",
        f"{SYSTEM}|a::user",
        f"{SYSTEM}|a:read:user",
        f"{SYSTEM}|a:query:everybody",
        f"{SYSTEM}:query:user",
        f"{SYSTEM}|a|b:query:user",
        f"{SYSTEM}|*\n:query:user",
        "a|b:query:user",
        f"{SYSTEM}|{'a' * 129}:query:user",
    ],
)
def test_smart_ST5_what_is_no_rule_is_refused(text: str):
    with pytest.raises(ClientRefused):
        register(Registration("app", "public", SCOPE, app_states=(text,)))


def test_smart_ST5_there_is_an_end_of_rules():
    with pytest.raises(ValueError, match="50"):
        parse_rules(f"{SYSTEM}|{index}:query:user" for index in range(51))


# --- ST6: where it is -------------------------------------------------------------------------------------------------


def test_smart_ST6_the_configuration_names_the_base_of_states(site: Site):
    document = httpx.get(f"{site.base}/.well-known/smart-configuration").json()
    url = f"{site.settings.base_url}/app-state"
    assert document["associated_endpoints"] == [{"url": url, "capabilities": ["smart-app-state"]}]
    assert "smart-app-state" not in document["capabilities"]  # that would say that states are at /fhir
    assert "smart_app_state_endpoint" not in document


def test_smart_ST6_states_are_apart_from_the_basics_of_the_record(site: Site, user: States):
    state = user.made(subject=PRACTITIONER)
    fhir = site.client()
    assert fhir.get(f"/Basic/{state['id']}").status_code == 404
    assert fhir.get("/Basic").json()["total"] == 0
    other = fhir.post("/Basic", json={"resourceType": "Basic", "code": {"coding": [CODING]}})
    assert other.status_code == 201
    assert fhir.get("/Basic", params={"code": f"{SYSTEM}|preferences"}).json()["total"] == 1
    assert [each["id"] for each in user.found(subject=PRACTITIONER)] == [state["id"]]
    assert fhir.delete(f"/Basic/{other.json()['id']}").status_code in {200, 204}


def test_smart_X2_pages_of_registered_origins_use_states(user: States):
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, if-match, content-type",
    }
    deadline = time.monotonic() + 20
    while True:  # origins of new clients are known within seconds
        preflight = httpx.options(f"{user.http.base_url}Basic/1", headers=asked)
        if preflight.status_code == 200 or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert preflight.status_code == 200
    answer = user.http.post("/Basic", json=user.basic(subject=PRACTITIONER), headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    refused_page = user.http.get("/Basic", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in refused_page.headers
    assert refused(refused_page, 400)
