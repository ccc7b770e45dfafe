"""Customer profiles: who the patients of the patient graph are."""

from __future__ import annotations

from mappers.rows import CustomerProfile
from storage.repositories.table import FIRST, Page, TableRepository, Window


class ProfileRepository(TableRepository[CustomerProfile]):
    """Rows of `customer_profiles` with their identity mappings."""

    table_name = "customer_profiles"

    async def by_external_id(self, external_id: str) -> CustomerProfile | None:
        """Return the profile of a login, None when there is none."""
        found = await self._rows([self.table.c.external_id == external_id])
        return found[0] if found else None

    async def by_email(self, email: str) -> CustomerProfile | None:
        """Return the profile with exactly this e-mail, None when there is none."""
        found = await self._rows([self.table.c.email == email])
        return found[0] if found else None

    async def list(
        self,
        *,
        customer_id: str | None = None,
        email: str | None = None,
        subscription_tier: str | None = None,
        window: Window = FIRST,
    ) -> Page[CustomerProfile]:
        """Return profiles, newest first."""
        filters = {"id": customer_id, "email": email, "subscription_tier": subscription_tier}
        return await self._page(filters, window)
