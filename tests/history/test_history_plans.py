"""Histories across resources read index ranges and little else, as the role that row-level security binds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage.access import Access, system_access
from storage.clock import IdSource
from storage.driver import Row
from storage.engine import PLANNED_ONCE, create_database
from storage.history.stream import StreamQuery, Streams
from storage.resources import ResourceKey
from storage.rls import ROLE
from storage.search.everything import Everything
from storage.search.searcher import Searcher
from storage.sql import Prepared
from tests.explained import nodes, scans, touched
from tests.postgres import PostgresServer
from tests.search.library import SECRET, Library

PATIENTS = 60
OBSERVATIONS = 40
"""Per patient; half of them have a second version."""
SINCE = 1
STRANGERS = """
INSERT INTO fhir_resources SELECT organization_id, resource_type, id || '-' || n, rid - n * 1000000000000,
 self_key # n, version, last_updated - 100000 + n, deleted, patient # n, date_low, date_high, present, home_table,
 home_key, home_part, residual, change_id, xid, body, creation FROM fhir_resources, generate_series(1, 20) AS n
 WHERE organization_id = %(organization_id)s AND resource_type = 'Observation'"""
"""As many resources of other patients that everything else has to be found among them."""
STRANGERS_PAST = """
INSERT INTO fhir_history SELECT organization_id, resource_type, id || '-' || n, version, last_updated - 100000 + n,
 deleted, patient # n, change_id, xid, body, creation FROM fhir_history, generate_series(1, 20) AS n
 WHERE organization_id = %(organization_id)s"""


def observation(number: int, at: int, status: str = "final") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}-{at}",
        "status": status,
        "subject": {"reference": f"Patient/p{number}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": f"c{at}"}]},
    }


async def fill(library: Library) -> None:
    for number in range(PATIENTS):
        await library.add({"resourceType": "Patient", "id": f"p{number}"})
        await library.add(*(observation(number, at) for at in range(OBSERVATIONS)))
        await library.add(*(observation(number, at, "amended") for at in range(0, OBSERVATIONS, 2)))
    for at in range(200):
        await library.add({"resourceType": "Encounter", "id": f"e{at}", "status": "planned", "class": {"code": "AMB"}})


class Explaining:
    """Reads in one transaction, and keeps the plan of each statement with what it touched."""

    dialect = "postgresql"
    base_url = ""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        values = dict(statement.bind(parameters))
        explained = await self.connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.sql, values)
        ((found,),) = await explained.fetchall()
        self.plans.append(found[0]["Plan"])
        cursor = await self.connection.cursor(binary=True).execute(statement.sql, values)
        return await cursor.fetchall()

    @asynccontextmanager
    async def read(self, organization_id: str) -> AsyncIterator[Explaining]:
        async with self.connection.transaction():
            await self.connection.execute("SELECT set_config('app.organization_id', %s, true)", [organization_id])
            yield self


@pytest.fixture(scope="module")
async def stocked(postgres: PostgresServer) -> AsyncIterator[tuple[Library, psycopg.AsyncConnection[Any]]]:
    url = postgres.fresh()
    database = create_database(url, ids=IdSource(), role=ROLE)
    await database.open()
    library = Library(database)
    await fill(library)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        await owner.execute(STRANGERS, {"organization_id": library.organization})
        await owner.execute(STRANGERS_PAST, {"organization_id": library.organization})
        await owner.execute("VACUUM ANALYZE")
    bound = await psycopg.AsyncConnection.connect(url, autocommit=True, options=f"-c role={ROLE}{PLANNED_ONCE}")
    async with bound as connection:
        yield library, connection
    await database.close()


CASES = [
    # (type, what else is asked for, whether by a patient's app, index of the rows to begin with, most rows to look at)
    ("Observation", {}, False, "fhir_resources_updated_idx", 200),
    ("Observation", {}, False, "fhir_history_updated_idx", 200),
    ("Encounter", {}, False, "fhir_resources_updated_idx", 60),
    ("Observation", {"since": SINCE}, False, "fhir_resources_updated_idx", 200),
    ("Observation", {"at": (1, 2**50)}, False, "fhir_resources_updated_idx", 400),
    ("", {}, False, "fhir_resources_updated_idx", 400),
    ("Observation", {}, True, "fhir_resources_patient_idx", 250),
    ("", {}, True, "fhir_resources_patient_idx", 250),
    ("", {"listed": {ResourceKey("Observation", "o5-2"): None}}, False, "fhir_resources_pkey", 20),
]


@pytest.mark.parametrize(("resource_type", "how", "by_app", "index", "rows"), CASES)
async def test_a_history_reads_index_ranges_only(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]],
    resource_type: str,
    how: dict[str, Any],
    by_app: bool,
    index: str,
    rows: int,
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    access: Access = library.patient_access("p5") if by_app else system_access(library.organization, "tester")
    streams = Streams(reader, SECRET, lambda: library.now)  # type: ignore[arg-type]
    query = StreamQuery(resource_type, 20, **how)
    page = await streams.page(query, access)
    assert page.versions
    first = reader.plans[0]
    read = scans([first])
    assert index in {node.get("Index Name") for node in nodes(first)}
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 1] == []
    assert sum(map(touched, read)) <= rows
    if page.next_cursor is not None:
        reader.plans.clear()
        again = StreamQuery(resource_type, 20, cursor=page.next_cursor, **how)
        await streams.page(again, access)
        read = scans(reader.plans[:1])
        assert sum(map(touched, read)) <= rows


@pytest.mark.parametrize(
    ("resource_type", "how", "patient", "index"),
    [
        ("Observation", {}, None, "fhir_resources_updated_idx (organization_id=? AND resource_type=?)"),
        ("Observation", {}, None, "fhir_history_updated_idx (organization_id=? AND resource_type=?)"),
        ("", {}, None, "fhir_history_updated_idx (organization_id=? AND resource_type=?)"),
        ("Observation", {"since": 1}, None, "(organization_id=? AND resource_type=? AND last_updated>?)"),
        ("Observation", {}, "p5", "fhir_resources_patient_idx (organization_id=? AND patient=? AND resource_type=?)"),
        ("", {}, "p5", "sqlite_autoindex_fhir_history_1 (organization_id=? AND resource_type=? AND id=?)"),
    ],
)
async def test_on_sqlite_too(
    sqlite_template: Path, resource_type: str, how: dict[str, Any], patient: str | None, index: str
) -> None:
    steps: list[str] = []

    class Planning:
        dialect = "sqlite"
        base_url = ""

        async def fetch(self, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
            bound = statement.bind(parameters)
            values = {name: json.dumps(each) if isinstance(each, list) else each for name, each in bound.items()}
            with closing(sqlite3.connect(sqlite_template)) as connection:
                steps.extend(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", values))
            return []

        @asynccontextmanager
        async def read(self, organization_id: str) -> AsyncIterator[Planning]:
            yield self

    library = Library(Planning())  # type: ignore[arg-type]
    access = library.patient_access(patient) if patient else library.access
    await Streams(Planning(), SECRET, lambda: 0).page(StreamQuery(resource_type, 20, **how), access)  # type: ignore[arg-type]
    assert any(index in step for step in steps), steps
    whole = [step for step in steps if step.startswith("SCAN fhir_") or step.endswith("_idx (organization_id=?)")]
    assert whole == []


@dataclass
class ExplainingReader:
    """What `Explaining` is, for what reads on the pools."""

    driver: Explaining
    dialect = "postgresql"
    base_url = ""

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        async with self.driver.read(organization_id) as driver:
            return await driver.fetch(statement, parameters)

    def read(self, organization_id: str) -> AbstractAsyncContextManager[Explaining]:
        return self.driver.read(organization_id)


@pytest.mark.parametrize("by_app", [False, True])
@pytest.mark.parametrize("age", [0, 10**9])
async def test_a_record_of_the_past_is_read_by_its_patient(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]], by_app: bool, age: int
) -> None:
    library, connection = stocked
    explaining = Explaining(connection)
    searcher = Searcher(ExplainingReader(explaining), SECRET, lambda: library.now)  # type: ignore[arg-type]
    access = library.patient_access("p5") if by_app else library.access
    whole = await library.searcher.everything(Everything("p5", 1000), access)
    at = min(each.last_updated for each in whole.matches) + 1 + age  # before the second versions, or long after
    page = await searcher.everything(Everything("p5", 1000, at=at), access)
    assert page.matches[0].key.resource_type == "Patient"
    read = scans(explaining.plans)
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 1] == []
    assert sum(map(touched, read)) <= 12 * len(whole.matches)
