"""Laboratory reports: uploading one again corrects it; who reviewed it is on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from mappers.rows import LabResult
from storage.repositories.errors import TransitionRefused
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.tables.enums import LabStatus
from storage.tables.types import is_same_value

CONTENT: Final = ("lab_date", "lab_day", "provider", "biomarkers", "file_url")
"""What an upload says of a report; one that comes again puts it in the place of what was there."""
REMARKS: Final = ("notes", "metadata")
"""What an upload may say: what an earlier one, or a reviewer, said stays unless it does."""
REVIEW: Final = ("status", "reviewed_at", "reviewed_by")

NEXT: Final[Mapping[LabStatus, frozenset[LabStatus]]] = {
    LabStatus.PENDING: frozenset({LabStatus.REVIEWED}),
    LabStatus.REVIEWED: frozenset({LabStatus.ARCHIVED}),
    LabStatus.ARCHIVED: frozenset(),
}
"""How a report is processed. Other systems say by DiagnosticReport.status what they have found it to be."""


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
        """Add a report; `lab_day` is derived from `lab_date`, and one that is reviewed already is stamped."""
        return await super().insert(self._stamped(replace(row, lab_day=lab_day_of(row.lab_date))))

    async def upload(self, row: LabResult) -> LabResult:
        """Add a report, or correct the one of the same customer and upload; the corrected one keeps its id.

        What says the same again changes nothing, and leaves the review as it is. What says something else has to be
        reviewed anew, unless it says that it was.
        """
        earlier = await self._of_upload(row)
        if earlier is None:
            return await self.insert(row)
        corrected = self._stamped(replace(row, lab_day=lab_day_of(row.lab_date)))
        said = (*CONTENT, *(name for name in REMARKS if getattr(row, name) is not None))
        differs = any(not is_same_value(getattr(earlier, name), getattr(corrected, name)) for name in said)
        if differs or corrected.status not in {LabStatus.PENDING, earlier.status}:
            said += REVIEW
        return await self.update(earlier.id, {name: getattr(corrected, name) for name in said})

    async def process(self, lab_id: str, changes: Mapping[str, Any]) -> LabResult:
        """Change a report along its states, its notes and metadata; the writer is who reviewed it.

        Raises ResourceNotFound, and TransitionRefused for a state that does not follow.
        """
        before = await self._locked(lab_id, None)
        old, new = LabStatus(before.status), LabStatus(changes.get("status", before.status))
        if new is not old and new not in NEXT[old]:
            raise TransitionRefused(self.table_name, lab_id, old, new, NEXT[old])
        after = replace(before, **changes)
        if new is not old:
            after = self._stamped(after)
        return await self.update(lab_id, {name: getattr(after, name) for name in (*changes, *REVIEW)})

    def _stamped(self, row: LabResult) -> LabResult:
        if row.status != LabStatus.REVIEWED or row.reviewed_at is not None:
            return row
        return replace(row, reviewed_at=self.unit.started, reviewed_by=row.reviewed_by or self.unit.change.actor)

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
