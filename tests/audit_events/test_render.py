"""An audit record as an AuditEvent: valid R4, by the patterns of BALP, nothing that was not recorded (AD-1, AD-6)."""

from __future__ import annotations

from base64 import b64decode

import fhirkit
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.validation.validate import resource_issues
from mappers.audit_event import RecordedAccess, audit_event, instant
from storage.codec import encode

BASE = "https://fhir.example/fhir"
UNKNOWN = ("client_id", "customer_id", "interaction", "status", "count", "request_id", "method", "path", "ip_address")
NOTHING = dict.fromkeys((*UNKNOWN, "user_agent", "purpose", "grant_id"))


def record(**changes: object) -> RecordedAccess:
    facts = {
        "id": 7, "organization_id": "loop-health", "at": 1_700_000_000_123_456, "actor_id": "dr-a",
        "actor_role": "CLINICIAN", "client_id": "an-app", "customer_id": "p1", "patients": (),
        "resource": "Observation", "resource_ids": ("o1",), "action": "read", "interaction": "read",
        "outcome": "allowed", "status": 200, "count": None, "request_id": "r-1", "method": "GET",
        "path": "/[type]/[id]", "ip_address": "10.0.0.7", "user_agent": "curl/8", "purpose": None, "grant_id": "jti-1",
    }  # fmt: skip
    return RecordedAccess(**(facts | changes))  # type: ignore[arg-type]


def event(**changes: object) -> dict:
    return audit_event(record(**changes), "7", BASE)


def references(told: dict) -> list[str]:
    return [each["what"]["reference"] for each in told["entity"] if "reference" in each.get("what", {})]


def coded(agent: dict) -> str:
    return agent["type"]["coding"][0]["code"]


def test_a_read_is_a_restful_operation_with_user_client_server_patient_and_resource():
    told = event()
    assert (told["type"]["code"], told["subtype"][0]["code"], told["action"], told["outcome"]) == (
        "rest",
        "read",
        "R",
        "0",
    )
    user, client, server = told["agent"]
    assert (coded(user), coded(client), coded(server)) == ("IRCP", "110152", "110153")
    assert [each["requestor"] for each in told["agent"]] == [True, False, False]
    assert user["who"]["identifier"]["value"] == user["altId"] == "dr-a"
    assert (user["role"][0]["coding"][0]["code"], user["policy"]) == ("CLINICIAN", ["jti-1"])
    assert client["who"]["identifier"]["value"] == "an-app"
    assert client["network"] == {"address": "10.0.0.7", "type": "2"}
    assert server["who"] == told["source"]["observer"]
    assert references(told) == ["Patient/p1", "Observation/o1"]
    assert [each.get("role", {}).get("code") for each in told["entity"]] == ["1", "4", None]
    assert told["entity"][-1]["type"]["code"] == "XrequestId"
    assert told["entity"][-1]["what"]["identifier"]["value"] == "r-1"


def test_an_instant_keeps_every_microsecond():
    assert event()["recorded"] == "2023-11-14T22:13:20.123456Z"
    assert instant(0) == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("changes", "kind", "subtype", "action"),
    [
        ({"interaction": "search-type"}, "rest", "search-type", "E"),
        ({"interaction": "create", "method": "POST", "action": "write"}, "rest", "create", "C"),
        ({"interaction": "patch", "method": "PATCH", "action": "write"}, "rest", "patch", "U"),
        ({"interaction": "delete", "method": "DELETE", "action": "delete"}, "rest", "delete", "D"),
        ({"interaction": "history-instance"}, "rest", "history-instance", "R"),
        ({"interaction": None, "count": 3}, "rest", "search-type", "E"),
        ({"interaction": None}, "rest", "read", "R"),
        ({"interaction": None, "method": "PATCH", "action": "write"}, "rest", "patch", "U"),
        ({"resource": "session", "interaction": "sign-in", "action": "write"}, "110114", "sign-in", "E"),
        ({"resource": "users", "interaction": "create", "action": "write", "method": None}, "110113", "create", "C"),
        (
            {"resource": "audit_log", "interaction": "export", "action": "export", "method": None},
            "110106",
            "export",
            "R",
        ),
        ({"interaction": "load", "action": "write", "method": None}, "110107", "load", "C"),
        ({"interaction": "drift", "method": None}, "110100", "drift", "R"),
    ],
)
def test_what_is_done_decides_type_subtype_and_action(changes, kind, subtype, action):
    told = event(**changes)
    assert (told["type"]["code"], told["subtype"][0]["code"], told["action"]) == (kind, subtype, action)


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"status": 304}, "0", None),
        ({"status": None}, "0", None),
        ({"status": 403, "outcome": "denied"}, "4", "denied: HTTP 403"),
        ({"status": 404}, "4", "failed: HTTP 404"),
        ({"status": 303, "outcome": "denied"}, "4", "denied: HTTP 303"),
        ({"status": 500}, "8", "failed: HTTP 500"),
    ],
)
def test_outcome_tells_success_refusal_and_failure_apart(changes, code, text):
    told = event(**changes)
    assert (told["outcome"], told.get("outcomeDesc")) == (code, text)


