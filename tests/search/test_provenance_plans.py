"""The Provenance of a page costs two statements that read by index, however large the tables are (decision 18)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from storage.clock import IdSource
from storage.engine import PLANNED_ONCE, create_database
from storage.provenance import ProvenanceReader, provenance_id
from storage.resources import ResourceKey, Version
from storage.rls import ROLE
from storage.search.searcher import Searcher
from tests.explained import nodes, scans, touched
from tests.postgres import PostgresServer
from tests.search.library import SECRET, Library
from tests.search.test_plans import Explaining, record

Stocked = tuple[Library, psycopg.AsyncConnection[Any]]
OTHERS = """
    INSERT INTO fhir_changes SELECT '{0}', n, 0, 'user-' || n % 500, 'client-' || n % 50, 'fhir', ''
    FROM generate_series(1, 20000) AS n;
    INSERT INTO fhir_history (organization_id, resource_type, id, version, last_updated, deleted, patient, change_id,
    xid, body) SELECT '{0}', 'Basic', 'b' || n / 4, n % 4 + 1, 0, false, 0, n, 0, '' FROM generate_series(8, 20000) AS n
"""
"""Twenty thousand changes, and the versions that were superseded by them."""


@pytest.fixture(scope="module")
async def stocked(postgres: PostgresServer) -> AsyncIterator[Stocked]:
    """Some patients, many changes, fresh statistics, and a connection bound by row-level security."""
    url = postgres.fresh()
    database = create_database(url, ids=IdSource(), role=ROLE)
    await database.open()
    library = Library(database)
    for number in range(30):
        await library.add(*record(number))
    await library.add({"resourceType": "Basic", "id": "b1", "code": {"text": "one"}})
    await library.add({"resourceType": "Basic", "id": "b1", "code": {"text": "two"}})
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        await owner.execute(OTHERS.format(library.organization))
        await owner.execute("VACUUM ANALYZE")
    bound = await psycopg.AsyncConnection.connect(url, autocommit=True, options=f"-c role={ROLE}{PLANNED_ONCE}")
    async with bound as connection:
        yield library, connection
    await database.close()


async def test_authors_of_a_page_are_read_by_index(stocked: Stocked) -> None:
    library, connection = stocked
    page = await library.page("Observation?patient=p5&_count=50")
    reader = Explaining(connection)
    provenance = ProvenanceReader(reader, library.access)
    found = await provenance.authorships(page.matches)
    await provenance.known(found)
    assert [each.key for each in found] == [version.key for version in page.matches]
    assert len(found) == 50
    assert len(reader.plans) == 2
    used = {node.get("Index Name") for plan in reader.plans for node in nodes(plan)}
    assert {"fhir_resources_pkey", "fhir_changes_pkey", "fhir_resources_home_idx"} <= used
    assert [node for node in scans(reader.plans) if node["Node Type"] == "Seq Scan" and touched(node) > 100] == []
    assert sum(touched(node) for node in scans(reader.plans)) <= 6 * 50


async def test_authors_of_superseded_versions_are_read_by_index(stocked: Stocked) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    old = Version(ResourceKey("Basic", "b1"), 1, 0, deleted=False, body=b"{}")
    (found,) = await ProvenanceReader(reader, library.access).authorships([old])
    assert (found.version, found.created, found.client_id) == (1, True, "tests")
    assert len(reader.plans) == 2
    assert "fhir_history_pkey" in {node.get("Index Name") for plan in reader.plans for node in nodes(plan)}


async def test_the_resource_of_an_id_is_one_row(stocked: Stocked) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    key = ResourceKey("Observation", "o5-1")
    assert await ProvenanceReader(reader, library.access).key_of(key.hash) == key
    assert sum(touched(node) for node in scans(reader.plans)) == 1
    assert len(provenance_id(key, 999_999_999)) <= 64


async def test_searches_without_it_ask_nothing_more(stocked: Stocked) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    await Searcher(reader, SECRET, lambda: library.now).search(library.parse("Patient?_id=p5"), library.access)
    assert len(reader.plans) == 1
