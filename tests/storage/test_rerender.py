"""What shows a changed row is shown anew, in the background (settled §1.8)."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Final

import pytest
from sqlalchemy import select, update

from storage.engine import Database
from storage.projection.declared import paths_to, shown_tables, used_columns
from storage.projection.flush import project_touched
from storage.projection.outbox import PROJECTOR
from storage.projection.reconcile import reconcile
from storage.projection.rerender import STEP, WAITING, note_shown, progress_of, walk_shown
from storage.repositories.catalogue import MetricDefinitionRepository
from storage.tables.fhir import outbox, rerenders, shown_rows
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.foreign_rows import PARENT, insert, parents
from tests.storage.other_program import World, other_program

KEY: Final = "row-1"
MANY: Final = STEP * 2 + 200
RENAMED: Final = "A name that is new"
CASES: Final = {
    "a metric": ("observations", f"UPDATE metric_definitions SET name = '{RENAMED}'"),
    "a clinician, in plans": ("enrollments", f"UPDATE clinicians SET last_name = '{RENAMED}'"),
    "a program": ("enrollments", f"UPDATE care_programs SET name = '{RENAMED}'"),
    "an organization": ("patients", f"UPDATE organizations SET name = '{RENAMED}' WHERE id = '{ORGANIZATION}'"),
    "an organization, in profiles": (
        "profiles",
        f"UPDATE organizations SET name = '{RENAMED}' WHERE id = '{ORGANIZATION}'",
    ),
    "a clinician of treatments": (
        "patient_prescriptions",
        f"UPDATE subscriptions SET clinician_name = '{RENAMED}', updated_at = '2030-01-01T00:00:00Z'",
    ),
}


@pytest.fixture
async def world(fresh_database: Database, fresh_database_url: str) -> World:
    return other_program(fresh_database, fresh_database_url)


async def waiting(world: World) -> list[tuple[str, str]]:
    """The changed rows that no walk has taken yet."""
    async with world.database.begin(ORGANIZATION, PROJECTOR) as unit:
        statement = select(shown_rows.c.table_name, shown_rows.c.key).where(shown_rows.c.walk == WAITING)
        return [(table, key) for table, key in await unit.connection.execute(statement)]


@pytest.mark.parametrize("case", CASES)
async def test_what_names_a_renamed_row_is_shown_anew(world: World, case: str) -> None:
    table, renaming = CASES[case]
    await world.after(*parents(table), insert(table, KEY))
    assert RENAMED not in str(world.shown(table, KEY))
    await world.after(renaming)
    assert RENAMED in str(world.shown(table, KEY))
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_an_assessment_of_the_program_is_named_anew(world: World) -> None:
    own = "condition_preset_organization_id, condition_preset_id"
    await world.after(
        *parents("condition_preset_templates"),
        insert("condition_preset_templates", KEY),
        *[each for each in parents("enrollments") if "care_programs" not in each],
        f"INSERT INTO care_programs (organization_id, id, name, type, {own})"
        f" VALUES ('{ORGANIZATION}', '{PARENT}', 'n', 'RPM', '{ORGANIZATION}', '{PARENT}')",
        insert("enrollments", KEY),
    )
    await world.after(f"UPDATE assessment_templates SET name = '{RENAMED}'")
    assert RENAMED in str(world.shown("enrollments", KEY))


async def test_a_shared_row_is_shown_anew_in_every_organization(world: World) -> None:
    organizations = (ORGANIZATION, OTHER_ORGANIZATION)
    metric = insert("metric_definitions", PARENT, "*")
    rows = [
        statement.replace(f"'{organization}', '61'", "'*', '61'")
        for organization in organizations
        for statement in (*parents("observations", organization), insert("observations", organization, organization))
        if "metric_definitions" not in statement
    ]
    await world.after(metric, *rows)
    await world.after(f"UPDATE metric_definitions SET name = '{RENAMED}'")
    for organization in organizations:
        assert RENAMED in str(world.shown("observations", organization))


async def test_what_was_gathered_later_is_what_a_record_refers_to(world: World) -> None:
    document = '{"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}}'
    source = '[{"provider": "epic", "raw_id": "raw-p"}]'
    await world.after(
        *parents("profile_fhir_resources_clean"),
        "INSERT INTO profile_fhir_resources_clean (organization_id, id, profile_id, resource_type, clean_json, sources)"
        f" VALUES ('{ORGANIZATION}', '{KEY}', '{PARENT}', 'Condition', '{document}', '{source}')",
    )
    assert f"Patient/{PARENT}" not in str(world.shown("profile_fhir_resources_clean", KEY)[0])
    await world.after(
        "INSERT INTO profile_fhir_resources_raw (organization_id, id, profile_id, provider, resource_type,"
        " resource_id, resource_json)"
        f" VALUES ('{ORGANIZATION}', 'raw-p', '{PARENT}', 'epic', 'Patient', 'p', '{{}}')"
    )
    assert f"Patient/{PARENT}" in str(world.shown("profile_fhir_resources_clean", KEY)[0])


async def test_the_same_bytes_make_no_version(world: World) -> None:
    await world.after(*parents("observations"), insert("observations", KEY))
    assert "key" in used_columns("metric_definitions")
    before = world.shown("observations", KEY)
    await world.after("UPDATE metric_definitions SET code_system = 'urn:x'")
    assert world.shown("observations", KEY) == before


async def test_a_change_that_nobody_shows_makes_no_work(world: World) -> None:
    await world.after(*parents("observations"), insert("observations", KEY))
    world.sql("UPDATE metric_definitions SET is_standardized = true")
    touched = [("metric_definitions", PARENT), ("patients", PARENT)]
    await world.database.transact(ORGANIZATION, PROJECTOR, partial(project_touched, touched=touched))
    assert await waiting(world) == []


async def test_a_row_that_is_replaced_is_no_new_one(world: World) -> None:
    if world.url.startswith("postgresql"):
        pytest.skip("SQLite alone tells of an INSERT")
    table = "patient_wearable_daily_stats"
    await world.after(*parents(table), insert(table, KEY), f"UPDATE {table} SET closed_at = '2026-01-03T00:00:00Z'")
    world.sql("DELETE FROM shown_rows")  # as of a row that was made through FHIR
    (parent,) = (each for each in parents(table) if "customer_profiles" in each)
    replaced = (
        parent.replace("INSERT", "INSERT OR REPLACE").replace('("', '("timezone", "').replace("('", "('Asia/Tokyo', '")
    )
    world.sql("PRAGMA foreign_keys=OFF", replaced)
    await world.projector.drain()
    assert "+09:00" in str(world.shown(table, KEY))


async def test_what_the_server_itself_renames_is_shown_anew(world: World, change: Change) -> None:
    await world.after(*parents("observations"), insert("observations", KEY))
    async with world.database.begin(ORGANIZATION, change) as unit:
        await MetricDefinitionRepository(unit).update(PARENT, {"name": RENAMED})
    assert RENAMED not in str(world.shown("observations", KEY)), "the writer does not wait for it"
    assert await world.projector.drain() > 0
    assert RENAMED in str(world.shown("observations", KEY))


def many_observations() -> list[str]:
    """Return statements that make so many observations that a walk takes several steps."""
    one = insert("observations", KEY)
    rows = (one.partition("VALUES ")[2].replace(KEY, f"o{number:05}") for number in range(MANY))
    return [*parents("observations"), one.partition("VALUES ")[0] + "VALUES " + ", ".join(rows)]


async def step(world: World) -> int:
    """Do one batch of what the projector has to do, and then one step of the walk."""
    done: int = await world.projector._drain_some(ORGANIZATION)
    return done


async def test_a_walk_tells_how_far_it_is(world: World) -> None:
    await world.after(*many_observations())
    world.sql(f"UPDATE metric_definitions SET name = '{RENAMED}'")
    seen = []
    while await step(world):
        async with world.database.begin(ORGANIZATION, PROJECTOR) as unit:
            seen.append(await progress_of(unit))
    assert any(each.waiting for each in seen), "a changed row waits for its walk"
    assert {each.total for each in seen if each.table} == {None, MANY}
    done = [each.done for each in seen if each.total]
    assert done == sorted(done)
    assert done[-1] > STEP
    assert max(each.undrained for each in seen) == STEP, "no more is noted than the projector takes at once"
    assert (seen[-1].table, seen[-1].waiting, seen[-1].undrained) == (None, 0, 0)
    assert RENAMED in str(world.shown("observations", f"o{MANY - 1:05}"))


async def test_a_row_that_changes_again_while_it_is_walked_is_shown_as_it_is_in_the_end(world: World) -> None:
    await world.after(*many_observations())
    world.sql("UPDATE metric_definitions SET name = 'for a short time'")
    for _ in range(4):
        await step(world)
    world.sql(f"UPDATE metric_definitions SET name = '{RENAMED}'")
    await world.projector.drain()
    for number in (0, STEP, MANY - 1):
        assert RENAMED in str(world.shown("observations", f"o{number:05}"))
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_a_writer_who_began_before_the_change_is_waited_for(world: World) -> None:
    if not world.url.startswith("postgresql"):
        pytest.skip("one writer at a time")
    await world.after(*parents("observations"), insert("observations", KEY))
    world.sql(f"UPDATE metric_definitions SET name = '{RENAMED}'")
    async with world.database.begin(ORGANIZATION, PROJECTOR) as early:
        await early.connection.execute(update(rerenders).values(done=0))  # it has a transaction id now
        await world.projector.drain()
        assert RENAMED not in str(world.shown("observations", KEY))
    await world.projector.drain()
    assert RENAMED in str(world.shown("observations", KEY))


PROJECT: Final = """
import asyncio, sys
from storage.clock import IdSource
from storage.engine import create_database
from storage.projection.flush import flush
from storage.projection.outbox import Projector

