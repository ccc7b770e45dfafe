"""Observations of the care platform's patients."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement

from mappers.care_rows import CareObservation
from storage.repositories.table import FIRST, Page, TableRepository, Window


class ObservationRepository(TableRepository[CareObservation]):
    """Rows of `observations`."""

    table_name = "observations"

    async def list(
        self,
        *,
        patient_id: str | None = None,
        metric_id: str | None = None,
        enrollment_id: str | None = None,
        recorded_from: datetime | None = None,
        recorded_until: datetime | None = None,
        window: Window = FIRST,
    ) -> Page[CareObservation]:
        """Return observations, last recorded first; the time is half-open, `recorded_until` outside."""
        recorded = self.table.c.recorded_at
        conditions: list[ColumnElement[bool]] = []
        if recorded_from is not None:
            conditions.append(recorded >= recorded_from)
        if recorded_until is not None:
            conditions.append(recorded < recorded_until)
        filters = {"patient_id": patient_id, "metric_id": metric_id, "enrollment_id": enrollment_id}
        return await self._page(filters, window, conditions, newest=recorded)
