"""Subscriptions, which are treatments where a clinician is involved. Their states are in `subscription_states.py`."""

from __future__ import annotations

from mappers.rows import Subscription
from storage.repositories.table import FIRST, Page, TableRepository, Window


class SubscriptionRepository(TableRepository[Subscription]):
    """Rows of `subscriptions`."""

    table_name = "subscriptions"

    async def list(
        self,
        *,
        customer_id: str | None = None,
        status: str | None = None,
        rimo_treatment_id: str | None = None,
        window: Window = FIRST,
    ) -> Page[Subscription]:
        """Return subscriptions, newest first."""
        filters = {"customer_id": customer_id, "status": status, "rimo_treatment_id": rimo_treatment_id}
        return await self._page(filters, window)

    async def locked_by_rimo_treatment(self, rimo_treatment_id: str) -> tuple[Subscription, ...]:
        """Return the treatments that Rimo calls so, kept from other writers until the unit of work ends."""
        same = self.table.c.rimo_treatment_id == rimo_treatment_id
        return tuple(await self._rows([same], order=[self.table.c.id], lock=True))
