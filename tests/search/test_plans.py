"""The searches that matter read index ranges and little else, as the role that row-level security binds.

`performance.md` says why: the cost of a search must follow its answer, not the size of the tables.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
import pytest

from capability.compartments import types_within
from capability.elements import RESOURCE_TYPES
from fhir_server.access import Caller, authorise
from fhir_server.fhir.parse.search import Scope, parse_pairs, parse_search
from storage.access import system_access
from storage.clock import IdSource
from storage.driver import Driver, Row
from storage.engine import PLANNED_ONCE, create_database, in_context
from storage.rls import ROLE
from storage.search.compile import compile_plan
from storage.search.everything import Everything
from storage.search.lower import Lowering
from storage.search.plan import plan_page
from storage.search.query import InPatient
from storage.search.searcher import Searcher
from storage.sql import Prepared
from tests.explained import nodes, scans, touched
from tests.postgres import PostgresServer
from tests.search.library import SECRET, Library

PATIENTS = 60
OBSERVATIONS = 60
"""Per patient."""
STRANGERS = 2000
"""Patients without a record."""
LOINC = "http://loinc.org"
PARAMETER = re.compile(r"%\((\w+)\)s")


def concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def record(number: int) -> Iterator[dict[str, Any]]:
    """Yield one patient's resources."""
    subject = {"reference": f"Patient/p{number}"}
    yield {
        "resourceType": "Patient",
        "id": f"p{number}",
        "gender": ("male", "female")[number % 2],
        "birthDate": f"{1930 + number}-03-11",
        "name": [{"family": f"Family{number}", "given": [f"Given{number % 7}"]}],
        "identifier": [{"system": "urn:mrn", "value": f"M{number}"}],
    }
    for at in range(OBSERVATIONS):
        yield {
            "resourceType": "Observation",
            "id": f"o{number}-{at}",
            "status": "final",
            "subject": subject,
            "encounter": {"reference": f"Encounter/e{number}-{at % 6}"},
            "effectiveDateTime": f"20{10 + at % 10}-0{1 + at % 9}-{10 + at % 18}T10:00:00Z",
            "code": concept(LOINC, f"c{at % 12}"),
            "category": [concept("http://category", ("vital-signs", "laboratory")[at % 2])],
            "valueQuantity": {"value": at, "unit": "mg"},
        }
    for at in range(6):
        yield {
            "resourceType": "MedicationRequest",
            "id": f"m{number}-{at}",
            "status": ("active", "stopped")[at % 2],
            "intent": "order",
            "subject": subject,
            "authoredOn": f"20{10 + at}-01-01",
            "medicationReference": {"reference": f"Medication/d{at}"},
        }
    for at in range(3):
        yield {
            "resourceType": "CarePlan",
            "id": f"c{number}-{at}",
            "status": "active",
            "intent": "plan",
            "subject": subject,
            "category": [concept("http://snomed.info/sct", f"cat{at}")],
        }


def stranger(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"s{number}",
        "gender": ("male", "female")[number % 2],
        "birthDate": f"{1850 + number % 150}-0{1 + number % 9}-12",
        "name": [{"family": f"Stranger{number}", "given": [f"Given{number % 7}"]}],
    }


