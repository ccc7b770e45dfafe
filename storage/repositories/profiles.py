"""Customer profiles: who the patients of the patient graph are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mappers.rows import CustomerProfile
from storage.repositories.events import EventRepository
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.repositories.timeline import changed_members, entry
from storage.tables.enums import PatientEventType


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

    async def change(self, customer_id: str, changes: Mapping[str, Any]) -> CustomerProfile:
        """Change a profile as `update` does, and tell its timeline which members changed.

        Writers through FHIR change it without: a Patient whose timeline tells of it could not be deleted any more.
        """
        before = await self._locked(customer_id, None)
        after = await self.update(customer_id, changes)
        changed = changed_members(before, after)
        if changed:
            told = PatientEventType.PROFILE_UPDATED
            event = entry(self.unit, customer_id, told, "Profile updated", {"fields": changed})
            await EventRepository(self.unit).insert(event)
        return after

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