def test_who_asked_for_a_delete_is_an_application_at_a_custodian():
    client, server = event(interaction="delete", action="delete")["agent"][1:]
    assert (coded(client), coded(server)) == ("110150", "custodian")


def test_a_backend_client_acts_for_itself():
    client, server = event(actor_id="an-app", actor_role="SERVICE")["agent"]
    assert (client["requestor"], client["role"][0]["coding"][0]["code"]) == (True, "SERVICE")
    assert server["requestor"] is False


def test_breaking_the_glass_is_a_purpose_of_use():
    purpose = event(purpose="BTG")["agent"][0]["purposeOfUse"]
    assert purpose[0]["coding"][0]["system"] == "http://terminology.hl7.org/CodeSystem/v3-ActReason"


def test_a_search_tells_its_address_without_parameters():
    told = event(interaction="search-type", path="/[type]", patients=("p1", "p2"), customer_id=None)
    (query,) = [each["query"] for each in told["entity"] if "query" in each]
    assert b64decode(query) == b"GET /[type]"
    assert references(told)[:2] == ["Patient/p1", "Patient/p2"]


def test_a_patient_is_named_once():
    assert references(event(resource="Patient", resource_ids=("p1",))) == ["Patient/p1"]


def test_a_patient_who_was_asked_for_in_vain_is_no_patient_of_the_record():
    told = event(resource="Patient", resource_ids=("p9",), customer_id=None, status=401)
    assert references(told) == []
    assert told["entity"][0]["what"]["identifier"]["value"] == "p9"


def test_ids_of_several_types_stand_with_their_own_and_rows_are_identifiers():
    assert references(event(resource="fhir", resource_ids=("Condition/c1", "Patient/p1"))) == [
        "Patient/p1",
        "Condition/c1",
    ]
    (row,) = [
        each["what"] for each in event(resource="lab_results")["entity"] if each.get("role", {}).get("code") == "4"
    ]
    assert row["identifier"]["system"].endswith("/identifier/lab_results")


def test_a_person_is_referred_to_where_one_stands_for_the_user():
    told = audit_event(record(), "7", BASE, "Practitioner/a")
    assert told["agent"][0]["who"]["reference"] == "Practitioner/a"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(str.strip)
maybe = st.none() | texts


@given(
    st.builds(
        dict,
        at=st.integers(0, 4_000_000_000_000_000),
        actor_id=texts,
        actor_role=st.sampled_from(["", "CLINICIAN", "anonymous", "SYSTEM"]),
        client_id=maybe,
        customer_id=st.none() | st.just("p1"),
        patients=st.lists(texts, max_size=3).map(tuple),
        resource=st.sampled_from(["Observation", "Patient", "session", "audit_log", "fhir", "lab_results", "users"]),
        resource_ids=st.lists(texts | st.just("Patient/p1"), max_size=3).map(tuple),
        action=st.sampled_from(["read", "write", "delete", "export"]),
        interaction=st.none() | st.sampled_from(["read", "search-type", "load", "sign-in", "operation"]),
        outcome=st.sampled_from(["allowed", "denied"]),
        status=st.none() | st.sampled_from([200, 304, 403, 500]),
        count=st.none() | st.just(0),
        request_id=maybe,
        method=st.none() | st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]),
        path=maybe,
        ip_address=st.none() | st.sampled_from(["10.0.0.1", "::1"]),
        user_agent=maybe,
        purpose=st.none() | st.sampled_from(["BTG", "okta"]),
        grant_id=st.none() | st.just("jti"),
    )
)
def test_fhir_AuditEvent_every_record_is_a_valid_one(changes):
    told = event(**changes)
    assert resource_issues(told) == []
    assert fhirkit.validate(encode(told).decode()) == []


def test_nothing_that_is_unknown_is_shown():
    told = event(**NOTHING, resource_ids=())
    assert "entity" not in told
    assert resource_issues(told) == []
