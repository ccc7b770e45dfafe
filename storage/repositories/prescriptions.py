"""Prescriptions and their fulfilment."""

from __future__ import annotations

from mappers.rows import PatientPrescription
from storage.repositories.table import FIRST, Page, TableRepository, Window


class PrescriptionRepository(TableRepository[PatientPrescription]):
    """Rows of `patient_prescriptions`."""

    table_name = "patient_prescriptions"

    async def by_order(self, rimo_order_id: str, *, lock: bool = False) -> PatientPrescription | None:
        """Return the prescription of an order, None when there is none; `lock` keeps other writers off it."""
        found = await self._rows([self.table.c.rimo_order_id == rimo_order_id], lock=lock)
        return found[0] if found else None

    async def list(
        self,
        *,
        customer_id: str | None = None,
        treatment_id: str | None = None,
        status: str | None = None,
        window: Window = FIRST,
    ) -> Page[PatientPrescription]:
        """Return prescriptions, newest first."""
        filters = {"customer_id": customer_id, "treatment_id": treatment_id, "status": status}
        return await self._page(filters, window)