async def main():
    database = create_database(sys.argv[1], ids=IdSource())
    await database.open()
    database.flush = flush
    projector = Projector(database)
    while await projector._drain_some(sys.argv[2]):
        print("step", flush=True)

asyncio.run(main())
"""


async def test_a_walk_goes_on_where_kill_9_left_it(world: World) -> None:
    await world.after(*many_observations())
    world.sql(f"UPDATE metric_definitions SET name = '{RENAMED}'")
    for steps in (1, 2, 4):
        command = [sys.executable, "-c", PROJECT, world.url, ORGANIZATION]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as projector:
            assert projector.stdout is not None
            assert [projector.stdout.readline() for _ in range(steps)] == ["step\n"] * steps
            projector.kill()
    async with world.database.begin(ORGANIZATION, PROJECTOR) as unit:
        before = await progress_of(unit)
    assert before.table == "metric_definitions"
    await world.projector.drain()
    stale = world.sql("SELECT count(*) FROM fhir_resources WHERE home_table = 'observations' AND version <> 2")
    assert stale == [(0,)], "every row has one new version, and none has two"


@pytest.mark.parametrize("table", sorted(shown_tables()))
async def test_every_way_to_a_shown_row_can_be_walked_back(database: Database, table: str) -> None:
    async def change(unit: UnitOfWork) -> None:
        await note_shown(unit, {table: [f"nobody-{table}"]})

    async def walk(unit: UnitOfWork) -> int:
        return await walk_shown(unit)

    assert paths_to(table)
    await database.transact(ORGANIZATION, PROJECTOR, change)
    steps = 0
    while await database.transact(ORGANIZATION, PROJECTOR, walk):
        steps += 1
    assert steps >= 2 + len({path.owner for path in paths_to(table)})
    async with database.begin(ORGANIZATION, PROJECTOR) as unit:
        assert (await unit.connection.execute(select(outbox.c.id).where(outbox.c.operation == "shown"))).all() == []
        assert not (await progress_of(unit)).waiting