class Explaining:
    """Reads on one connection, and keeps the plan of each statement with what it touched."""

    dialect = "postgresql"

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.plans: list[dict[str, Any]] = []

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        values = dict(statement.bind(parameters)) | {"organization_id": organization_id}
        sql = in_context(statement.sql)
        self.plans.append(await self._plan_for_any(sql, values))
        cursor = await self.connection.cursor(binary=True).execute(sql, values)
        return await cursor.fetchall()

    async def _plan_for_any(self, sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plan as the server has it: made once, before any value is known."""
        names = list(dict.fromkeys(PARAMETER.findall(sql)))
        numbered = PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql).replace("%%", "%")
        given = psycopg.sql.SQL(", ").join([psycopg.sql.Literal(values[name]) for name in names])
        await self.connection.execute(f"PREPARE explained AS {numbered}".encode())
        try:
            asked = psycopg.sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained ({})").format(given)
            explained = await self.connection.execute(asked)
            ((found,),) = await explained.fetchall()
        finally:
            await self.connection.execute("DEALLOCATE explained")
        plan: dict[str, Any] = found[0]["Plan"]
        return plan

    def read(self, organization_id: str) -> AbstractAsyncContextManager[Driver]:
        raise NotImplementedError


@pytest.fixture(scope="module")
async def stocked(postgres: PostgresServer) -> AsyncIterator[tuple[Library, psycopg.AsyncConnection[Any]]]:
    """Some thousands of resources with fresh statistics, and a connection bound by row-level security."""
    url = postgres.fresh()
    database = create_database(url, ids=IdSource(), role=ROLE)
    await database.open()
    library = Library(database)
    for number in range(PATIENTS):
        await library.add(*record(number))
    await library.add(*(stranger(number) for number in range(STRANGERS)))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
        await owner.execute("VACUUM ANALYZE")
    bound = await psycopg.AsyncConnection.connect(url, autocommit=True, options=f"-c role={ROLE}{PLANNED_ONCE}")
    async with bound as connection:
        yield library, connection
    await database.close()


CASES = [
    # (search, index of the rows to begin with, matches, most rows to look at)
    (
        "Observation?patient=p5&category=http://category|vital-signs&_sort=-date&_count=10",
        "fhir_index_tokens_pkey",
        10,
        24,
    ),
    ("Observation?patient=p5&category=vital-signs&_sort=-date&_count=10", "fhir_index_tokens_pkey", 10, 24),
    (f"Observation?patient=p5&code={LOINC}|c3&date=ge2014-01-01", "fhir_index_tokens_pkey", 3, 16),
    (f"Observation?code={LOINC}|c3&patient=p5", "fhir_index_tokens_pkey", 5, 12),
    ("Patient?identifier=urn:mrn|M5", "fhir_index_tokens_pkey", 1, 4),
    ("Observation?code=c3&_count=20", "fhir_index_tokens_pkey", 20, 360),
    ("Patient?name=family5&_count=20", "fhir_index_strings_pkey", 11, 60),
    ("Patient?birthdate=1950-03-11", "fhir_index_dates_pkey", 1, 5),
    ("Patient?birthdate=ge1950-01-01&birthdate=lt1960-01-01&gender=female", "fhir_index_dates_pkey", 50, 1300),
    (f"Observation?patient.identifier=urn:mrn|M5&code={LOINC}|c3", "fhir_index_tokens_pkey", 5, 20),
    ("MedicationRequest?patient=p5&status=active", "fhir_index_tokens_pkey", 3, 10),
    ("MedicationRequest?patient=p5&status=active&_include=MedicationRequest:patient", "fhir_index_tokens_pkey", 3, 20),
    ("CarePlan?patient=p5&category=cat1", "fhir_index_tokens_pkey", 1, 8),
    ("CarePlan?patient=p5&category=cat1&_revinclude=Provenance:target", "fhir_index_references_pkey", 1, 12),
    (f"Observation?patient=p5&code={LOINC}|c1,{LOINC}|c2,{LOINC}|c3", "fhir_index_tokens_pkey", 15, 40),
    (
        "MedicationRequest?patient=p5&intent=order&status=active&_include=MedicationRequest:medication",
        "fhir_index_tokens_pkey",
        3,
        24,
    ),
    ("Patient?_id=p5&_revinclude=CarePlan:patient", "fhir_resources_pkey", 1, 20),
    ("Observation?encounter=Encounter/e5-1&code=c1", "fhir_index_references_pkey", 5, 40),
    ("Observation?patient=p5&_sort=-date&_count=10", "fhir_resources_patient_idx", 10, 30),
    ("Observation?patient=p5&_sort=-_lastUpdated&_count=10", "fhir_resources_patient_idx", 10, 80),
    ("Observation?patient=p5&date=ge2018&_sort=-date&_count=10", "fhir_resources_patient_idx", 10, 40),
    ("Observation?_id=o5-1,o6-1&status=final", "fhir_resources_pkey", 2, 10),
    # What is read from bodies is read of what the rest leaves, and nothing begins with it.
    (f"Observation?patient=p5&code={LOINC}|&_count=10", "fhir_resources_patient_idx", 10, 90),
    (f"Observation?patient=p5&code={LOINC}|&category=laboratory", "fhir_index_tokens_pkey", 30, 130),
    ("Observation?patient=p5&code:text=y&category=laboratory", "fhir_index_tokens_pkey", 0, 70),
    ("Observation?patient=p5&category=laboratory&_sort=code&_count=10", "fhir_index_tokens_pkey", 10, 100),
    ("Observation?patient=p5&_sort=status,-code&_count=10", "fhir_resources_patient_idx", 10, 100),
    ("Patient?identifier=urn:mrn|M5&language:text=en", "fhir_index_tokens_pkey", 0, 4),
    ("Patient?_has:Observation:patient:code=c3&_id=p5", "fhir_resources_pkey", 1, 10),
    ("Patient?_has:Observation:patient:code=c3&identifier=urn:mrn|M5", "fhir_index_tokens_pkey", 1, 20),
]


@pytest.mark.parametrize(("query", "index", "matches", "rows"), CASES)
async def test_a_search_reads_index_ranges_only(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]], query: str, index: str, matches: int, rows: int
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    page = await Searcher(reader, SECRET, lambda: library.now).search(library.parse(query), library.access)
    assert len(page.matches) == matches
    read = scans(reader.plans)
    assert index in {node.get("Index Name") for plan in reader.plans for node in nodes(plan)}
    large = [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 100]
    assert large == []
    assert sum(touched(node) for node in read) <= rows


@pytest.mark.parametrize("query", ["Observation?category=vital-signs&_sort=-date&_count=10", "Observation?_count=10"])
async def test_a_patients_app_begins_with_its_own_rows(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]], query: str
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    searcher = Searcher(reader, SECRET, lambda: library.now)
    page = await searcher.search(library.parse(query), library.patient_access("p5"))
    assert len(page.matches) == 10
    read = scans(reader.plans)
    assert sum(touched(node) for node in read) <= 120


@pytest.mark.parametrize(
    ("scope", "query", "matches", "rows"),
    [
        ("patient/Observation.rs?category=http://category|laboratory", "Observation?_count=10", 10, 200),
        ("patient/Observation.rs?category=laboratory", "Observation?category=vital-signs&_count=10", 0, 140),
        ("patient/Observation.rs?category=laboratory", f"Observation?patient=p5&code={LOINC}|c3", 5, 60),
        ("user/Observation.rs?category=laboratory", f"Observation?patient=p5&code={LOINC}|c3", 5, 60),
        ("user/Observation.rs?category=laboratory", "Observation?_id=o5-1,o6-2", 1, 12),
        (
            "user/Observation.rs?category=laboratory user/Observation.rs?code=c3",
            "Observation?patient=p5&_count=10",
            10,
            200,
        ),
    ],
)
async def test_a_granular_scope_probes_the_index_for_what_is_looked_at(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]], scope: str, query: str, matches: int, rows: int
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    caller = Caller("someone", "app", library.organization, "CLINICIAN", scope, "jti", 0, 900, patient="p5")
    page = await Searcher(reader, SECRET, lambda: library.now).search(library.parse(query), authorise(caller))
    assert len(page.matches) == matches
    read = scans(reader.plans)
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 100] == []
    assert sum(touched(node) for node in read) <= rows


OBSERVATIONS_OF = Scope(("Observation",), "Patient/p5/Observation", {"Observation": InPatient("p5")})
WHOLE = types_within("Patient")
SCOPES = [
    # (scope, parameters, index of the rows to begin with, matches, most rows to look at)
    (OBSERVATIONS_OF, "category=vital-signs&_sort=-date&_count=10", "fhir_index_tokens_pkey", 10, 30),
    (OBSERVATIONS_OF, "_sort=-date&_count=10", "fhir_resources_patient_idx", 10, 40),
    (
        Scope(WHOLE, "Patient/p5/*", dict.fromkeys(WHOLE, InPatient("p5"))),
        "_count=20",
        "fhir_resources_rid_idx",
        20,
        240,
    ),
    (Scope(("Observation", "CarePlan"), ""), "patient=p5&_sort=-date&_count=10", "fhir_resources_patient_idx", 10, 50),
    (Scope(("Observation", "Condition"), ""), "patient=p5&code=c3", "fhir_index_tokens_pkey", 5, 20),
    (Scope(RESOURCE_TYPES, ""), "_count=20", "fhir_resources_rid_idx", 20, 60),
    (Scope(RESOURCE_TYPES, ""), "_tag=urn:x|y", "fhir_index_tokens_pkey", 0, 5),
    (Scope(RESOURCE_TYPES, ""), "_id=p5,o5-1", "fhir_resources_pkey", 2, 10),
]


@pytest.mark.parametrize(("scope", "query", "index", "matches", "rows"), SCOPES)
async def test_a_search_over_types_or_in_a_compartment_reads_index_ranges_only(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]], scope: Scope, query: str, index: str, matches: int, rows: int
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    search = parse_search(scope, parse_pairs(query), strict=True, base_url="").search
    page = await Searcher(reader, SECRET, lambda: library.now).search(search, library.access)
    assert len(page.matches) == matches
    read = scans(reader.plans)
    assert index in {node.get("Index Name") for plan in reader.plans for node in nodes(plan)}
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 100] == []
    assert sum(touched(node) for node in read) <= rows


async def test_a_record_is_read_by_its_patient(stocked: tuple[Library, psycopg.AsyncConnection[Any]]) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    searcher = Searcher(reader, SECRET, lambda: library.now)
    page = await searcher.everything(Everything("p5", 100), library.access)
    assert len(page.matches) == 70
    read = scans(reader.plans)
    assert [node for node in read if node["Node Type"] == "Seq Scan" and touched(node) > 100] == []
    assert sum(touched(node) for node in read) <= 400


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("Observation?patient=p5", "fhir_resources_patient_idx (organization_id=? AND patient=? AND resource_type=?)"),
        ("Observation?patient=p5&code=c1", "PRIMARY KEY (organization_id=? AND key=? AND patient=?)"),
        ("Patient?identifier=x", "PRIMARY KEY (organization_id=? AND key=?)"),
        ("Patient?name=x", "fhir_resources_rid_idx (organization_id=? AND rid=?)"),
        ("Observation?encounter=Encounter/e", "fhir_resources_rid_idx (organization_id=? AND rid=?)"),
        ("Observation?_id=a,b", "sqlite_autoindex_fhir_resources_1 (organization_id=? AND self_key=?)"),
        ("Patient?birthdate=1950-03", "PRIMARY KEY (organization_id=? AND key=? AND low>? AND low<?)"),
    ],
)
def test_sqlite_never_gathers_statistics_and_reads_index_ranges_still(
    sqlite_template: Path, query: str, index: str
) -> None:
    resource_type, _, rest = query.partition("?")
    search = parse_search(resource_type, parse_pairs(rest), strict=True, base_url="").search
    access = system_access("organization", "tester")
    lowering = Lowering(access, 0)
    statement = compile_plan(plan_page(search, access, lowering, after=False), "sqlite")
    asked = lowering.binder.values
    values = {name: json.dumps(each) if isinstance(each, list) else each for name, each in asked.items()}
    with closing(sqlite3.connect(sqlite_template)) as connection:
        bound = statement.bind({**values, "organization_id": "organization"})
        steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", bound)]
    assert any(index in step for step in steps), steps
    whole = [step for step in steps if step.startswith("SCAN fhir_") or step.endswith("_idx (organization_id=?)")]
    assert whole == []


async def test_the_answer_and_its_includes_take_two_statements(
    stocked: tuple[Library, psycopg.AsyncConnection[Any]],
) -> None:
    library, connection = stocked
    reader = Explaining(connection)
    search = library.parse("MedicationRequest?patient=p5&_include=MedicationRequest:patient")
    page = await Searcher(reader, SECRET, lambda: library.now).search(search, library.access)
    assert [str(version.key) for version in page.includes] == ["Patient/p5"]
    assert len(reader.plans) == 2
