"""Laboratory reports: uploading one again corrects it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Final

from mappers.rows import LabResult
from storage.repositories.table import FIRST, Page, TableRepository, Window

KEPT: Final = frozenset({"id", "organization_id", "created_at", "updated_at"})
"""What a repeated upload leaves as it was."""


def lab_day_of(lab_date: str | None) -> date | None:
    """Return the calendar day of a FHIR dateTime as it was written; None for a partial or impossible one."""
    try:
        return date.fromisoformat(lab_date[:10]) if lab_date else None
    except ValueError:
        return None


class LabRepository(TableRepository[LabResult]):
    """Rows of `lab_results`."""

    table_name = "lab_results"

    async def insert(self, row: LabResult) -> LabResult:
        """Add a report; `lab_day` is derived from `lab_date`."""
        return await super().insert(replace(row, lab_day=lab_day_of(row.lab_date)))

    async def upload(self, row: LabResult) -> LabResult:
        """Add a report, or correct the one of the same customer and upload; the corrected one keeps its id."""
        earlier = await self._of_upload(row)
        if earlier is None:
            return await self.insert(row)
        corrected = replace(row, lab_day=lab_day_of(row.lab_date))
        changes = {each.name: getattr(corrected, each.name) for each in fields(LabResult) if each.name not in KEPT}
        return await self.update(earlier.id, changes)

    async def _of_upload(self, row: LabResult) -> LabResult | None:
        if row.upload_id is None:
            return None
        same = [self.table.c.customer_id == row.customer_id, self.table.c.upload_id == row.upload_id]
        found = await self._rows(same, lock=True)
        return found[0] if found else None

    async def list(
        self, *, customer_id: str | None = None, status: str | None = None, window: Window = FIRST
    ) -> Page[LabResult]:
        """Return reports, newest first."""
        return await self._page({"customer_id": customer_id, "status": status}, window)
