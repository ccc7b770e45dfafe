"""Readings of wearable devices, and the statistics of a day."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from typing import Final

from mappers.rows import WearableDailyStat, WearableReading
from storage.repositories.quick import Condition
from storage.repositories.table import FIRST, Page, TableRepository, Window

KEPT: Final = frozenset({"id", "organization_id", "corrected", "created_at", "updated_at"})


class ReadingRepository(TableRepository[WearableReading]):
    """Rows of `patient_wearable_readings`."""

    table_name = "patient_wearable_readings"

    async def list(
        self,
        *,
        customer_id: str | None = None,
        data_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        window: Window = FIRST,
    ) -> Page[WearableReading]:
        """Return readings measured in [since, until], newest measurement first."""
        at = self.table.c.recorded_at
        limits = (Condition(at.name, ">=", since), Condition(at.name, "<=", until))
        equal = {"customer_id": customer_id, "data_type": data_type}
        return await self._page(equal, window, newest=at, within=limits)


class DailyStatRepository(TableRepository[WearableDailyStat]):
    """Rows of `patient_wearable_daily_stats`: one for each customer, day and metric."""

    table_name = "patient_wearable_daily_stats"

    async def record(self, row: WearableDailyStat) -> WearableDailyStat:
        """Add the statistics of a day, or put them in the place of the earlier ones; those keep their id.

        A closed day stays closed: statistics that come later correct it (settled §3.2).
        """
        columns = self.table.c
        same = [
            columns.customer_id == row.customer_id,
            columns.date == row.date,
            columns.data_type == row.data_type,
        ]
        earlier = await self._rows(same, lock=True)
        if not earlier:
            return await self.insert(row)
        changes = {each.name: getattr(row, each.name) for each in fields(row) if each.name not in KEPT}
        changes["closed_at"] = row.closed_at or earlier[0].closed_at
        return await self.update(earlier[0].id, changes)

    async def list(
        self,
        *,
        customer_id: str | None = None,
        data_type: str | None = None,
        since: date | None = None,
        until: date | None = None,
        window: Window = FIRST,
    ) -> Page[WearableDailyStat]:
        """Return statistics of the days [since, until], newest day first."""
        day = self.table.c.date
        limits = (Condition(day.name, ">=", since), Condition(day.name, "<=", until))
        equal = {"customer_id": customer_id, "data_type": data_type}
        return await self._page(equal, window, newest=day, within=limits)
