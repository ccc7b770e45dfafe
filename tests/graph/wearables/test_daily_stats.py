"""Statistics of days at the API: kept for five minutes, forgotten by every worker when they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update

from storage.tables.patient_graph import patient_wearable_daily_stats
from tests.graph.kit import JANE, JOHN, GraphSite
from tests.site import running_site

Graph = Callable[..., httpx.Client]
ASKED = {"customerId": JANE.customer, "dataType": "glucose"}
SOON = 30.0
"""Seconds within which every worker has to have heard."""


@pytest.fixture(scope="module")
def other(graph_site: GraphSite) -> Iterator[GraphSite]:
    """Another worker on the same database."""
    unlimited = {"graph_user_limit": None, "graph_address_limit": None}
    with running_site(graph_site.site.settings.database_url, **unlimited) as site:
        yield GraphSite(site)


def ask(client: httpx.Client, **more: Any) -> httpx.Response:
    answer = client.get("/wearables/daily-stats", params={**ASKED, **more})
    assert answer.status_code == 200, answer.text
    return answer


def kept(client: httpx.Client, **more: Any) -> httpx.Response:
    """Ask until a kept page is given: a worker that just began does not listen at once."""
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        answer = ask(client, **more)
        if answer.headers["x-cache"] == "hit":
            return answer
        time.sleep(0.02)
    raise AssertionError("no page is kept")


def eventually(client: httpx.Client, wanted: Callable[[list[dict[str, Any]]], bool]) -> None:
    until = time.monotonic() + SOON
    while time.monotonic() < until:
        if wanted(ask(client).json()["data"]):
            return
        time.sleep(0.02)
    raise AssertionError("the other worker never heard of the change")


def reading(value: object, at: str = "2026-03-20T14:30:00Z") -> dict[str, Any]:
    return {
        "customerId": JANE.customer, "dataType": "glucose", "value": value, "unit": "mg/dL",
        "source": "dexcom_api", "recordedAt": at,
    }  # fmt: skip


def day(found: list[dict[str, Any]], date: str = "2026-03-20") -> dict[str, Any]:
    return next((each for each in found if each["date"] == date), {})


def test_the_statistics_of_a_day_have_the_members_of_the_document(graph: Graph) -> None:
    (found,) = [each for each in ask(graph("CLINICIAN")).json()["data"] if each["date"] == "2026-03-01"]
    expected = {"date": "2026-03-01", "dataType": "glucose", "avgValue": 98.5, "minValue": 75.0, "maxValue": 145.0}
    assert found.items() >= {**expected, "count": 288, "unit": "mg/dL"}.items()


def test_a_page_is_kept_and_is_the_same_for_everybody_who_may_have_it(graph: Graph, graph_site: GraphSite) -> None:
    first = ask(graph("STAFF"))
    second = kept(graph("CLINICIAN"))
    assert (first.content, first.headers["content-type"]) == (second.content, second.headers["content-type"])
    record = graph_site.audit_of(second)
    assert (record["customer_id"], record["resource"], record["count"]) == (JANE.customer, "lab_results", 1)


def test_access_is_decided_before_a_kept_page_is_looked_for(graph: Graph) -> None:
    kept(graph("STAFF"))
    answer = graph("PATIENT", customer=JOHN).get("/wearables/daily-stats", params=ASKED)
    assert answer.status_code == 403
    assert "x-cache" not in answer.headers


def test_other_questions_have_other_pages(graph: Graph) -> None:
    staff = graph("STAFF")
    assert len(kept(staff).json()["data"]) >= 1
    assert kept(staff, fromDate="2031-01-01").json()["data"] == []
    assert kept(staff, toDate="2026-03-01").json()["pagination"]["total"] == 1
    assert kept(staff, offset=50).json()["data"] == []


def test_every_worker_forgets_a_page_when_readings_come(graph: Graph, other: GraphSite) -> None:
    staff, there = graph("STAFF"), other.client("STAFF")
    kept(staff)
    kept(there)
    staff.post("/wearables/readings", json=[reading(80)]).raise_for_status()
    assert day(ask(staff).json()["data"])["avgValue"] == 80  # the worker that wrote, at once
    eventually(there, lambda found: day(found).get("avgValue") == 80)


def test_every_worker_forgets_a_page_when_fhir_writes_the_day(graph: Graph, other: GraphSite) -> None:
    staff, there = graph("STAFF"), other.client("STAFF")
    staff.post("/wearables/readings", json=[reading(70, "2026-03-21T14:30:00Z")]).raise_for_status()
    kept(there)
    row = day(ask(staff).json()["data"], "2026-03-21")
    with other.site.client() as fhir:
        resource = fhir.get(f"/Observation/{row['id']}").json()
        resource["valueQuantity"]["value"] = 71
        fhir.put(f"/Observation/{row['id']}", json=resource).raise_for_status()
    for client in (staff, there):
        eventually(client, lambda found: day(found, "2026-03-21")["avgValue"] == 71)


def test_every_worker_forgets_a_page_when_another_program_writes_the_day(
    graph_site: GraphSite, graph: Graph, other: GraphSite
) -> None:
    staff, there = graph("STAFF"), other.client("STAFF")
    kept(staff)
    kept(there)
    columns = patient_wearable_daily_stats.c
    with graph_site.engine().begin() as connection:
        own = (columns.customer_id == JANE.customer, columns.id == JANE.row("stat"))
        connection.execute(update(patient_wearable_daily_stats).where(*own).values(count=287))
    for client in (staff, there):
        eventually(client, lambda found: day(found, "2026-03-01")["count"] == 287)


def test_a_worker_whose_connection_was_lost_gives_nothing_old(
    graph_site: GraphSite, graph: Graph, other: GraphSite
) -> None:
    if graph_site.engine().dialect.name == "sqlite":
        pytest.skip("a file is not lost")
    there = other.client("STAFF")
    kept(there)
    listening = (
        "datname = current_database() AND pid <> pg_backend_pid() AND query IN ('SELECT 1', 'LISTEN \"fhir_outbox\"')"
    )
    with graph_site.engine().connect() as connection:
        ended = connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}"))
        assert ended.all()
    graph("STAFF").post("/wearables/readings", json=[reading(66, "2026-03-22T14:30:00Z")]).raise_for_status()
    eventually(there, lambda found: day(found, "2026-03-22").get("avgValue") == 66)
    assert day(kept(there).json()["data"], "2026-03-22")["avgValue"] == 66  # it listens again
