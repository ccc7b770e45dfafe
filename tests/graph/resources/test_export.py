"""The export of one person's record: whole, bounded, on record before it leaves, and loaded elsewhere as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from fhir_server.loading.loader import Loader
from fhir_server.loading.sources import find_sources
from storage.access import Access, Right
from storage.audit import AuditKey
from storage.engine import Database, create_database
from storage.persons.merges import merge_records
from storage.projection.flush import flush
from storage.projection.places import Places
from storage.repositories.person_export import CORE, OWNER, PIECE, STREAMED
from storage.rls import ROLE
from storage.store import ResourceStore
from storage.tables.patient_graph import wearable_data
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION
from tests.graph.kit import JANE, JOHN, GraphSite, Person

Clients = Callable[..., httpx.Client]
TABLES = [table for table in (*CORE, *STREAMED.values()) if table is not wearable_data]
ACCESS = Access(ORGANIZATION, "operator", "OPERATOR", "fhir-server", {}, everything=frozenset(Right))
KEY = AuditKey(b"tests' own key of audit records.")
MANY = PIECE + 7


def write(site: GraphSite, work: Callable[[UnitOfWork], Awaitable[Any]]) -> None:
    async def put() -> None:
        database = create_database(site.site.settings.database_url, role=ROLE)
        database.flush = flush
        await database.open()
        await database.transact(ORGANIZATION, Change("tester", "tests", "test"), work)
        await database.close()

    asyncio.run(put())


def rows_of(site: GraphSite, url: str | None, customers: list[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for table in TABLES:
        owner = table.c[OWNER.get(table.name, "customer_id")]
        found[table.name] = [dict(row) for row in site.rows(select(table).where(owner.in_(customers)), url)]
        found[table.name].sort(key=lambda row: row["id"])
    return found


def fill(staff: httpx.Client, customer: str) -> None:
    """Give a customer many readings, several of one instant, and untidy values."""
    readings = [
        {
            "customerId": customer,
            "dataType": kind,
            "value": 95.50,
            "unit": "mg/dL",
            "source": f"source_{place}",
            "recordedAt": f"2026-03-20T{place % 3:02}:00:00Z",
        }
        for kind in ("glucose", "hrv")
        for place in range(MANY // 2 + 1)
    ]
    assert staff.post("/wearables/readings", json={"readings": readings}).status_code in {200, 201}
    lab = b'{"customerId": "%b", "biomarkers": {"tsh": {"value": 2.100, "odd": [1E2, null]}}, "metadata": null}'
    headers = {"Content-Type": "application/json"}
    assert staff.post("/labs", content=lab % customer.encode(), headers=headers).status_code == 201
    said = [{"role": "user", "content": f"line {place} \u201cquoted\u201d"} for place in range(100)]
    assert staff.post("/conversation-history", json={"customerId": customer, "messages": said}).status_code == 201
    protocol = staff.post("/protocols", json={"customerId": customer, "name": "T", "goals": {"a": [1.10]}}).json()
    event = {"customerId": customer, "type": "note_added", "protocolId": protocol["data"]["id"]}
    assert staff.post("/events", json=event).status_code == 201


async def load(database: Database, path: Path) -> Any:
    database.flush = flush
    store = ResourceStore(database, Places())
    return await Loader(database, store, ACCESS, KEY, lambda _count, _read: None).load(find_sources((path,)))


async def test_an_export_is_whole_on_record_and_the_same_rows_where_it_is_loaded(
    graph: Clients, graph_site: GraphSite, fresh_database: Database, fresh_database_url: str, tmp_path: Path
) -> None:
    fill(graph("STAFF"), JANE.customer)
    answer = graph("ORG_ADMIN").get(f"/profiles/{JANE.customer}/export")
    assert answer.status_code == 200
    body = answer.json()
    assert body["success"] is True
    data = body["data"]
    assert len(data["patient_wearable_readings"]) > PIECE
    assert data["_counts"]["patient_wearable_readings"] == len(data["patient_wearable_readings"])
    assert data["_records"] == [{"table": "customer_profiles", "id": JANE.customer}]
    assert JOHN.customer not in answer.text
    record = graph_site.audit_of(answer)
    assert (record["action"], record["resource"], record["outcome"]) == ("export", "profile", "allowed")
    assert record["customer_id"] == JANE.customer
    assert record["count"] == sum(data["_counts"].values())

    path = tmp_path / "export.json"
    path.write_bytes(answer.content)
    summary = await load(fresh_database, path)
    assert summary.refused == []
    before = rows_of(graph_site, None, [JANE.customer])
    after = rows_of(graph_site, fresh_database_url, [JANE.customer])
    assert {name: len(rows) for name, rows in before.items()} == {
        name: count for name, count in data["_counts"].items() if not name.startswith("_")
    }
    for name, rows in before.items():
        assert after[name] == rows, name
    digits = [[str(row["value"]) for row in found["patient_wearable_readings"]] for found in (before, after)]
    assert digits[0] == digits[1]
    assert "95.50" in digits[0]


async def test_records_that_were_merged_are_exported_together(graph: Clients, graph_site: GraphSite) -> None:
    admin = graph("ORG_ADMIN")
    bodies = ({"externalId": f"user_{name}", "email": f"{name}@example.com"} for name in ("one", "other"))
    one, other = (admin.post("/profiles", json=body).json()["data"]["id"] for body in bodies)
    for customer in (one, other):
        admin.post("/events", json={"customerId": customer, "type": "note_added"})
    people = [("customer_profiles", one), ("customer_profiles", other)]

    async def merge(unit: UnitOfWork) -> None:
        await merge_records(unit, people[0], people[1], "tester", None)

    await asyncio.to_thread(write, graph_site, merge)
    for asked in (one, other):
        data = admin.get(f"/profiles/{asked}/export").json()["data"]
        assert {each["id"] for each in data["customer_profiles"]} == {one, other}
        assert {each["customerId"] for each in data["patient_events"]} == {one, other}
        assert data["_export"]["customerId"] == asked
    bound = graph("ORG_ADMIN", patient=Person(one, "", ""), scope="patient/*.cruds")
    data = bound.get(f"/profiles/{one}/export").json()["data"]
    assert {each["id"] for each in data["customer_profiles"]} == {one}, "a token for one patient is for no other"
    assert data["_records"] == [{"table": "customer_profiles", "id": one}]
    assert {each["customerId"] for each in data["patient_events"]} == {one}
    assert bound.get(f"/profiles/{other}/export").status_code == 403
    listed = admin.get("/events", params={"customerId": one}).json()["data"]
    assert {each["customerId"] for each in listed} == {one}, "lists are not expanded"


def test_administrators_export_and_nobody_else(graph: Clients) -> None:
    for role in ("STAFF", "CLINICIAN", "SUPPORT", "SERVICE"):
        assert graph(role).get(f"/profiles/{JANE.customer}/export").status_code == 403
    assert graph("PATIENT", customer=JANE).get(f"/profiles/{JANE.customer}/export").status_code == 403
    assert graph("ORG_ADMIN").get("/profiles/nobody/export").status_code == 404
