"""Care programs, and who is enrolled in them."""

from __future__ import annotations

from mappers.care_rows import CareProgram, Enrollment
from storage.repositories.table import FIRST, Page, TableRepository, Window


class CareProgramRepository(TableRepository[CareProgram]):
    """Rows of `care_programs`."""

    table_name = "care_programs"

    async def list(
        self,
        *,
        program_type: str | None = None,
        is_active: bool | None = None,
        window: Window = FIRST,
    ) -> Page[CareProgram]:
        """Return care programs, newest first."""
        return await self._page({"type": program_type, "is_active": is_active}, window)


class EnrollmentRepository(TableRepository[Enrollment]):
    """Rows of `enrollments`."""

    table_name = "enrollments"

    async def list(
        self,
        *,
        patient_id: str | None = None,
        clinician_id: str | None = None,
        care_program_id: str | None = None,
        status: str | None = None,
        window: Window = FIRST,
    ) -> Page[Enrollment]:
        """Return enrollments, newest first."""
        filters = {
            "patient_id": patient_id,
            "clinician_id": clinician_id,
            "care_program_id": care_program_id,
            "status": status,
        }
        return await self._page(filters, window)
