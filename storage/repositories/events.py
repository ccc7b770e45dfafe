"""The clinical timeline and the conversations with the assistant: entries that are added, not changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import func

from storage.repositories.entities import ConversationEntry, PatientEvent
from storage.repositories.table import FIRST, Page, TableRepository, Window

CONVERSATION_MOST: Final = 500
CONVERSATION_FIRST: Final = Window(limit=50, most=CONVERSATION_MOST)
"""The API document lists 50 lines of a conversation at a time, and 500 at most."""


class EventRepository(TableRepository[PatientEvent]):
    """Rows of `patient_events`."""

    table_name = "patient_events"

    async def list(
        self,
        *,
        customer_id: str | None = None,
        event_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        window: Window = FIRST,
    ) -> Page[PatientEvent]:
        """Return entries of what happened in [since, until], the latest first."""
        at = func.coalesce(self.table.c.occurred_at, self.table.c.created_at)
        limits = ([at >= since] if since else []) + ([at <= until] if until else [])
        return await self._page({"customer_id": customer_id, "type": event_type}, window, limits, newest=at)


class ConversationRepository(TableRepository[ConversationEntry]):
    """Rows of `conversation_history`."""

    table_name = "conversation_history"

    async def append(self, lines: Sequence[ConversationEntry]) -> Sequence[ConversationEntry]:
        """Add lines and return them as stored; raises what `insert` does."""
        return [await self.insert(line) for line in lines]

    async def list(
        self,
        *,
        customer_id: str | None = None,
        session_id: str | None = None,
        channel: str | None = None,
        window: Window = CONVERSATION_FIRST,
    ) -> Page[ConversationEntry]:
        """Return lines, the latest first."""
        filters = {"customer_id": customer_id, "session_id": session_id, "channel": channel}
        at = func.coalesce(self.table.c.occurred_at, self.table.c.created_at)
        return await self._page(filters, window, newest=at)
