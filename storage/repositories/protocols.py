"""Treatment protocols."""

from __future__ import annotations

from mappers.rows import Protocol
from storage.repositories.table import FIRST, Page, TableRepository, Window


class ProtocolRepository(TableRepository[Protocol]):
    """Rows of `protocols`."""

    table_name = "protocols"

    async def list(
        self, *, customer_id: str | None = None, status: str | None = None, window: Window = FIRST
    ) -> Page[Protocol]:
        """Return protocols, newest first."""
        return await self._page({"customer_id": customer_id, "status": status}, window)
