"""Records are found again in the order of time, page by page, on both engines and in both files of SQLite (AD-6)."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg import sql

from mappers.audit_event import RecordedAccess
from mappers.audit_kinds import kind_of
from storage import audit_search
from storage.audit import AuditRecord, insert_records
from storage.audit_conditions import AuditFilter, one_of
from storage.audit_people import records_of_person
from storage.audit_search import AuditReader, place_of, record_id
from storage.engine import Database
from storage.libpq import wire_statement
from storage.rls import ROLE
from storage.sql import Prepared
from storage.tables.audit import rbac_logs
from storage.transaction import Change
from tests.audit.conftest import KEY, a_record, make_store
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.explained import nodes

CHANGE = Change("tester", "tests", "test")
RANDOM = random.Random(7)
EVERY = AuditFilter()


def drawn(n: int) -> AuditRecord:
    """Return a record of any kind."""
    pick = RANDOM.choice
    one = pick([None, "p1", "p2"])
    return a_record(
        n,
        actor_id=pick(["dr-a", "dr-b", "an-app"]),
        actor_role=pick(["CLINICIAN", "SERVICE", ""]),
        client_id=pick([None, "an-app"]),
        customer_id=one,
        patients=() if one else pick([(), ("p1", "p2"), ("p3", "p2")]),
        resource=pick(["Observation", "Patient", "session", "users", "lab_results", "audit_log", "fhir"]),
        resource_ids=pick([[], ["o1"], ["o1", "o2"], ["Observation/o1", "Condition/c1"]]),
        action=pick(["read", "write", "delete", "export"]),
        interaction=pick([None, "read", "search-type", "create", "delete", "operation", "load", "sign-in"]),
        outcome=pick(["allowed", "denied"]),
        status=pick([None, 200, 303, 403, 404, 500]),
        count=pick([None, 0, 5]),
        method=pick([None, "GET", "POST", "PATCH", "DELETE", "OPTIONS"]),
    )


@pytest.fixture(scope="module")
async def reader(database: Database, database_url: str) -> AuditReader:
    """A trail of 120 records of one organization, half of them written and half read, and some of another."""
    store = make_store(database_url)
    for n in range(60):
        await store.append([drawn(n)])
        async with database.begin(ORGANIZATION, CHANGE) as unit:
            await insert_records(unit, [drawn(n + 60)], KEY)
    await store.append([a_record(n, OTHER_ORGANIZATION) for n in range(5)])
    await store.close()
    return AuditReader(database, database_url)


async def everything(reader: AuditReader, asked: AuditFilter = EVERY, **options) -> list[RecordedAccess]:
    """Return all pages of a filter, put together."""
    found: list[RecordedAccess] = []
    after = None
    for _ in range(200):
        page = await reader.page(ORGANIZATION, asked, 7, after=after, **options)
        found += page.records
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages never end")


async def test_pages_hold_every_record_once_newest_first(reader: AuditReader):
    found = await everything(reader)
    assert len(found) == len({record_id(each) for each in found}) == 120
    assert [place_of(each) for each in found] == sorted(map(place_of, found), reverse=True)
    assert {each.organization_id for each in found} == {ORGANIZATION}


async def test_pages_oldest_first_are_the_same_the_other_way_round(reader: AuditReader):
    assert await everything(reader, descending=False) == (await everything(reader))[::-1]


@pytest.mark.parametrize("stretch", [1, 3, 10, 1000])
@pytest.mark.parametrize("descending", [True, False])
async def test_stretches_of_any_length_leave_nothing_out(reader: AuditReader, stretch: int, descending: bool):
    asked = AuditFilter(conditions=(rbac_logs.c.actor_id == "dr-b",))
    expected = [each for each in await everything(reader, descending=descending) if each.actor_id == "dr-b"]
    assert await everything(reader, asked, stretch=stretch, descending=descending) == expected


@pytest.mark.parametrize("stretch", [1, 3, 1000])
@pytest.mark.parametrize("people", [("p1",), ("p2", "p3"), ("nobody",), ()])
async def test_a_person_is_found_alone_and_among_others(reader: AuditReader, people: tuple[str, ...], stretch: int):
    expected = [each for each in await everything(reader) if set(each.concerned) & set(people)]
    assert await everything(reader, AuditFilter(people=people), stretch=stretch) == expected
    assert await reader.count(ORGANIZATION, AuditFilter(people=people)) == len(expected)


async def test_a_period_is_half_open(reader: AuditReader):
    records = await everything(reader)
    since, until = records[80].at, records[40].at
    expected = [each for each in records if since <= each.at < until]
    assert await everything(reader, AuditFilter(since=since, until=until)) == expected
    assert expected


async def test_a_record_is_found_by_the_id_of_its_AuditEvent(reader: AuditReader):
    for each in (await everything(reader))[:20]:
        assert await reader.find(ORGANIZATION, record_id(each)) == each
        assert await reader.find(OTHER_ORGANIZATION, record_id(each)) is None


@pytest.mark.parametrize("text", ["", "r", "x1", "-1", "01", "99999999999999999999", "9223372036854775808", "1 "])
async def test_what_is_no_id_of_a_record_finds_nothing(reader: AuditReader, text: str):
    assert await reader.find(ORGANIZATION, text) is None


@pytest.mark.parametrize("offset", [0, 5, 119, 120, 500])
async def test_a_window_is_a_part_of_the_whole(reader: AuditReader, offset: int):
    records = await everything(reader)
    assert await reader.window(ORGANIZATION, EVERY, offset, 9) == records[offset : offset + 9]
    of_one = [each for each in records if "p2" in each.concerned]
    found = await reader.window(ORGANIZATION, AuditFilter(people=("p2",)), offset, 9)
    assert found == of_one[offset : offset + 9]


@pytest.mark.parametrize("name", ["kind", "subtype", "action", "outcome"])
async def test_what_a_search_calls_a_record_is_what_a_read_calls_it(reader: AuditReader, name: str):
    column = getattr(reader.columns, name)
    records = await everything(reader)
    for code in {getattr(kind_of(each), name) for each in records}:
        condition = column.is_(None) if code is None else column == code
        expected = [each for each in records if getattr(kind_of(each), name) == code]
        assert await everything(reader, AuditFilter(conditions=(condition,))) == expected


async def test_uses_count_every_record_once(reader: AuditReader):
    uses = await reader.uses(ORGANIZATION, AuditFilter(people=("p2",)))
    expected = [each for each in await everything(reader) if "p2" in each.concerned]
    assert sum(each.count for each in uses) == len(expected)
    for use in uses:
        own = [
            each.at
            for each in expected
            if (each.actor_id, each.actor_role, each.client_id, each.purpose, each.resource, each.action)
            == (use.actor_id, use.actor_role, use.client_id, use.purpose, use.resource, use.action)
        ]
        assert (use.first, use.last, use.count) == (min(own), max(own), len(own))


@pytest.mark.parametrize("stretch", [1, 7])
async def test_a_long_trail_is_counted_in_stretches(reader: AuditReader, monkeypatch, stretch: int):
    asked = AuditFilter(people=("p2",))
    whole = await reader.count(ORGANIZATION, asked), await reader.uses(ORGANIZATION, asked)
    monkeypatch.setattr(audit_search, "STRETCH", stretch)
    assert (await reader.count(ORGANIZATION, asked), await reader.uses(ORGANIZATION, asked)) == whole


@pytest.mark.parametrize("name", ["kind", "subtype", "action", "outcome"])
def test_what_a_kind_follows_from_stays_a_short_expression(reader: AuditReader, name: str):
    """It is evaluated for every record of a stretch; PostgreSQL compiles long ones, for seconds."""
    assert len(str(getattr(reader.columns, name))) < 24_000


async def test_a_horizon_confines_what_is_counted_to_the_newest_records(reader: AuditReader):
    asked = AuditFilter(conditions=(one_of(rbac_logs.c.actor_id, ["dr-a"]),))
    confined = await reader.horizon(ORGANIZATION, asked, 10)
    assert confined is not None
    assert confined.since is not None
    looked_at = [each for each in await everything(reader) if each.at >= confined.since]
    assert 10 <= len(looked_at) <= 20  # ten of each file
    assert looked_at == (await everything(reader))[: len(looked_at)]
    assert await reader.horizon(ORGANIZATION, asked, 1000) is None


async def test_what_was_merged_with_a_record_is_the_same_person(database: Database):
    async with database.begin(ORGANIZATION, CHANGE) as unit:
        for n, (surviving, merged, over) in enumerate(
            [("m1", "m2", False), ("m2", "m3", False), ("m1", "m9", True), ("x1", "x2", False)]
        ):
            await unit.connection.exec_driver_sql(_MERGE.format(n, surviving, merged, f"'{_TIME}'" if over else "NULL"))
    assert sorted(await records_of_person(database, ORGANIZATION, "m3")) == ["m1", "m2", "m3"]
    assert await records_of_person(database, ORGANIZATION, "m9") == ("m9",)
    assert await records_of_person(database, OTHER_ORGANIZATION, "m3") == ("m3",)


_TIME = "2026-01-01 00:00:00+00:00"
_MERGE = (
    "INSERT INTO identity_merges (organization_id, id, surviving_table, surviving_id, merged_table, merged_id,"
    f" evidence, merged_at, merged_by, unmerged_at) VALUES ('{ORGANIZATION}', 'merge-{{}}', 'customer_profiles',"
    f" '{{}}', 'customer_profiles', '{{}}', '{{{{}}}}', '{_TIME}', 'tester', {{}})"
)


# --- plans ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_trail(postgres) -> str:
    """A trail long enough for PostgreSQL to prefer an index; one record in ten concerns several patients."""
    url = postgres.fresh()
    with psycopg.connect(url) as owner:
        owner.execute("SELECT set_config('app.organization_id', %s, false)", [ORGANIZATION])
        owner.execute(
            "INSERT INTO rbac_logs (organization_id, id, at, actor_id, actor_role, resource, action, outcome,"
            " customer_id, patients, mac)"
            " SELECT %s, n, extract(epoch FROM now())::int8 * 1000000 + n, 'a' || n %% 50, 'STAFF', 'Patient', 'read',"
            " 'allowed', CASE WHEN n %% 10 > 0 THEN 'p' || n %% 997 END,"
            " CASE WHEN n %% 10 = 0 THEN '[\"p1\",\"p2\"]' END, ''"
            " FROM generate_series(1, 30000) AS n",
            [ORGANIZATION],
        )
        owner.execute("ANALYZE rbac_logs")
    return url


class _Overheard:
    """A database that keeps the statements it is asked, and answers each with one place."""

    dialect = "postgresql"

    def __init__(self) -> None:
        self.statements: list[tuple[Prepared, dict[str, object]]] = []

    async def fetch(self, _: str, statement: Prepared, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        self.statements.append((statement, {**statement.constants, **parameters}))
        return [(1, 1)] if "actor_id" not in statement.sql.partition("FROM")[0] else []


def indexes_used(url: str, statement: Prepared, parameters: dict[str, object]) -> set[str]:
    """Return the definitions of the indexes that the server's own plan takes where the records are."""
    wired = wire_statement(statement.sql)
    with psycopg.connect(url) as bound:
        bound.execute("SET plan_cache_mode = force_generic_plan")
        bound.execute(f"SET ROLE {ROLE}")
        bound.execute("SELECT set_config('app.organization_id', %s, false)", [ORGANIZATION])
        bound.execute(b"PREPARE asked AS " + wired.sql)
        values = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in wired.names)
        row = bound.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE asked ({})").format(values)).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        found = [node for node in nodes(plan) if "first" in node.get("Relation Name", node.get("Index Name", ""))]
        assert not any(node["Node Type"] == "Seq Scan" for node in found), plan
        names = [node["Index Name"] for node in found if "Index Name" in node]
        rows = bound.execute("SELECT indexdef FROM pg_indexes WHERE indexname = ANY(%s)", [names]).fetchall()
    return {each for (each,) in rows}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (EVERY, ["(organization_id, at, id)"]),
        (AuditFilter(since=1, until=1 << 60), ["(organization_id, at, id)"]),
        (AuditFilter(conditions=(rbac_logs.c.actor_id == "a7",)), ["(organization_id, at, id)"]),
        (AuditFilter(people=("p7",)), ["(organization_id, customer_id, at, id)", "(patients IS NOT NULL)"]),
    ],
)
async def test_a_page_walks_an_index_under_row_level_security(long_trail: str, asked: AuditFilter, expected: list[str]):
    database = _Overheard()
    await AuditReader(database, long_trail).page(ORGANIZATION, asked, 50)  # type: ignore[arg-type]
    used = {each for told in database.statements for each in indexes_used(long_trail, *told)}
    assert used
    for text in expected:
        assert any(text in each for each in used), used
