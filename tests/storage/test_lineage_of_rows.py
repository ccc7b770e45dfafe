"""Another program changes one column: exactly the elements change that lineage says the column shows ($lineage)."""

from __future__ import annotations

import re

import pytest

from mappers.json_values import encode
from storage.access import system_access
from storage.engine import Database
from storage.projection.lineage import Lineage, SourceKind, lineage_of, own_leaves
from storage.resources import ResourceKey
from storage.transaction import Change
from tests.conftest import ORGANIZATION
from tests.foreign_rows import insert, parents
from tests.storage.other_program import World, other_program
from tests.storage.test_foreign_rows import KEY, MAPPED, change_of

Content = tuple[str, bytes]
"""An element without its places in lists, and its value."""


@pytest.fixture
async def world(fresh_database: Database, fresh_database_url: str) -> World:
    return other_program(fresh_database, fresh_database_url)


async def lineages(world: World, table: str, change: Change) -> dict[str, Lineage]:
    """Return the lineage of each resource of the row."""
    organization = KEY if table == "organizations" else ORGANIZATION
    found = {}
    for _, body in world.shown(table, KEY):
        key = ResourceKey(body["resourceType"], body["id"])
        async with world.database.begin(organization, change) as unit:
            found[str(key)] = await lineage_of(unit, key, system_access(organization, "tester"))
    return found


def contents(lineage: Lineage) -> dict[Content, set[str]]:
    """Return what a resource shows, and which columns show it."""
    found: dict[Content, set[str]] = {}
    for path, value in own_leaves(lineage.stored.resource()).items():
        content = (re.sub(r"\[\d+\]", "", path), encode(value))
        found.setdefault(content, set()).update(lineage.sources[path].columns)
    return found


@pytest.mark.parametrize("table", MAPPED)
async def test_a_changed_column_changes_what_lineage_says_it_shows(world: World, table: str, change: Change) -> None:
    await world.after(*parents(table), insert(table, KEY))
    before = await lineages(world, table, change)
    statement = change_of(table)
    changed_columns = set(re.findall(r"(\w+) = ", statement.partition(" SET ")[2].partition(" WHERE ")[0]))
    await world.after(statement)
    after = await lineages(world, table, change)
    assert before.keys() == after.keys()
    assert any(before[key].stored.version != after[key].stored.version for key in after)
    for key in after:
        kinds = {source.kind for source in (*before[key].sources.values(), *after[key].sources.values())}
        assert SourceKind.UNKNOWN not in kinds
        was, now = contents(before[key]), contents(after[key])
        differing = [shown[each] for shown, other in ((was, now), (now, was)) for each in shown.keys() - other.keys()]
        assert all(columns & changed_columns for columns in differing if columns)
        alone = [each for each, columns in now.items() if len(columns) == 1 and columns <= changed_columns]
        # Several values may show alike: a code changes while its system stays, a metric while its category does.
        elements = {path.split(".")[1] for path, _ in alone} - {"category"}
        assert elements <= {path.split(".")[1] for path, _ in (was.keys() ^ now.keys())}


async def test_what_the_row_does_not_show_yet_is_unknown(world: World, change: Change) -> None:
    """Before the projector comes, the version is still what the row was."""
    await world.after(*parents("customer_profiles"), insert("customer_profiles", KEY))
    (key,) = await lineages(world, "customer_profiles", change)
    world.sql(f"UPDATE customer_profiles SET last_name = 'changed', first_name = 'new' WHERE id = '{KEY}'")
    found = (await lineages(world, "customer_profiles", change))[key]
    kinds = {path: source.kind for path, source in found.sources.items()}
    assert kinds[f"{key.partition('/')[0]}.id"] is SourceKind.COLUMN
    world.sql(f"DELETE FROM customer_profiles WHERE id = '{KEY}'")
    found = (await lineages(world, "customer_profiles", change))[key]
    assert {source.kind for source in found.sources.values()} == {SourceKind.UNKNOWN}
