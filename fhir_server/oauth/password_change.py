"""A person's new password, and what ends with the old one (security AU-1, AU-5; `smart.md` V3)."""

from __future__ import annotations

from starlette.requests import Request

from fhir_server.oauth.password_sign_in import user_by_password
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.sessions import PERSON, Presence, renew
from storage.authorization.people import replace_password
from storage.authorization.sessions import end_sessions_of
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke


class WrongPassword(Exception):
    """The present password is not the one that was given."""


async def change_password(request: Request, found: Presence, present: str, new: str) -> str:
    """Set a new password; return the browser's new cookie.

    The person's other sessions end, what was granted for as long as a session lasts, and every access token made until
    now; apps that may keep access get new ones. Raises WrongPassword, PasswordRefused, TooManyAttempts while the
    account has to wait, and SignInNeeded when the session ended meanwhile.
    """
    service, user = service_of(request), found.user
    fitting = await user_by_password(request, user.email, present, "password")
    if fitting is None or fitting.id != user.id:
        raise WrongPassword
    hashed = await service.passwords.hash(new, owner=user.email)
    now = service.seconds
    act = Act(user.id, PERSON, "user", "password", ids=(user.id,))
    async with service.acting(request, None, act) as unit:
        if not await replace_password(unit.connection, user.id, fitting.password_hash, hashed):
            raise WrongPassword
        await end_sessions_of(unit.connection, user.id, "password changed", now, but=found.session.id)
        until = instant(now + LONGEST_TOKEN_SECONDS)
        await revoke(unit.connection, RevocationKind.USER, user.id, instant(now), until)
        return await renew(request, unit, found.session)
