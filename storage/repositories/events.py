"""The clinical timeline and the conversations with the assistant: entries that are added, not changed."""

from __future__ import annotations

from typing import Final

from storage.repositories.entities import ConversationEntry, PatientEvent
from storage.repositories.table import FIRST, Page, TableRepository, Window

CONVERSATION_MOST: Final = 500
CONVERSATION_FIRST: Final = Window(limit=50, most=CONVERSATION_MOST)
"""The API document lists 50 lines of a conversation at a time, and 500 at most."""


class EventRepository(TableRepository[PatientEvent]):
    """Rows of `patient_events`."""

    table_name = "patient_events"

    async def list(
        self, *, customer_id: str | None = None, event_type: str | None = None, window: Window = FIRST
    ) -> Page[PatientEvent]:
        """Return entries, newest first."""
        return await self._page({"customer_id": customer_id, "type": event_type}, window)


class ConversationRepository(TableRepository[ConversationEntry]):
    """Rows of `conversation_history`."""

    table_name = "conversation_history"

    async def list(
        self, *, customer_id: str | None = None, session_id: str | None = None, window: Window = CONVERSATION_FIRST
    ) -> Page[ConversationEntry]:
        """Return lines, newest first."""
        return await self._page({"customer_id": customer_id, "session_id": session_id}, window)
