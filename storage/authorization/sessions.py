"""Sessions: a browser in which a person has signed in, and their end (security AU-5).

A session is idle when nothing was asked of it for a while, and over at an instant fixed at sign-in. Its end takes the
grants along that were given for as long as it lasts (`online_access`, `smart.md` V3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import ColumnElement, and_, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.authorization.grants import Grant, revoke_grants
from storage.tables.authorization import grants, sessions

SEEN_SECONDS: Final = 60
"""How exactly it is known when a session was used last: it is written at most once a minute."""
SECOND_FACTOR_TRIES: Final = 5
"""Wrong codes that one sign-in may have (AU-4)."""


@dataclass(frozen=True, slots=True)
class Session:
    """One row of `sessions`; instants in seconds since 1970 UTC.

    `second_factor_at` is None while the password alone was given. `identity_provider` names who vouched for the person
    instead of a password.
    """

    id: str
    browser: str
    user_id: str
    authenticated_at: int
    last_seen_at: int
    expires_at: int
    organization_id: str | None = None
    second_factor_at: int | None = None
    second_factor_failures: int = 0
    ended_at: int | None = None
    identity_provider: str | None = None


_NAMES: Final = tuple(each.name for each in fields(Session))
_COLUMNS: Final = tuple(sessions.c[name] for name in _NAMES)


def alive(now: int, idle_seconds: int) -> ColumnElement[bool]:
    """Return the condition that a session can still be used."""
    return and_(
        sessions.c.ended_at.is_(None), sessions.c.expires_at > now, sessions.c.last_seen_at > now - idle_seconds
    )


async def add_session(connection: AsyncConnection, session: Session) -> None:
    """Insert a session."""
    await connection.execute(insert(sessions).values({name: getattr(session, name) for name in _NAMES}))


async def find_sessions(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> list[Session]:
    """Return the sessions that meet every condition, the oldest first."""
    found = await connection.execute(select(*_COLUMNS).where(*conditions).order_by(sessions.c.authenticated_at))
    return [Session(**row._mapping) for row in found]  # noqa: SLF001 the public name of a row's mapping


async def session_of(connection: AsyncConnection, browser: str, now: int, idle_seconds: int) -> Session | None:
    """Return the session of a browser, known by the digest of its cookie; None when it has none that is alive."""
    found = await find_sessions(connection, sessions.c.browser == browser, alive(now, idle_seconds))
    return found[0] if found else None


async def see_session(connection: AsyncConnection, session_id: str, now: int) -> None:
    """Note that a session was used, unless that was noted within the minute."""
    unseen = (sessions.c.id == session_id, sessions.c.last_seen_at <= now - SEEN_SECONDS)
    await connection.execute(update(sessions).where(*unseen).values(last_seen_at=now))


async def sign_in_again(connection: AsyncConnection, before: Session, again: Session) -> bool:
    """Let the same person sign in once more within a session, under the cookie and the times of `again`.

    False when the session ended meanwhile. The second factor has to be given again; what was granted for as long as the
    session lasts goes on.
    """
    own = (sessions.c.id == before.id, sessions.c.browser == before.browser, sessions.c.ended_at.is_(None))
    names = ("browser", "authenticated_at", "last_seen_at", "expires_at", "identity_provider")
    values = {name: getattr(again, name) for name in names}
    values |= {"second_factor_at": None, "second_factor_failures": 0}
    changed = await connection.execute(update(sessions).where(*own).values(values).returning(sessions.c.id))
    return changed.first() is not None


async def renew_browser(
    connection: AsyncConnection, session: Session, browser: str, *, second_factor_at: int | None = None
) -> bool:
    """Put a session under a new cookie; False when it ended or was renewed meanwhile.

    `second_factor_at` is when the second factor was given; None leaves it as it is.
    """
    own = (sessions.c.id == session.id, sessions.c.browser == session.browser, sessions.c.ended_at.is_(None))
    values: dict[str, object] = {"browser": browser}
    if second_factor_at is not None:
        values |= {"second_factor_at": second_factor_at, "second_factor_failures": 0}
    changed = await connection.execute(update(sessions).where(*own).values(values).returning(sessions.c.id))
    return changed.first() is not None


async def forget_second_factor(connection: AsyncConnection, session_id: str) -> None:
    """Let a session stand on the password alone again: the second factor was turned off."""
    await connection.execute(update(sessions).where(sessions.c.id == session_id).values(second_factor_at=None))


async def try_second_factor(connection: AsyncConnection, session_id: str) -> bool:
    """Take one of the tries of a sign-in before the code is looked at; False when none is left (AU-4)."""
    left = (sessions.c.id == session_id, sessions.c.second_factor_failures < SECOND_FACTOR_TRIES)
    counted = await connection.execute(
        update(sessions)
        .where(*left)
        .values(second_factor_failures=sessions.c.second_factor_failures + 1)
        .returning(sessions.c.id)
    )
    return counted.first() is not None


async def end_sessions(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], reason: str, now: int
) -> list[Grant]:
    """End the sessions that meet every condition and have not ended; return the grants that ended with them."""
    ended = await connection.scalars(
        update(sessions).where(*conditions, sessions.c.ended_at.is_(None)).values(ended_at=now).returning(sessions.c.id)
    )
    known = list(ended)
    return await revoke_grants(connection, [grants.c.session_id.in_(known)], reason, now) if known else []


async def end_session(connection: AsyncConnection, session_id: str, reason: str, now: int) -> list[Grant]:
    """End one session; return the grants that ended with it."""
    return await end_sessions(connection, [sessions.c.id == session_id], reason, now)


async def end_sessions_of(
    connection: AsyncConnection, user_id: str, reason: str, now: int, *, but: str | None = None
) -> list[Grant]:
    """End a person's sessions, all `but` one, and every grant of theirs that lasts as long as a session (V3)."""
    others = [sessions.c.user_id == user_id, *([] if but is None else [sessions.c.id != but])]
    ended = await end_sessions(connection, others, reason, now)
    online = [grants.c.user_id == user_id, grants.c.session_id.is_not(None)]
    return [*ended, *await revoke_grants(connection, online, reason, now)]


async def end_grants_of(
    connection: AsyncConnection,
    user_id: str,
    reason: str,
    now: int,
    *,
    organization_id: str | None = None,
    patient: str | None = None,
) -> list[Grant]:
    """Revoke what a person granted: everything, or that in one organization, or that concerns one patient there."""
    concerned = [grants.c.user_id == user_id]
    if organization_id is not None:
        concerned.append(grants.c.organization_id == organization_id)
    if patient is not None:
        # A user/ scope reaches every patient of the person, so a grant without this patient is concerned too.
        concerned.append(or_(grants.c.patient == patient, grants.c.scope.contains("user/", autoescape=True)))
    return await revoke_grants(connection, concerned, reason, now)
