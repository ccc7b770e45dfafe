"""Profiles: who may make and change them, what the timeline tells, and what FHIR shows of it at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.graph.kit import JANE, JOHN, GraphSite

Clients = Callable[..., httpx.Client]


def events_of(client: httpx.Client, customer: str, kind: str) -> list[dict[str, Any]]:
    return client.get("/events", params={"customerId": customer, "type": kind}).json()["data"]  # type: ignore[no-any-return]


def test_a_changed_profile_is_told_to_its_timeline_by_names_and_shown_in_fhir(
    graph: Clients, graph_site: GraphSite
) -> None:
    staff = graph("STAFF")
    told = len(events_of(staff, JANE.customer, "profile_updated"))
    changes = {"firstName": "Janet", "conditions": ["hypothyroidism", "pcos"], "lastName": "Doe"}
    changed = staff.patch(f"/profiles/{JANE.customer}", json=changes)
    assert changed.status_code == 200
    assert changed.json()["data"] | changes == changed.json()["data"]
    events = events_of(staff, JANE.customer, "profile_updated")
    assert len(events) == told + 1
    assert events[0]["data"] == {"fields": ["firstName", "conditions"]}
    assert "Janet" not in str(events[0])
    fhir = graph_site.site.client()
    patient = graph_site.patient_of(JANE)
    assert fhir.get(f"/Patient/{patient}").json()["name"][0]["given"] == ["Janet"]
    conditions = fhir.get("/Condition", params={"patient": patient}).json()
    assert {each["resource"]["code"]["text"] for each in conditions["entry"]} == {"hypothyroidism", "pcos"}
    assert staff.patch(f"/profiles/{JANE.customer}", json=changes).status_code == 200
    assert len(events_of(staff, JANE.customer, "profile_updated")) == told + 1, "nothing changed, nothing is told"


@pytest.mark.parametrize("taken", ["externalId", "email"])
def test_a_value_that_is_in_use_is_a_conflict(graph: Clients, taken: str) -> None:
    body = {"externalId": "user_new", "email": "new@example.com"}
    body[taken] = {"externalId": JANE.login, "email": JANE.email}[taken]
    answer = graph("STAFF").post("/profiles", json=body)
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert (error["code"], error["details"]["issues"][0]["path"]) == ("CONFLICT", [taken])


def test_customers_learn_of_nobody_by_an_address_that_is_in_use(graph: Clients) -> None:
    newcomer = graph("PATIENT", subject="user_newcomer")
    taken = newcomer.post("/profiles", json={"externalId": "user_newcomer", "email": JANE.email})
    foreign = newcomer.get(f"/profiles/{JANE.customer}")
    assert taken.status_code == foreign.status_code == 403
    assert taken.content == foreign.content
    made = newcomer.post("/profiles", json={"externalId": "user_newcomer", "email": "newcomer@example.com"})
    assert made.status_code == 201
    own = made.json()["data"]["id"]
    assert newcomer.get("/profiles").json()["data"][0]["id"] == own
    assert newcomer.patch(f"/profiles/{own}", json={"email": JANE.email}).status_code == 403
    assert newcomer.patch(f"/profiles/{own}", json={"email": "free@example.com"}).status_code == 403
    assert newcomer.patch(f"/profiles/{own}", json={"email": "newcomer@example.com"}).status_code == 200


def test_customers_make_one_profile_and_only_that_of_their_login(graph: Clients) -> None:
    newcomer = graph("PATIENT", subject="user_second")
    assert newcomer.post("/profiles", json={"externalId": "user_other", "email": "o@example.com"}).status_code == 403
    assert newcomer.post("/profiles", json={"externalId": "user_second", "email": "2@example.com"}).status_code == 201
    assert newcomer.post("/profiles", json={"externalId": "user_second", "email": "3@example.com"}).status_code == 403


def test_profiles_are_listed_by_email_and_page(graph: Clients) -> None:
    staff = graph("STAFF")
    found = staff.get("/profiles", params={"email": JOHN.email}).json()
    assert [each["id"] for each in found["data"]] == [JOHN.customer]
    assert found["pagination"] == {"page": 1, "limit": 20, "offset": 0, "total": 1, "hasMore": False}
    first = staff.get("/profiles", params={"limit": 1}).json()
    assert len(first["data"]) == 1
    assert first["pagination"]["hasMore"] is True


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"firstName": "No key"}, ["externalId"]),
        ({"externalId": "u", "email": "no address"}, ["email"]),
        ({"externalId": "u", "email": "a@b.example", "dateOfBirth": "15.6.1985"}, ["dateOfBirth"]),
        ({"externalId": "u", "email": "a@b.example", "dateOfBirth": 5}, ["dateOfBirth"]),
        ({"externalId": "u", "email": "a@b.example", "timezone": "Mars/Olympus"}, ["timezone"]),
        ({"externalId": "u", "email": "a@b.example", "unknown": 1}, ["unknown"]),
    ],
)
def test_what_does_not_fit_is_named(graph: Clients, body: dict[str, Any], path: list[str]) -> None:
    answer = graph("STAFF").post("/profiles", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert error["message"] == "Invalid request body"
    assert path in [each["path"] for each in error["details"]["issues"]]


def test_a_required_member_may_not_be_made_null(graph: Clients) -> None:
    assert graph("STAFF").patch(f"/profiles/{JANE.customer}", json={"email": None}).status_code == 400
    assert graph("STAFF").patch(f"/profiles/{JANE.customer}", json={"phoneNumber": None}).status_code == 200
