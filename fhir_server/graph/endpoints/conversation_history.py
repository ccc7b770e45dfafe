"""Conversations with the assistant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.models.common import Listed, Success, answers
from fhir_server.graph.models.conversations import Line, NewLine, NewLines
from fhir_server.graph.parameters import ACall, CustomerId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import ConversationWindow
from fhir_server.graph.wire import json_value, shown
from storage.repositories.entities import ConversationEntry
from storage.repositories.events import ConversationRepository
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/conversation-history", tags=["Conversation history"], route_class=GraphRoute)
SHARED = ("customer_id", "channel", "session_id")


def shown_line(row: ConversationEntry) -> dict[str, Any]:
    """Return a line as the API shows it: what says no time was said when it was written."""
    return shown(row) | {"occurredAt": json_value(row.occurred_at or row.created_at)}


@router.get("", responses=answers(Listed[Line]))
@guarded("conversation_history", GraphAction.READ, Owner.QUERY)
async def list_lines(
    call: ACall,
    window: ConversationWindow,
    customer_id: CustomerId,
    session_id: Annotated[str | None, Query(alias="sessionId", description="Only of this session")] = None,
    channel: Annotated[str | None, Query(description="Only of this channel")] = None,
) -> Response:
    """List the lines of a customer's conversations, the latest first."""
    async with call.service.database.glance(call.organization_id) as snapshot:
        found = await ConversationRepository(snapshot).list(
            customer_id=customer_id, session_id=session_id, channel=channel, window=window
        )
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found, shown_line)


@router.post("", status_code=201, responses=answers(Success[Line | list[Line]], 201, errors=(404,)))
@guarded("conversation_history", GraphAction.WRITE, Owner.BODY)
async def append_lines(call: ACall, sent: NewLine | NewLines) -> Response:
    """Append one line, or several lines of one conversation, which are all written or none."""
    call.require_own(sent.customer_id)

    async def work(unit: UnitOfWork) -> Sequence[ConversationEntry]:
        said = [_said(unit, place, each) for place, each in enumerate(_each(sent))]
        lines = [ConversationEntry(unit.ids.uuid7(), unit.organization_id, **each) for each in said]
        made = await ConversationRepository(unit).append(lines)
        call.touched((sent.customer_id,), (row.id for row in made), len(made))
        return made

    made = [shown_line(row) for row in await call.write(work, 201)]
    return success(made if isinstance(sent, NewLines) else made[0], 201)


def _each(sent: NewLine | NewLines) -> list[dict[str, Any]]:
    """Return the columns of each line."""
    if isinstance(sent, NewLine):
        return [sent.changes()]
    shared = {name: getattr(sent, name) for name in SHARED}
    return [{**shared, **line.changes()} for line in sent.messages]


def _said(unit: UnitOfWork, place: int, columns: dict[str, Any]) -> dict[str, Any]:
    """Return a line's columns: one that says no time was said now, after those before it."""
    return {**columns, "occurred_at": columns.get("occurred_at") or unit.started + timedelta(microseconds=place)}
