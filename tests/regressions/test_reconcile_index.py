"""`reconcile --check` proves agreement of index and store, `--fix` repairs it (settled §3.8, security DU-10)."""

from __future__ import annotations

import pytest
from sqlalchemy import Table, delete, update

from storage.projection.reconcile import reconcile
from storage.search.keys import self_key
from storage.tables import fhir
from storage.versions import ROWS_PER_RESOURCE
from tests.conftest import ORGANIZATION
from tests.regressions.shop import Shop, observed, person

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
async def test_sec_DU_10_an_index_row_that_says_something_else_is_found(shop: Shop, table: Table) -> None:
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
async def test_sec_DU_10_a_derived_column_that_says_something_else_is_found(shop: Shop, column: str) -> None:
    await fill(shop)
    rows = fhir.resources
    own = (rows.c.organization_id == ORGANIZATION, rows.c.self_key == self_key("Observation", "own"))
    await shop.execute(update(rows).where(*own).values({column: 7}))
    findings = await reconcile(shop.database, ORGANIZATION, fix=True)
    assert dict(findings.differing) == {"misplaced": 1}
    assert findings.examples == ["misplaced: Observation/own"]
    assert await agrees(shop)
    assert await shop.ids("Observation?patient=a&code=8867-4&_sort=_id") == ["own"]
