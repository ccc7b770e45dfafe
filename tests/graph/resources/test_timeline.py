"""Events and conversations: entries that are added, listed by whom, when and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.kit import JANE, JOHN

Clients = Callable[..., httpx.Client]


def note(client: httpx.Client, **more: Any) -> httpx.Response:
    return client.post("/events", json={"customerId": JANE.customer, "type": "note_added", **more})


def test_an_event_says_who_wrote_it_and_when_it_happened(graph: Clients) -> None:
    staff = graph("STAFF")
    made = note(staff, description="Called", data={"a": 1.50}, occurredAt="2026-03-10T22:44:00+01:00")
    assert made.status_code == 201
    event = made.json()["data"]
    assert (event["createdBy"], event["occurredAt"]) == ("tester-staff", "2026-03-10T21:44:00Z")
    now = note(staff).json()["data"]
    assert now["occurredAt"] is not None
    assert note(staff, createdBy="somebody").status_code == 400


def test_events_are_listed_by_type_and_time_of_what_happened_the_latest_first(graph: Clients) -> None:
    staff = graph("STAFF")
    days = ("2031-05-02T10:00:00Z", "2031-05-01T23:59:59.5Z", "2031-05-03T00:00:00Z")
    ids = [note(staff, occurredAt=day).json()["data"]["id"] for day in days]

    def found(**asked: str) -> list[str]:
        params = {"customerId": JANE.customer, "type": "note_added", "limit": "100", **asked}
        return [each["id"] for each in staff.get("/events", params=params).json()["data"]]

    assert [each for each in found() if each in ids] == [ids[2], ids[0], ids[1]]
    assert found(fromDate="2031-05-01", toDate="2031-05-01") == [ids[1]]
    assert found(fromDate="2031-05-02T10:00:00Z", toDate="2031-05-02T23:59:59Z") == [ids[0]]
    assert found(fromDate="2031-05-02") == [ids[2], ids[0]]
    assert found(fromDate="2031-05-01", type="consent_granted") == []


@pytest.mark.parametrize(
    "asked", [{"type": "lost"}, {"fromDate": "yesterday"}, {"toDate": "1710958200"}, {"since": ""}]
)
def test_what_cannot_be_asked_is_refused(graph: Clients, asked: dict[str, str]) -> None:
    answer = graph("STAFF").get("/events", params={"customerId": JANE.customer, **asked})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Invalid query parameters"


def test_customers_tell_of_check_ins_and_nothing_else(graph: Clients) -> None:
    jane = graph("PATIENT", customer=JANE)
    check_in = {"type": "protocol_check_in", "data": {"mood": 7}, "protocolId": JANE.row("protocol")}
    assert note(jane, **check_in).status_code == 201
    for kind in ("note_added", "consent_granted", "treatment_approved"):
        assert note(jane, type=kind).status_code == 403
    assert note(jane, **check_in, customerId=JOHN.customer).status_code == 403


def test_an_event_names_a_protocol_of_the_same_customer(graph: Clients) -> None:
    for protocol in (JOHN.row("protocol"), "none"):
        answer = note(graph("STAFF"), protocolId=protocol)
        assert answer.status_code == 400
        assert answer.json()["error"]["details"]["issues"][0]["path"] == ["protocolId"]


def line(client: httpx.Client, **more: Any) -> httpx.Response:
    return client.post("/conversation-history", json={"customerId": JANE.customer, **more})


def test_one_line_or_several_are_appended_and_listed_the_latest_first(graph: Clients) -> None:
    staff = graph("STAFF")
    one = line(staff, role="user", content="Hi", channel="app", sessionId="s1", tokenCount=1)
    assert one.status_code == 201
    assert one.json()["data"]["content"] == "Hi"
    said = [{"role": "user", "content": "Low?"}, {"role": "assistant", "content": "Yes.", "metadata": {"m": 1}}]
    several = line(staff, channel="app", sessionId="s1", messages=said)
    assert several.status_code == 201
    assert [each["content"] for each in several.json()["data"]] == ["Low?", "Yes."]
    asked = {"customerId": JANE.customer, "sessionId": "s1", "channel": "app"}
    found = staff.get("/conversation-history", params=asked).json()
    assert [each["content"] for each in found["data"]] == ["Yes.", "Low?", "Hi"]
    assert found["pagination"]["limit"] == 50
    assert staff.get("/conversation-history", params=asked | {"channel": "sms"}).json()["data"] == []


def test_a_page_of_a_conversation_has_500_lines_at_most(graph: Clients) -> None:
    staff, asked = graph("STAFF"), {"customerId": JANE.customer}
    assert staff.get("/conversation-history", params=asked | {"limit": "500"}).status_code == 200
    assert staff.get("/conversation-history", params=asked | {"limit": "501"}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"role": "doctor", "content": "x"},
        {"role": "user"},
        {"messages": []},
        {"messages": [{"role": "user", "content": "x"}] * 101},
        {"messages": [{"role": "user", "content": "x"}], "role": "user", "content": "x"},
    ],
)
def test_what_is_no_line_is_refused(graph: Clients, body: dict[str, Any]) -> None:
    assert line(graph("STAFF"), **body).status_code == 400


def test_customers_read_their_conversations_and_write_none(graph: Clients) -> None:
    jane = graph("PATIENT", customer=JANE)
    assert jane.get("/conversation-history", params={"customerId": JANE.customer}).status_code == 200
    assert line(jane, role="user", content="Hi").status_code == 403
