"""The review queue over HTTP: who may see and decide, what is answered, what is on record (issue 7, point 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.graph.answers import data_of
from tests.graph.kit import JANE, JOHN, GraphSite, running_graph

ENDPOINTS = [
    ("GET", "/identity/matches", None),
    ("GET", "/identity/matches/none", None),
    ("POST", "/identity/matches/none/merge", {"survivorId": "a"}),
    ("POST", "/identity/matches/none/reject", {}),
    ("GET", "/identity/merges", None),
    ("POST", "/identity/merges/none/unmerge", {}),
]


@pytest.fixture
def graph(fresh_database_url: str) -> Iterator[GraphSite]:
    with running_graph(fresh_database_url) as made:
        yield made


@pytest.fixture(scope="module")
def shared(database_url: str) -> Iterator[GraphSite]:
    with running_graph(database_url) as made:
        yield made


def record(person: Any) -> dict[str, str]:
    return {"table": "customer_profiles", "id": person.customer}


def patient(graph: GraphSite, person: Any) -> dict[str, Any]:
    answer = graph.site.client().get(f"/Patient/{graph.patient_of(person)}")
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def but_meta(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "meta"}


def test_identity_a_pair_is_reviewed_merged_and_unmerged_over_http(shared: GraphSite):
    staff = shared.client()
    (pair,) = data_of(staff.get("/identity/matches", params={"status": "open"}))
    assert (pair["first"], pair["second"], pair["outcome"]) == (record(JANE), record(JOHN), "possible")
    assert {each["trait"] for each in pair["evidence"]["comparisons"]} >= {"birth date", "telephone"}
    assert data_of(staff.get(f"/identity/matches/{pair['id']}")) == pair
    before = [but_meta(patient(shared, each)) for each in (JANE, JOHN)]

    body = {"survivorId": JOHN.customer, "reason": "one person"}
    answer = staff.post(f"/identity/matches/{pair['id']}/merge", json=body)
    merge = data_of(answer, 201)
    assert (merge["survivor"], merge["merged"], merge["matchId"]) == (record(JOHN), record(JANE), pair["id"])
    assert (merge["mergedBy"], merge["reason"], merge["unmergedAt"]) == ("tester-staff", "one person", None)
    on_record = shared.audit_of(answer)
    assert (on_record["resource"], on_record["action"]) == ("profile", "write")
    assert all(each.customer in str(on_record) for each in (JANE, JOHN))
    assert [each["type"] for each in patient(shared, JANE)["link"]] == ["replaced-by"]
    assert [each["type"] for each in patient(shared, JOHN)["link"]] == ["replaces"]
    assert data_of(staff.get("/identity/matches", params={"status": "merged"}))[0]["reviewedBy"] == "tester-staff"

    again = staff.post("/identity/merges", json={"survivor": record(JOHN), "merged": record(JANE)})
    assert again.status_code == 409
    assert again.json()["error"]["details"] == {"mergedInto": record(JOHN)}
    decided = staff.post(f"/identity/matches/{pair['id']}/reject", json={})
    assert (decided.status_code, decided.json()["error"]["details"]) == (409, {"status": "merged"})

    ended = data_of(staff.post(f"/identity/merges/{merge['id']}/unmerge", json={"reason": "two persons"}))
    assert (ended["unmergedBy"], ended["unmergeReason"]) == ("tester-staff", "two persons")
    assert [but_meta(patient(shared, each)) for each in (JANE, JOHN)] == before
    assert staff.post(f"/identity/merges/{merge['id']}/unmerge", json={}).status_code == 409
    assert [each["id"] for each in data_of(staff.get("/identity/merges", params={"ended": "true"}))] == [merge["id"]]
    assert data_of(staff.get("/identity/merges", params={"ended": "false"})) == []


def test_identity_two_records_are_merged_by_hand_and_a_pair_rejected(graph: GraphSite):
    staff = graph.client()
    (pair,) = data_of(staff.get("/identity/matches"))
    rejected = data_of(staff.post(f"/identity/matches/{pair['id']}/reject", json={"reason": "twins"}))
    assert (rejected["status"], rejected["reason"]) == ("rejected", "twins")
    by_hand = {"survivor": record(JANE), "merged": record(JOHN), "reason": "Shown their passport"}
    assert data_of(staff.post("/identity/merges", json=by_hand), 201)["matchId"] == pair["id"]
    for person in (JANE, JOHN):
        asked = {"externalSystem": "stripe", "externalId": f"cus_{person.customer}"}
        found = data_of(staff.get("/identity-mappings/resolve", params=asked))
        assert (found["customerId"], found["survivor"]) == (person.customer, record(JANE))
    export = graph.client("ORG_ADMIN", checked=False).get(f"/profiles/{JOHN.customer}/export")
    assert export.status_code == 200
    assert all(f'"lab_{each.customer}"' in export.text for each in (JANE, JOHN))
    labs = data_of(staff.get("/labs", params={"customerId": JANE.customer}))
    assert [each["id"] for each in labs] == [JANE.row("lab")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"survivor": record(JANE), "merged": record(JANE)}, 409),
        ({"survivor": record(JANE), "merged": {"table": "patients", "id": "none"}}, 404),
        ({"survivor": record(JANE), "merged": {"table": "subscriptions", "id": "none"}}, 400),
        ({"survivor": record(JANE)}, 400),
        ({"survivor": record(JANE), "merged": {**record(JOHN), "organizationId": "other"}}, 400),
    ],
)
def test_identity_what_cannot_be_merged_is_refused(shared: GraphSite, body: Any, status: int):
    assert shared.client().post("/identity/merges", json=body).status_code == status


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)
def test_identity_callers_who_are_bound_to_one_customer_are_refused_alike(shared: GraphSite, method, path, body):
    told = {"json": body} if body is not None else {}
    foreign = shared.client("PATIENT", customer=JANE).request(method, path, **told)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert shared.audit_of(foreign)["outcome"] == "denied"


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)
@pytest.mark.parametrize(("role", "reads", "writes"), [("STAFF", 1, 1), ("SUPPORT", 1, 0), ("CLINICIAN", 1, 0)])
def test_identity_reading_and_deciding_take_the_rights_of_profiles(shared, method, path, body, role, reads, writes):
    told = {"json": body} if body is not None else {}
    allowed = reads if method == "GET" else writes
    status = shared.client(role).request(method, path, **told).status_code
    assert status in ({200, 404} if allowed else {403})


def test_TN_pairs_and_merges_of_another_organization_are_not_there(shared: GraphSite):
    other = shared.client(organization="health-hub")
    assert data_of(other.get("/identity/matches")) == []
    assert data_of(other.get("/identity/merges")) == []
    pairs = data_of(shared.client().get("/identity/matches"))
    assert other.get(f"/identity/matches/{pairs[0]['id']}").status_code == 404


def test_AZ_a_link_reads_nothing_to_an_app_of_one_record(graph: GraphSite):
    jane, john = graph.patient_of(JANE), graph.patient_of(JOHN)
    merged = graph.client().post("/identity/merges", json={"survivor": record(JOHN), "merged": record(JANE)})
    assert merged.status_code == 201
    app = graph.site.client("patient/*.rs", role="APP", patient=jane)
    assert app.get(f"/Patient/{jane}").status_code == 200
    absent, foreign = app.get("/Patient/never-was"), app.get(f"/Patient/{john}")
    assert foreign.status_code == 404
    assert foreign.text.replace(john, "never-was") == absent.text
    found = app.get(f"/Patient?_id={jane}&_include=Patient:link&_revinclude=Patient:link").json()
    assert [each["resource"]["id"] for each in found["entry"]] == [jane]
    assert app.get(f"/Patient/{jane}/$everything").text.count(f'"id":"{john}"') == 0
