"""Who is signed in in a browser, and how that begins, is renewed and ends (security AU-4, AU-5; `smart.md` §15).

Signing in has up to two steps: a password (or another issuer's word), then a code where the person uses a second
factor. Someone whose role needs one and who has none yet sets it up before anything else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.service import Act, service_of
from fhir_server.pages.browser import browser_key, browser_of, drop_browser, set_browser
from fhir_server.pages.page import SignInNeeded, redirect
from fhir_server.settings import Settings
from storage.authorization.opaque import new_opaque
from storage.authorization.people import signed_in_at
from storage.authorization.requests import rebind
from storage.authorization.sessions import (
    SEEN_SECONDS,
    Session,
    add_session,
    end_session,
    renew_browser,
    see_session,
    session_of,
    sign_in_again,
)
from storage.grants import instant
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.transaction import UnitOfWork

FRESH_SECONDS: Final = 300
"""How long ago someone may have signed in who changes how they sign in (AU-4)."""
PERSON: Final = "USER"
"""The role in audit records of what a person does before, or apart from, the choice of an organization."""
CODE: Final = "/sign-in/code"
SET_UP: Final = "/account/second-factor"


class Stage(StrEnum):
    """How far somebody has come with signing in."""

    CODE = "code"
    """The code of the second factor is still to be given."""
    SET_UP = "set-up"
    """Their role needs a second factor, and they have none yet."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Presence:
    """Whoever began to sign in in a browser."""

    session: Session
    user: User
    memberships: tuple[UserOrganization, ...]
    stage: Stage


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who is fully signed in: the second factor was given where it is required.

    `authenticated_at` is when they last gave their password, in seconds since 1970 UTC.
    """

    session_id: str
    user: User
    authenticated_at: int
    second_factor: bool


async def presence(request: Request) -> Presence | None:
    """Return who began to sign in in the browser that asks; None when nobody did, or it is over."""
    browser = browser_of(request)
    if browser is None:
        return None
    service = service_of(request)
    now, settings = service.seconds, service.settings
    async with service.database.platform_read() as connection:
        session = await session_of(connection, browser_key(browser), now, settings.session_idle_seconds)
        if session is None:
            return None
        user = await UserRepository(connection).find(session.user_id)
        if user is None or not user.is_active:
            return None
        memberships = await UserOrganizationRepository(connection).of_user(user.id)
    if session.last_seen_at <= now - SEEN_SECONDS:
        async with service.database.platform() as connection:
            await see_session(connection, session.id, now)
    roles = {each.role for each in memberships}
    return Presence(session, user, tuple(memberships), _stage(settings, session, user, roles))


def _stage(settings: Settings, session: Session, user: User, roles: Collection[str]) -> Stage:
    if user.mfa_enabled:
        return Stage.CODE if session.second_factor_at is None else Stage.DONE
    vouched_for = session.identity_provider is not None
    if not vouched_for and not settings.second_factor_roles.isdisjoint(roles):
        return Stage.SET_UP
    return Stage.DONE


async def signed_in(request: Request) -> SignedIn | None:
    """Return who is fully signed in in the browser that asks; None when nobody is."""
    found = await presence(request)
    return None if found is None or found.stage is not Stage.DONE else signed_in_as(found)


def signed_in_as(found: Presence) -> SignedIn:
    """Return somebody present as a person who is signed in."""
    session = found.session
    return SignedIn(session.id, found.user, session.authenticated_at, session.second_factor_at is not None)


async def require_signed_in(request: Request, *, fresh: bool = False, back: str | None = None) -> SignedIn:
    """Return who is fully signed in.

    Raises SignInNeeded when nobody is, and with `fresh` when that was more than five minutes ago. `back` is where to go
    on afterwards, by default the page that was asked for.
    """
    return signed_in_as(await require_presence(request, fresh=fresh, back=back))


async def require_presence(request: Request, *, fresh: bool = False, back: str | None = None) -> Presence:
    """Return who is fully signed in, with session and roles; raises SignInNeeded as `require_signed_in` does."""
    found = await presence(request)
    back = back or address_asked(request)
    if found is None:
        raise SignInNeeded(back)
    too_old = fresh and not is_fresh(request, found)
    if found.stage is not Stage.DONE or too_old:
        raise SignInNeeded(back, fresh=too_old)
    return found


def is_fresh(request: Request, found: Presence, seconds: int = FRESH_SECONDS) -> bool:
    """Say whether somebody signed in within the last five minutes, or within `seconds`."""
    return service_of(request).seconds - found.session.authenticated_at <= seconds


def address_asked(request: Request) -> str:
    """Return path and query of a request for a page; of a POST the path alone."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query and request.method in {"GET", "HEAD"} else request.url.path


