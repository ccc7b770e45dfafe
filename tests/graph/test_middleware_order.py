"""The chain around every endpoint, in its order (API document 'Middleware Stack'; settled §5; security AD-3).

Tracing, rate limit, authentication, RBAC, ownership, handler, audit: where a request fails in several ways, the answer
is that of the first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from fhir_server.limits.limit import Limit
from storage.audit_sqlite import audit_path
from storage.rls import ROLE
from tests.graph.kit import ABSENT, JANE, JOHN, GraphSite, running_graph

BROKEN = {"content": b"{not json", "headers": {"Content-Type": "application/json"}}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def limited(database_url: str) -> Iterator[GraphSite]:
    """A server that lets few requests through: 40 of an address, 3 of a user, within ten minutes."""
    with running_graph(database_url, (), graph_address_limit=Limit(40, 600), graph_user_limit=Limit(3, 600)) as made:
        yield made


def test_the_chain_asks_for_limit_token_role_owner_and_body_in_this_order(graph_site: GraphSite, graph):
    nobody, auditor, jane = graph_site.bearing("nonsense"), graph("AUDITOR"), graph("PATIENT", customer=JANE)
    foreign = {"customerId": JOHN.customer, "name": 7, "nonsense": True}
    own = {**foreign, "customerId": JANE.customer}
    assert code(nobody.post("/protocols", **BROKEN)) == (401, "UNAUTHORIZED")
    assert code(auditor.post("/protocols", **BROKEN)) == (403, "FORBIDDEN")
    assert code(auditor.get("/labs", params={"customerId": ABSENT, "limit": "x"})) == (403, "FORBIDDEN")
    assert code(jane.post("/protocols", json=foreign)) == (403, "FORBIDDEN")
    assert code(jane.get("/labs", params={"customerId": JOHN.customer, "limit": "x"})) == (403, "FORBIDDEN")
    assert code(jane.get("/labs", params={"customerId": JOHN.customer, "nonsense": "x"})) == (403, "FORBIDDEN")
    both = [("customerId", JANE.customer), ("customerId", JOHN.customer)]
    assert code(jane.get("/labs", params=both)) == (403, "FORBIDDEN")
    assert code(jane.patch(f"/profiles/{JOHN.customer}", **BROKEN)) == (403, "FORBIDDEN")
    assert code(jane.patch(f"/profiles/{JANE.customer}", **BROKEN)) == (400, "VALIDATION_ERROR")
    assert code(jane.post("/protocols", json=own)) == (400, "VALIDATION_ERROR")
    assert code(jane.get("/labs", params={"customerId": JANE.customer, "limit": "x"})) == (400, "VALIDATION_ERROR")


def test_what_stands_in_the_way_is_on_record(graph_site: GraphSite, graph):
    cases = {
        (401, "denied", "anonymous"): graph_site.bearing("nonsense").get("/labs"),
        (403, "denied", "tester-auditor"): graph("AUDITOR").get("/labs"),
        (403, "denied", JANE.login): graph("PATIENT", customer=JANE).get("/labs", params={"customerId": JOHN.customer}),
        (400, "allowed", JANE.login): graph("PATIENT", customer=JANE).get("/labs"),
        (404, "allowed", "tester-staff"): graph("STAFF").get(f"/labs/{ABSENT}"),
        (200, "allowed", JANE.login): graph("PATIENT", customer=JANE).get(
            "/labs", params={"customerId": JANE.customer}
        ),
    }
    for said, answer in cases.items():
        record = graph_site.audit_of(answer)
        assert (answer.status_code, record["outcome"], record["actor_id"]) == said
        assert record["status"] == answer.status_code
        assert (record["resource"], record["action"], record["method"]) == ("lab_results", "read", "GET")
        assert record["path"].startswith("/graph/labs")


def test_too_many_requests_of_a_user_are_refused_before_the_matrix_is_asked(limited: GraphSite):
    auditor = limited.client("AUDITOR")
    answers = [auditor.get("/labs") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"3"}
    assert code(answers[-1]) == (429, "RATE_LIMIT_EXCEEDED")
    assert int(answers[-1].headers["retry-after"]) == answers[-1].json()["error"]["retryAfter"] > 0


def test_another_user_of_the_same_address_goes_on(limited: GraphSite):
    assert limited.client("STAFF", subject="another").get("/profiles").status_code == 200


def test_too_many_requests_of_an_address_are_refused_before_the_token_is_looked_at(limited: GraphSite):
    nobody = limited.bearing("nonsense")
    answers = [nobody.get("/labs") for _ in range(41)]
    assert code(answers[0]) == (401, "UNAUTHORIZED")
    assert code(answers[-1]) == (429, "RATE_LIMIT_EXCEEDED")
    first = next(n for n, answer in enumerate(answers) if answer.status_code == 429)
    assert all(answer.status_code == 429 for answer in answers[first:])
    assert limited.client("STAFF", subject="innocent").get("/profiles").status_code == 429


def test_AD_3_an_access_is_on_record_when_its_answer_is_there(graph_site: GraphSite, graph):
    staff = graph("STAFF")
    seen: list[bool] = []

    def look(answer: httpx.Response) -> None:
        seen.append(answer.headers["x-request-id"] in graph_site.audit(answer.headers["x-request-id"]))

    staff.event_hooks["response"].insert(0, look)  # the head is there, the body is not read
    staff.get(f"/profiles/{JANE.customer}")
    staff.post("/events", json={"customerId": JANE.customer, "type": "note_added", "description": "Called"})
    staff.get("/nothing-here")
    assert seen == [True, True, True]


@contextmanager
def broken_audit(url: str) -> Iterator[None]:
    """Let nothing be put into the audit trail."""
    trigger = "CREATE TRIGGER away BEFORE INSERT ON rbac_logs BEGIN SELECT RAISE(ABORT, 'away'); END"
    run: list[Callable[[str], None]] = []
    if url.startswith("sqlite"):
        files = [str(make_url(url).database), str(audit_path(url))]
        statements = (trigger, "DROP TRIGGER away")
        run = [_on_sqlite(path) for path in files]
    else:
        statements = (f"REVOKE INSERT ON rbac_logs FROM {ROLE}", f"GRANT INSERT ON rbac_logs TO {ROLE}")
        run = [_on_postgres(url)]
    for each in run:
        each(statements[0])
    try:
        yield
    finally:
        for each in run:
            each(statements[1])


def _on_sqlite(path: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        connection = sqlite3.connect(path, timeout=10)
        connection.execute(statement)
        connection.commit()
        connection.close()

    return run


def _on_postgres(url: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    return run


def test_AD_2_AD_3_without_audit_nothing_is_shown_and_nothing_is_changed(graph_site: GraphSite):
    staff = graph_site.client("STAFF")
    with broken_audit(graph_site.site.settings.database_url):
        read = staff.get(f"/profiles/{JANE.customer}")
        written = staff.patch(f"/profiles/{JANE.customer}", json={"subscriptionTier": "unrecorded"})
        refused = graph_site.bearing(None).get("/labs")
    assert read.status_code == refused.status_code == 503
    assert written.status_code in {500, 503}
    for answer in (read, written, refused):
        assert set(answer.json()) == {"success", "error"}
        assert "jane" not in answer.text.lower()
    assert staff.get(f"/profiles/{JANE.customer}").json()["data"]["subscriptionTier"] != "unrecorded"
