"""Secrets that senders of webhooks sign with: of a provider and an organization, two while one follows the other."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.platform import organizations
from storage.tables.webhooks import webhook_secrets


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """One row of `webhook_secrets`; `secret` is sealed, `expires_at` None for the present one."""

    id: str
    organization_id: str
    provider: str
    secret: str = field(repr=False)
    expires_at: datetime | None = None
    created_at: datetime | None = None


_COLUMNS: Final = tuple(webhook_secrets.c[each.name] for each in fields(WebhookSecret))


class WebhookSecretRepository:
    """Rows of `webhook_secrets`, on a connection to the tables outside tenancy."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def usable(self, provider: str, now: datetime) -> list[WebhookSecret]:
        """Return a provider's secrets that are good now, of active organizations, present ones first."""
        rows = webhook_secrets.c
        statement = (
            select(*_COLUMNS)
            .join(organizations, organizations.c.id == rows.organization_id)
            .where(rows.provider == provider, organizations.c.is_active)
            .where(or_(rows.expires_at.is_(None), rows.expires_at > now))
            .order_by(rows.expires_at.is_not(None), rows.organization_id, rows.id)
        )
        return [WebhookSecret(**row._mapping) for row in await self._connection.execute(statement)]  # noqa: SLF001 SQLAlchemy's public name

    async def all(self) -> list[WebhookSecret]:
        """Return every secret, those that have expired, too."""
        rows = webhook_secrets.c
        statement = select(*_COLUMNS).order_by(rows.provider, rows.organization_id, rows.created_at, rows.id)
        return [WebhookSecret(**row._mapping) for row in await self._connection.execute(statement)]  # noqa: SLF001 SQLAlchemy's public name

    async def insert(self, secret: WebhookSecret) -> None:
        """Add a secret."""
        values = {name: getattr(secret, name) for name in ("id", "organization_id", "provider", "secret", "expires_at")}
        await self._connection.execute(insert(webhook_secrets).values(values))

    async def retire(self, provider: str, organization_id: str, until: datetime) -> int:
        """Let the present secret be good until an instant only, forget the one before; returns how many there were."""
        rows = webhook_secrets.c
        own = (rows.provider == provider, rows.organization_id == organization_id)
        await self._connection.execute(delete(webhook_secrets).where(*own, rows.expires_at.is_not(None)))
        retired = await self._connection.execute(
            update(webhook_secrets).where(*own, rows.expires_at.is_(None)).values(expires_at=until).returning(rows.id)
        )
        return len(retired.all())

    async def remove(self, provider: str, organization_id: str) -> int:
        """Delete all secrets of a provider and an organization; returns how many there were."""
        rows = webhook_secrets.c
        own = (rows.provider == provider, rows.organization_id == organization_id)
        gone = await self._connection.execute(delete(webhook_secrets).where(*own).returning(rows.id))
        return len(gone.all())
