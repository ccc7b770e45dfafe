"""What the database stamps shows in FHIR as it will be rendered again (settled §1.2, mapping law 2)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import update

from mappers.rows import CustomerProfile, WearableDailyStat
from storage.projection.reconcile import reconcile
from storage.repositories.profiles import ProfileRepository
from storage.repositories.wearables import DailyStatRepository
from storage.tables.patient_graph import patient_wearable_daily_stats as stats
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, Shop

CUSTOMER = CustomerProfile("c1", ORGANIZATION, "user_1", "jane@example.com", timezone="UTC")
STAT = WearableDailyStat(
    "s1", ORGANIZATION, "c1", date(2024, 5, 1), "resting_heart_rate", avg_value=Decimal("61.5"), unit="bpm", count=3
)  # fmt: skip


async def test_map_a_status_written_through_fhir_stays_though_the_row_is_stamped_later(shop: Shop) -> None:
    async with shop.database.begin(ORGANIZATION, CHANGE) as unit:
        await ProfileRepository(unit).insert(CUSTOMER)
        await DailyStatRepository(unit).insert(STAT)
        closed = update(stats).where(stats.c.organization_id == ORGANIZATION).values(closed_at=stats.c.updated_at)
        await unit.connection.execute(closed)
    written = await shop.read("Observation/s1")
    assert written["status"] == "final"
    written["status"] = "final"
    written["valueQuantity"]["value"] = Decimal("62.5")
    await shop.put("Observation/s1", written)
    assert (await shop.read("Observation/s1"))["status"] == "final"
    findings = await reconcile(shop.database, ORGANIZATION, fix=True)
    assert findings.agrees, findings.examples
    shown = await shop.read("Observation/s1")
    assert (shown["status"], shown["valueQuantity"]["value"]) == ("final", Decimal("62.5"))
