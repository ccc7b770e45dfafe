"""Clinicians of the care platform."""

from __future__ import annotations

from collections.abc import Sequence

from mappers.care_rows import CareClinician
from storage.repositories.table import FIRST, Page, TableRepository, Window


class ClinicianRepository(TableRepository[CareClinician]):
    """Rows of `clinicians`."""

    table_name = "clinicians"

    async def list(self, *, is_active: bool | None = None, window: Window = FIRST) -> Page[CareClinician]:
        """Return clinicians, newest first."""
        return await self._page({"is_active": is_active}, window)

    async def by_npi(self, npi_number: str) -> Sequence[CareClinician]:
        """Return the clinicians with this National Provider Identifier, in order of id."""
        return await self._rows([self.table.c.npi_number == npi_number], order=(self.table.c.id,))