async def start_session(
    request: Request, user: User, next_path: str, *, identity_provider: str | None = None
) -> Response:
    """Sign a person in whose password was right, or for whom `identity_provider` vouches; return where to go on.

    The browser gets a new cookie, and what it was in the middle of follows it (session fixation). Whoever was signed in
    in it before is signed out, unless it is the same person. `next_path` has to be a path of our own.

    Raises SignInNeeded for somebody who was disabled, or whose password was changed, since it was looked at.
    """
    service = service_of(request)
    settings, now = service.settings, service.seconds
    old, new = browser_of(request), new_opaque()
    async with service.acting(request, None) as unit:
        session = Session(
            id=unit.ids.uuid7(),
            browser=browser_key(new),
            user_id=user.id,
            authenticated_at=now,
            last_seen_at=now,
            expires_at=now + settings.session_seconds,
            identity_provider=identity_provider,
        )
        before = None
        if old is not None:
            before = await session_of(unit.connection, browser_key(old), now, settings.session_idle_seconds)
            await rebind(unit.connection, browser_key(old), session.browser)
        begun = await _put_in_place_of(unit, before, session)
        by_password = user.password_hash if identity_provider is None else None
        if not await signed_in_at(unit.connection, user.id, instant(now), password_hash=by_password):
            raise SignInNeeded(next_path, fresh=True)
        memberships = await UserOrganizationRepository(unit.connection).of_user(user.id)
        act = Act(user.id, PERSON, "session", "sign-in", ids=(begun,), purpose=identity_provider)
        await service.record(request, unit, act)
    stage = _stage(settings, session, user, {each.role for each in memberships})
    response = redirect(settings, next_step(stage, next_path))
    set_browser(response, settings, new)
    return response


async def _put_in_place_of(unit: UnitOfWork, before: Session | None, session: Session) -> str:
    """Begin a session where another one may be: the same person's goes on, another person's ends. Return its id."""
    if before is not None and before.user_id == session.user_id:
        if await sign_in_again(unit.connection, before, session):
            return before.id
    elif before is not None:
        await end_session(unit.connection, before.id, "another person signed in", session.authenticated_at)
    await add_session(unit.connection, session)
    return session.id


def next_step(stage: Stage, next_path: str) -> str:
    """Return where somebody goes on who has come to a stage."""
    match stage:
        case Stage.CODE:
            return f"{CODE}?{urlencode({'next': next_path})}"
        case Stage.SET_UP:
            return f"{SET_UP}?{urlencode({'next': next_path})}"
        case Stage.DONE:
            return next_path


async def renew(request: Request, unit: UnitOfWork, session: Session, *, second_factor_at: int | None = None) -> str:
    """Put a session under a new cookie, whose value is returned for `set_browser`; pending requests follow it.

    Raises SignInNeeded when the session ended meanwhile, so that nothing of the unit of work happens.
    """
    new = new_opaque()
    if not await renew_browser(unit.connection, session, browser_key(new), second_factor_at=second_factor_at):
        raise SignInNeeded(address_asked(request))
    await rebind(unit.connection, session.browser, browser_key(new))
    return new


async def sign_out(request: Request, next_path: str) -> Response:
    """End the session of the browser, with what was granted for as long as it lasts; forget the browser."""
    service = service_of(request)
    found = await presence(request)
    if found is not None:
        act = Act(found.user.id, PERSON, "session", "sign-out", ids=(found.session.id,))
        async with service.acting(request, None, act) as unit:
            await end_session(unit.connection, found.session.id, "signed out", service.seconds)
    response = redirect(service.settings, next_path)
    drop_browser(response, service.settings)
    return response
