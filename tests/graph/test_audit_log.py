"""The audit log and the accounting of disclosures (API document 'Audit Logging'; 45 CFR 164.528; security AD-6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.conftest import OTHER_ORGANIZATION
from tests.graph.kit import JANE, JOHN, GraphSite

Json = dict[str, Any]
Clients = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def auditor(graph: Clients) -> httpx.Client:
    return graph("AUDITOR")


@pytest.fixture(scope="module")
def accessed(graph: Clients, graph_site: GraphSite) -> str:
    """Some accesses to the rows of two customers, by several people; returns the Patient of JANE."""
    staff, customer, support = graph("STAFF"), graph("PATIENT", customer=JANE), graph("SUPPORT")
    staff.get(f"/profiles/{JANE.customer}", headers={"X-Request-Id": "staff-jane"})
    staff.get("/profiles")
    customer.get("/profiles", params={"customerId": JANE.customer})
    customer.get("/profiles", params={"customerId": JOHN.customer})
    support.get(f"/profiles/{JOHN.customer}", headers={"User-Agent": "Mozilla/5.0", "X-Request-Id": "support-john"})
    support.patch(f"/profiles/{JANE.customer}", json={"subscriptionTier": "free"}, headers={"X-Request-Id": "refused"})
    patient = graph_site.patient_of(JANE)
    graph_site.site.client("user/*.rs", role="NURSE").get(f"/Patient/{patient}", headers={"X-Request-Id": "nurse"})
    return patient


def log(client: httpx.Client, **params: Any) -> Json:
    answer = client.get("/audit-log", params=params)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def entries(client: httpx.Client, **params: Any) -> list[Json]:
    data: list[Json] = log(client, limit=100, **params)["data"]
    return data


def test_an_entry_has_the_members_of_the_document(auditor, accessed):
    (entry,) = entries(auditor, requestId="support-john")
    named = ("actorId", "actorRole", "customerId", "resource", "action", "outcome", "ipAddress", "userAgent")
    assert {name: entry[name] for name in named} == {
        "actorId": "tester-support",
        "actorRole": "SUPPORT",
        "customerId": JOHN.customer,
        "resource": "profile",
        "action": "read",
        "outcome": "allowed",
        "ipAddress": "127.0.0.1",
        "userAgent": "Mozilla/5.0",
    }
    assert datetime.now(UTC) - datetime.fromisoformat(entry["timestamp"]) < timedelta(minutes=10)
    assert (entry["requestId"], entry["method"], entry["path"], entry["status"]) == (
        "support-john", "GET", "/graph/profiles/{id}", 200,
    )  # fmt: skip


def test_entries_come_newest_first(auditor, accessed):
    times = [entry["timestamp"] for entry in entries(auditor)]
    assert times == sorted(times, reverse=True)
    assert len(times) >= 7


@pytest.mark.parametrize(
    ("params", "test"),
    [
        ({"customerId": JOHN.customer}, lambda e: JOHN.customer in {e["customerId"], *e["customerIds"]}),
        ({"actorId": "tester-staff"}, lambda e: e["actorId"] == "tester-staff"),
        ({"resource": "profile"}, lambda e: e["resource"] == "profile"),
        ({"action": "write"}, lambda e: e["action"] == "write"),
        ({"outcome": "denied"}, lambda e: e["outcome"] == "denied"),
        ({"requestId": "nurse"}, lambda e: e["requestId"] == "nurse"),
        ({"actorId": "tester-support", "outcome": "denied"}, lambda e: e["requestId"] == "refused"),
        ({"customerId": "nobody"}, lambda _: False),
    ],
)
def test_filters_leave_what_they_name(auditor, accessed, params, test):
    known = entries(auditor)
    wanted = {entry["id"] for entry in known if test(entry)}
    found = {entry["id"] for entry in entries(auditor, **params)}
    assert found & {entry["id"] for entry in known} == wanted


def test_a_customer_is_found_by_the_id_of_the_row_and_by_that_of_the_Patient(auditor, accessed):
    found = {each["requestId"] for each in entries(auditor, customerId=JANE.customer)}
    assert {"staff-jane", "nurse"} <= found
    assert found <= {each["requestId"] for each in entries(auditor, customerId=accessed)}


def test_AD_6_accesses_through_this_api_are_AuditEvents_about_the_Patient(graph_site: GraphSite, accessed):
    reader = graph_site.site.client("user/AuditEvent.rs", role="AUDITOR")
    bundle = reader.get("/AuditEvent", params={"patient": accessed, "altid": "tester-staff"}).json()
    events = [each["resource"] for each in bundle["entry"]]
    assert len(events) == 2
    for event in events:
        assert f"Patient/{accessed}" in {each.get("what", {}).get("reference") for each in event["entity"]}
        assert event["type"]["code"] == "rest"
    bound = graph_site.site.client("patient/AuditEvent.rs", role="AUDITOR", patient=accessed)
    one = next(each for each in events if each["subtype"][0]["code"] == "read")
    assert bound.get(f"/AuditEvent/{one['id']}").json() == one
    assert {each["id"] for each in events} <= {
        each["resource"]["id"] for each in bound.get("/AuditEvent?_count=1000").json()["entry"]
    }


def test_a_period_takes_its_end_in(auditor, accessed):
    known = entries(auditor)
    first, last = known[4]["timestamp"], known[1]["timestamp"]
    assert [each["id"] for each in entries(auditor, fromDate=first, toDate=last)] == [each["id"] for each in known[1:5]]
    today = known[0]["timestamp"][:10]
    assert {each["id"] for each in known} <= {each["id"] for each in entries(auditor, fromDate=today, toDate=today)}


def test_pages_are_those_of_every_list(auditor, accessed):
    end = entries(auditor)[0]["timestamp"]
    whole = log(auditor, limit=100, toDate=end)
    total = whole["pagination"]["total"]
    assert total == len(whole["data"])
    assert whole["pagination"]["complete"] is True
    pages = [log(auditor, limit=3, offset=offset, toDate=end) for offset in range(0, total, 3)]
    assert [each["id"] for page in pages for each in page["data"]] == [each["id"] for each in whole["data"]]
    assert [page["pagination"]["hasMore"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert pages[1]["pagination"]["page"] == 2


@pytest.mark.parametrize(
    "params",
    [{"action": "look"}, {"outcome": "perhaps"}, {"fromDate": "yesterday"}, {"limit": 101}, {"unknown": "x"},
     {"fromDate": "2026-02-01", "toDate": "2026-01-01"}],
)  # fmt: skip
def test_what_does_not_fit_is_told(auditor, params):
    answer = auditor.get("/audit-log", params=params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


def test_AD_6_looking_at_the_log_is_on_record(auditor, accessed):
    auditor.get("/audit-log", params={"customerId": JOHN.customer}, headers={"X-Request-Id": "looked"})
    (entry,) = entries(auditor, requestId="looked")
    assert (entry["resource"], entry["action"], entry["actorRole"]) == ("audit_log", "read", "AUDITOR")
    assert JOHN.customer in {entry["customerId"], *entry["customerIds"]}


def test_AZ_1_another_organization_has_its_own_log(graph: Clients, accessed):
    assert entries(graph("AUDITOR", organization=OTHER_ORGANIZATION), requestId="nurse") == []


# --- disclosures ------------------------------------------------------------------------------------------------------


def account(client: httpx.Client, **params: Any) -> Json:
    answer = client.get("/disclosures", params={"customerId": JANE.customer, "limit": 100, **params})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_164_528_an_accounting_names_who_used_the_data_and_how_often(auditor, accessed):
    told = account(auditor)["data"]
    by_actor = {each["actorId"]: each for each in told["recipients"]}
    assert {"tester-staff", "user_jane", "tester"} <= set(by_actor)
    assert "tester-support" not in by_actor, "who was refused saw nothing"
    staff = by_actor["tester-staff"]
    assert (staff["actorRole"], staff["clientId"], staff["count"]) == ("STAFF", "tests", 2)
    assert staff["firstAt"] < staff["lastAt"]
    assert staff["resources"] == [{"resource": "profile", "action": "read", "count": 2}]
    assert told["count"] == sum(each["count"] for each in told["recipients"])


def test_164_528_the_single_accesses_are_those_that_were_counted(auditor, accessed):
    end = entries(auditor)[0]["timestamp"]
    told = account(auditor, toDate=end)
    assert len(told["data"]["accesses"]) == told["data"]["count"] == told["pagination"]["total"]
    own = {JANE.customer, accessed}
    assert set(told["data"]["records"]) == own
    assert all(own & {each["customerId"], *each["customerIds"]} for each in told["data"]["accesses"])
    assert not any(JOHN.customer in str(each) for each in told["data"]["accesses"]), "it is Jane who is given this"
    page = account(auditor, toDate=end, limit=2, offset=1)["data"]["accesses"]
    assert page == told["data"]["accesses"][1:3]


def test_164_528_accesses_through_FHIR_are_accounted_for(auditor, accessed):
    assert "nurse" in {each["requestId"] for each in account(auditor)["data"]["accesses"]}


def test_164_528_a_period_confines_it(auditor, accessed):
    told = account(auditor, toDate="2020-01-01")["data"]
    assert (told["count"], told["recipients"], told["accesses"]) == (0, [], [])
    assert told["fromDate"][:4] in {"2013", "2014"}, "six years back, where nothing else is asked for"
    assert account(auditor, fromDate="0001-01-01", toDate="9999-12-31")["data"]["count"] >= 3


def test_164_528_somebody_has_to_be_named(auditor):
    assert auditor.get("/disclosures").status_code == 400


@pytest.mark.parametrize("role", ["STAFF", "CLINICIAN", "SUPPORT", "BILLING", "NURSE"])
@pytest.mark.parametrize("path", ["/audit-log", f"/disclosures?customerId={JANE.customer}"])
def test_TN_6_it_is_for_administrators_and_auditors(graph: Clients, role: str, path: str):
    assert graph(role).get(path).status_code == 403
    assert graph("ORG_ADMIN").get(path).status_code == 200
