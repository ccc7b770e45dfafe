"""Pages of lists: `limit` and `offset` (API document, 'Pagination'), as a dependency of endpoints.

Dependencies that wait for nothing are coroutines all the same: FastAPI runs others in a thread, which costs more.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from storage.repositories.events import CONVERSATION_FIRST, CONVERSATION_MOST
from storage.repositories.table import DEFAULT_LIMIT, MAX_LIMIT, Window

MAX_OFFSET = 10_000_000


async def window(
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Results per page")] = DEFAULT_LIMIT,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Results to skip")] = 0,
) -> Window:
    """Return which rows of a list are asked for."""
    return Window(limit, offset)


async def conversation_window(
    limit: Annotated[int, Query(ge=1, le=CONVERSATION_MOST, description="Lines per page")] = CONVERSATION_FIRST.limit,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="Lines to skip")] = 0,
) -> Window:
    """Return which lines of a conversation are asked for."""
    return Window(limit, offset, CONVERSATION_MOST)


PageWindow = Annotated[Window, Depends(window)]
ConversationWindow = Annotated[Window, Depends(conversation_window)]
