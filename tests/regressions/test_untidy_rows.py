"""Rows that foreign writers left untidy block nobody: they show as far as they can, or are listed (settled §3.8)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from storage.projection import outbox
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.tables.fhir import outbox as entries
from storage.tables.fhir import projection_failures
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.regressions.shop import Shop

CUSTOMER = (
    "INSERT INTO customer_profiles (id, external_id, email, first_name, last_name)"
    " VALUES ('{0}', 'user_{0}', '{0}@example.com', 'Jane', 'Doe')"
)
LAB = (
    "INSERT INTO lab_results (id, customer_id, status, biomarkers, lab_date)"
    " VALUES ('{0}', 'c1', 'reviewed', '{{\"tsh\": {{\"value\": {1}, \"unit\": \"uIU/mL\"}}}}', '{2}')"
)


async def foreign(shop: Shop, *statements: str) -> None:
    """Write as another program does: without silencing the capture of changes."""
    async with shop.database.platform() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text(f"SELECT set_config('app.organization_id', '{ORGANIZATION}', true)"))
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def left(shop: Shop) -> int:
    return len(await shop.execute(entries.select()))


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("5", "2024-13-45"),
        ("5", "2023-02-30"),
        ("5", "0000-01-01"),
        ("5", "2024-05-01T25:00:00Z"),
        ("5", "2024-05-01T10:00:00+23:59"),
        ("1E+2000", "2024-05-01"),
        ("9" * 5000, "2024-05-01"),
        ('"2024"', "9999-12-31"),
    ],
)
async def test_map_a_value_that_is_none_does_not_stop_the_projection(shop: Shop, value: str, day: str) -> None:
    await foreign(shop, CUSTOMER.format("c1"), LAB.format("l1", value, day))
    await foreign(shop, CUSTOMER.format("c2"))
    await Projector(shop.database).drain()
    assert await left(shop) == 0
    assert sorted(await shop.ids("Patient?family=Doe")) == ["c1", "c2"]
    findings = await reconcile(shop.database, ORGANIZATION, fix=False)
    assert not findings.differing
    assert not findings.index


async def test_map_a_row_at_which_something_unforeseen_happens_is_listed_and_blocks_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outbox.project_touched

    async def fragile(unit: UnitOfWork, touched: list[tuple[str, str]], *rest: Any) -> Any:
        if any(key == "c1" for _, key in touched):
            raise RuntimeError("nobody foresaw this")
        return await whole(unit, touched, *rest)

    monkeypatch.setattr(outbox, "project_touched", fragile)
    await foreign(shop, CUSTOMER.format("c0"), CUSTOMER.format("c1"), CUSTOMER.format("c2"))
    assert await Projector(shop.database).drain() == 3
    assert await left(shop) == 0
    assert sorted(await shop.ids("Patient?family=Doe")) == ["c0", "c2"]
    (failed,) = await shop.execute(projection_failures.select())
    assert (failed.table_name, failed.key, failed.reason) == (
        "customer_profiles", "c1", "RuntimeError while it was projected",
    )  # fmt: skip


async def test_map_the_projector_goes_on_after_whatever_happened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    projector = Projector(shop.database, report=lambda event, facts: events.append(facts["error"]))

    async def fragile() -> int:
        if events:
            projector.stop()
            return 0
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(projector, "drain", fragile)
    monkeypatch.setattr(outbox, "POLL_SECONDS", 0.01)
    await projector.run()
    assert events == ["RuntimeError"]
