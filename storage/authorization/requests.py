"""Authorization requests that wait for a person: kept here, bound to a browser, until they are answered (A12).

Every change is one conditional statement: a request that expired, was answered, or belongs to another browser is not
touched. A browser is named by the SHA-256 of its cookie, a request by the SHA-256 of the transaction id in its address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.authorization import authorization_requests as requests

REQUEST_SECONDS: Final = 900
"""How long a person may take."""


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One row of `authorization_requests`; instants in seconds since 1970 UTC.

    `parameters` are those of the app, as they were checked; `choices` what the person has chosen so far.
    """

    id: str
    client_id: str
    parameters: Mapping[str, Any]
    created_at: int
    expires_at: int
    choices: Mapping[str, Any] = field(default_factory=dict)
    browser: str | None = None
    launch_id: str | None = None
    finished_at: int | None = None


_NAMES: Final = tuple(each.name for each in fields(AuthorizationRequest))
_COLUMNS: Final = tuple(requests.c[name] for name in _NAMES)


async def add_request(connection: AsyncConnection, request: AuthorizationRequest) -> None:
    """Insert a request."""
    await connection.execute(insert(requests).values({name: getattr(request, name) for name in _NAMES}))


async def find_request(connection: AsyncConnection, request_id: str) -> AuthorizationRequest | None:
    """Return a request, whatever became of it; None when there is none."""
    row = (await connection.execute(select(*_COLUMNS).where(requests.c.id == request_id))).first()
    return None if row is None else AuthorizationRequest(**row._mapping)  # noqa: SLF001 the public name of it


async def claim_request(
    connection: AsyncConnection, request_id: str, browser: str, now: int
) -> AuthorizationRequest | None:
    """Bind a request to the first browser that comes for it; None when it is not, or no longer, this browser's."""
    own = or_(requests.c.browser.is_(None), requests.c.browser == browser)
    return await _change(connection, and_(requests.c.id == request_id, own), now, browser=browser)


async def save_choices(
    connection: AsyncConnection, request_id: str, browser: str, choices: Mapping[str, Any], now: int
) -> bool:
    """Keep what the person chose; False when the request is no longer this browser's to change."""
    of_browser = and_(requests.c.id == request_id, requests.c.browser == browser)
    return await _change(connection, of_browser, now, choices=dict(choices)) is not None


async def finish_request(connection: AsyncConnection, request_id: str, browser: str, now: int) -> bool:
    """Answer a request, once: False when it was answered already, expired, or is another browser's."""
    of_browser = and_(requests.c.id == request_id, requests.c.browser == browser)
    return await _change(connection, of_browser, now, finished_at=now) is not None


async def rebind(connection: AsyncConnection, old_browser: str, new_browser: str) -> None:
    """Let the pending requests of a browser follow it when its cookie gets a new value at sign-in."""
    await connection.execute(
        update(requests)
        .where(requests.c.browser == old_browser, requests.c.finished_at.is_(None))
        .values(browser=new_browser)
    )


async def _change(
    connection: AsyncConnection, which: ColumnElement[bool], now: int, **values: Any
) -> AuthorizationRequest | None:
    pending = and_(which, requests.c.finished_at.is_(None), requests.c.expires_at > now)
    row = (await connection.execute(update(requests).where(pending).values(values).returning(*_COLUMNS))).first()
    return None if row is None else AuthorizationRequest(**row._mapping)  # noqa: SLF001 the public name of it
