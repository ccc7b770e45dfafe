"""Identity mappings: which customer a person is in other systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappers.rows import IdentityMapping
from storage.repositories.table import FIRST, Page, TableRepository, Window
from storage.tables.enums import IdentifierType

SYSTEM_OF: Final[Mapping[IdentifierType, str]] = {
    IdentifierType.CLERK_USER_ID: "clerk",
    IdentifierType.EMAIL: "email",
    IdentifierType.BIGCOMMERCE_CUSTOMER_ID: "bigcommerce",
    IdentifierType.STRIPE_CUSTOMER_ID: "stripe",
    IdentifierType.HUBSPOT_CONTACT_ID: "hubspot",
    IdentifierType.PHONE: "phone",
    IdentifierType.FINGERPRINT_VISITOR_ID: "fingerprint",
}
"""External system of each identifier type; each implies the other (internal_tables.md)."""

TYPE_OF: Final[Mapping[str, IdentifierType]] = {system: kind for kind, system in SYSTEM_OF.items()}


def completed(identifier_type: str | None, external_system: str | None) -> tuple[str, str | None]:
    """Return identifier type and external system, each implied by the other where the enumeration has it.

    A system that no type stands for ('rimo') is its own type. Raises ValueError when both are missing, or contradict.
    """
    if identifier_type is None:
        if external_system is None:
            raise ValueError("identifier_type or external_system is needed")
        return TYPE_OF.get(external_system, external_system), external_system
    implied = SYSTEM_OF.get(IdentifierType(identifier_type)) if identifier_type in set(IdentifierType) else None
    if external_system is None:
        return identifier_type, implied
    if implied is not None and implied != external_system:
        raise ValueError(f"identifier_type {identifier_type} belongs to external_system {implied}")
    return identifier_type, external_system


class IdentityMappingRepository(TableRepository[IdentityMapping]):
    """Rows of `identity_mappings`."""

    table_name = "identity_mappings"

    async def resolve(
        self, external_id: str, *, identifier_type: str | None = None, external_system: str | None = None
    ) -> IdentityMapping | None:
        """Return whom an id in another system stands for, None when nobody is known by it.

        Raises ValueError when neither identifier type nor system is given, or when they contradict.
        """
        kind, _ = completed(identifier_type, external_system)
        found = await self._rows([self.table.c.identifier_type == kind, self.table.c.external_id == external_id])
        return found[0] if found else None

    async def list(self, *, customer_id: str | None = None, window: Window = FIRST) -> Page[IdentityMapping]:
        """Return mappings, newest first."""
        return await self._page({"customer_id": customer_id}, window)
