"""What a granular scope costs does not follow the length of a record: one patient with 100,000 Observations.

Read as the role that row-level security binds, with the plans that the server has: made once, for any value.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from fhir_server.access import Caller, authorise
from storage.access import Access
from storage.clock import IdSource
from storage.engine import PLANNED_ONCE, create_database
from storage.rls import ROLE
from storage.search.searcher import Searcher
from tests.explained import scans, touched
from tests.postgres import PostgresServer
from tests.search.library import SECRET, Library
from tests.search.test_plans import LOINC, Explaining, concept

MANY = 100_000
"""Observations of the patient, all of them vital signs; besides these there are a handful of others."""
FEW = ("laboratory", "survey")
COPY = """
INSERT INTO {table} ({columns})
SELECT {values} FROM {table} AS one, generate_series(1, {many}) AS number
WHERE one.organization_id = '{organization}' AND one.rid = {rid}
"""


def measured(name: str, category: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "subject": {"reference": "Patient/long"},
        "effectiveDateTime": "2001-02-03T10:00:00Z",
        "code": concept(LOINC, f"of-{category}"),
        "category": [concept("http://category", category)],
    }


async def multiply(owner: psycopg.AsyncConnection[Any], organization: str, name: str) -> None:
    """Copy an Observation and its index rows MANY times, a minute apart."""
    rows = await owner.execute(
        "SELECT rid FROM fhir_resources WHERE organization_id = %s AND id = %s", (organization, name)
    )
    ((rid,),) = await rows.fetchall()
    changed = {"rid": "one.rid + 1000 + number", "self_key": "one.self_key + number", "id": "one.id || number"}
    changed |= dict.fromkeys(("date", "date_low", "date_high"), "one.{} + number * 60000000::int8")
    for table in ("fhir_resources", "fhir_index_tokens", "fhir_index_dates", "fhir_index_references"):
        named = await owner.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY 1", (table,)
        )
        columns = [each for (each,) in await named.fetchall()]
        values = ", ".join(changed.get(each, "one.{}").format(each) for each in columns)
        text = COPY.format(
            table=table, columns=", ".join(columns), values=values, many=MANY, organization=organization, rid=rid
        )
        await owner.execute(text.encode())


@pytest.fixture(scope="module")
async def stocked(postgres: PostgresServer) -> AsyncIterator[tuple[Library, psycopg.AsyncConnection[Any]]]:
    url = postgres.fresh()
    database = create_database(url, ids=IdSource(), role=ROLE)
    await database.open()
    library = Library(database)
    await library.add({"resourceType": "Patient", "id": "long"}, {"resourceType": "Patient", "id": "short"})
    await library.add(measured("many", "vital-signs"))
    await library.add(*(measured(f"{each}-{number}", each) for each in FEW for number in range(6)))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        await multiply(owner, library.organization, "many")
        await owner.execute("VACUUM ANALYZE")
    bound = await psycopg.AsyncConnection.connect(url, autocommit=True, options=f"-c role={ROLE}{PLANNED_ONCE}")
    async with bound as connection:
        yield library, connection
    await database.close()


def access(library: Library, *categories: str) -> Access:
    scope = " ".join(f"patient/Observation.rs?category=http://category|{each}" for each in categories)
    return authorise(Caller("someone", "app", library.organization, "APP", scope, "jti", 0, 900, patient="long"))


@pytest.mark.parametrize(
    ("categories", "query", "matches", "rows"),
    [
        (("laboratory",), "Observation?_count=10", 6, 60),
        (("laboratory",), "Observation?_sort=-date&_count=10", 6, 60),
        (("laboratory",), "Observation?patient=long&_count=10", 6, 60),
        (("laboratory",), f"Observation?code={LOINC}|of-laboratory&_count=10", 6, 60),
        (("laboratory",), "Observation?_id=laboratory-1,survey-1", 1, 20),
        (("laboratory",), "Observation?_count=0", 0, 60),
        (("laboratory", "survey"), "Observation?_count=20", 12, 120),
        (("vital-signs",), "Observation?_sort=-date&_count=10", 10, 120),
        (("vital-signs", "laboratory"), "Observation?_sort=-date&_count=10", 10, 120),
    ],
)
async def test_smart_E4_a_granular_search_of_a_long_record_is_a_walk_along_an_index(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]],
    categories: tuple[str, ...],
    query: str,
    matches: int,
    rows: int,
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    page = await Searcher(reader, SECRET, lambda: library.now).search(
        library.parse(query), access(library, *categories)
    )
    read = scans(reader.plans)
    assert (len(page.matches), page.total) in {(matches, matches), (0, 6), (10, None)}
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 100] == []
    assert sum(touched(node) for node in read) <= rows
