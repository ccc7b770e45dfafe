"""`reconcile --check` proves agreement of index and store, `--fix` repairs it (settled §3.8, security DU-10)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Table, delete, text, update

from storage.projection import index_rebuild
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey, Write
from storage.search.keys import self_key
from storage.tables import fhir
from storage.versions import ROWS_PER_RESOURCE
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, SYSTEM, Shop, observed, person

QUANTITY = {"value": 72, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"}


async def fill(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person(birthDate="1980-01-01"))
    shared = [{"reference": "Patient/a"}, {"reference": "Patient/b"}, {"reference": "Practitioner/d"}]
    more = {"issued": "2024-05-01T10:00:00Z", "valueQuantity": QUANTITY, "performer": shared}
    await shop.put("Observation/shared", observed(None, **more))
    await shop.put("Observation/own", observed("Patient/a", **more))


async def agrees(shop: Shop) -> bool:
    return (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def repaired(shop: Shop) -> bool:
    assert not (await reconcile(shop.database, ORGANIZATION, fix=True)).agrees
    return await agrees(shop)


@pytest.mark.parametrize("table", ROWS_PER_RESOURCE, ids=lambda table: table.name)
async def test_security_DU10_an_index_row_that_says_something_else_is_found(shop: Shop, table: Table) -> None:
    await fill(shop)
    assert await agrees(shop)
    column = next(each for each in table.columns if each.name in {"key", "patient", "target"})
    (row, *_) = await shop.execute(table.select().where(table.c.organization_id == ORGANIZATION))
    this = [each == getattr(row, each.name) for each in table.columns]
    await shop.execute(update(table).where(*this).values({column.name: 7}))  # as many rows as before
    assert await repaired(shop)
    (row, *_) = await shop.execute(table.select().where(table.c.organization_id == ORGANIZATION))
    this = [each == getattr(row, each.name) for each in table.columns]
    await shop.execute(delete(table).where(*this))
    assert await repaired(shop)
    await shop.execute(table.insert().values({**row._mapping, column.name: 7}))
    assert await repaired(shop)


@pytest.mark.parametrize("column", ["patient", "date_low", "date_high", "present"])
async def test_security_DU10_a_derived_column_that_says_something_else_is_found(shop: Shop, column: str) -> None:
    await fill(shop)
    rows = fhir.resources
    own = (rows.c.organization_id == ORGANIZATION, rows.c.self_key == self_key("Observation", "own"))
    await shop.execute(update(rows).where(*own).values({column: 7}))
    findings = await reconcile(shop.database, ORGANIZATION, fix=True)
    assert dict(findings.differing) == {"misplaced": 1}
    assert findings.examples == ["misplaced: Observation/own"]
    assert await agrees(shop)
    assert await shop.ids("Observation?patient=a&code=8867-4&_sort=_id") == ["own"]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let an index be written anew in many steps."""
    monkeypatch.setattr(index_rebuild, "BATCH", 3)
    monkeypatch.setattr(index_rebuild, "WALKED", 7)
    statements = (index_rebuild._next, index_rebuild._following)
    for statement in statements:
        statement.cache_clear()
    yield
    for statement in statements:
        statement.cache_clear()


@pytest.mark.usefixtures("small_steps")
async def test_security_DU10_an_index_is_written_anew_while_others_write(shop: Shop) -> None:
    await fill(shop)
    for number in range(20):
        await shop.put(f"Observation/{number}", observed("Patient/a", note=[{"text": "before"}]))
    for table in ROWS_PER_RESOURCE:
        await shop.execute(delete(table).where(table.c.organization_id == ORGANIZATION))

    async def write() -> None:
        for number in range(40):
            subject = "Patient/a" if number % 3 else "Patient/b"
            await shop.put(f"Observation/{number}", observed(subject, issued=f"2024-05-{number % 28 + 1:02}T10:00:00Z"))
            if number % 5 == 0:
                await shop.delete(f"Observation/{number}")

    await asyncio.gather(write(), index_rebuild.rebuild_index(shop.database, ORGANIZATION))
    await index_rebuild.rebuild_index(shop.database, ORGANIZATION)
    assert await agrees(shop)
    await asyncio.gather(write(), index_rebuild.rebuild_index(shop.database, ORGANIZATION))
    assert await agrees(shop)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("table", ROWS_PER_RESOURCE, ids=lambda table: table.name)
async def test_security_DU10_rows_of_what_is_deleted_or_never_was_go(shop: Shop, table: Table) -> None:
    await fill(shop)
    own = table.c.organization_id == ORGANIZATION
    kept = await shop.execute(table.select().where(own))
    await shop.put("Observation/gone", observed("Patient/a"))
    await shop.delete("Observation/gone")
    columns = fhir.resources.c
    ((gone,),) = await shop.execute(fhir.resources.select().with_only_columns(columns.rid).where(columns.id == "gone"))
    for rid in (gone, 17, 2**62):
        await shop.execute(table.insert().values({**kept[0]._mapping, "rid": rid}))
    await index_rebuild.rebuild_index(shop.database, ORGANIZATION)
    assert set(await shop.execute(table.select().where(own))) == set(kept)
    assert await agrees(shop)


async def test_security_DU10_an_index_is_written_anew_beside_a_writer_who_takes_long(shop: Shop) -> None:
    if shop.database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    await fill(shop)
    await shop.execute(delete(fhir.index_strings).where(fhir.index_strings.c.organization_id == ORGANIZATION))
    new = Write(ResourceKey("Observation", "new"), observed("Patient/a", id="new"), must_not_exist=True)
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await shop.store.write(unit, [new], SYSTEM)
        await unit.connection.execute(text("SELECT 1"))  # what was written travels with it
        await index_rebuild.rebuild_index(shop.database, ORGANIZATION)
    assert await agrees(shop)
