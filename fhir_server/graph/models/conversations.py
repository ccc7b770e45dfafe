"""Lines of conversations with the assistant as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import FreeObject, Instant, Key, Sent, Shown, Text
from storage.tables.enums import ConversationRole

MOST_LINES = 100

SAID: dict[str, Any] = {"role": "user", "content": "Is my vitamin D low?"}
WHERE: dict[str, Any] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "channel": "app",
    "sessionId": "session_42",
}
NEW: dict[str, Any] = {**WHERE, **SAID}
SEVERAL: dict[str, Any] = {
    **WHERE,
    "messages": [SAID, {"role": "assistant", "content": "Yes, slightly.", "tokenCount": 7}],
}
SHOWN: dict[str, Any] = {
    "id": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a14",
    **NEW,
    "tokenCount": None,
    "metadata": None,
    "occurredAt": "2026-03-20T19:45:00Z",
    "createdAt": "2026-03-20T19:45:00Z",
    "updatedAt": "2026-03-20T19:45:00Z",
}


class Said(Sent):
    """One line."""

    role: ConversationRole
    content: Text
    token_count: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    occurred_at: Instant | None = Field(None, description="When it was said; now, if not said")
    metadata: FreeObject | None = None


class NewLine(Said):
    """One line, and whose conversation it belongs to."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    channel: Key | None = None
    session_id: Key | None = None


class NewLines(Sent):
    """Several lines of one conversation, in order."""

    model_config = ConfigDict(json_schema_extra={"examples": [SEVERAL]})

    customer_id: Key
    channel: Key | None = None
    session_id: Key | None = None
    messages: Annotated[list[Said], Field(min_length=1, max_length=MOST_LINES)]


class Line(Shown):
    """A line of a conversation."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    channel: str | None
    session_id: str | None
    role: str | None
    content: str | None
    token_count: int | None
    metadata: Any
    occurred_at: datetime
    created_at: datetime
    updated_at: datetime
