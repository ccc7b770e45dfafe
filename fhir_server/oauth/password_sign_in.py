"""Who somebody is by e-mail address and password, with a wait after failures (security AU-1 to AU-3).

Someone unknown, a wrong password, an account that is disabled and one without a password are the same to whoever asks:
same work, same answer. Failures count per account, known or not, and per address; state is shared by all workers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from starlette.requests import Request

from fhir_server.oauth.backoff import failure_value
from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.pace import network_of
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.sessions import PERSON
from storage.authorization.failures import attempted, blocked_for, cleared, failed
from storage.authorization.people import replace_password
from storage.repositories.entities import User
from storage.repositories.platform import UserRepository

ACCOUNT: Final = "account"
ADDRESS: Final = "address"
FREE_FROM_ADDRESS: Final = 20
"""A ward signs in from one address; its mistakes are forgotten an hour after the last one."""
NOBODY: Final = "anonymous"


async def user_by_password(request: Request, email: str, password: str, interaction: str = "sign-in") -> User | None:
    """Return the active user whose password this is; None for everybody else.

    `interaction` is what a refusal is in the audit. Raises TooManyAttempts while the account or the address has to
    wait, and when too many passwords are being looked at already.
    """
    service = service_of(request)
    service.passwords.require_room()
    user = await _attempt(service, request, email)
    fits = await service.passwords.verify(user.password_hash if user else None, password)
    if user is None or not user.is_active or not fits:
        await _refuse(service, request, user, interaction)
        return None
    return await _accept(service, user, email, password)


async def _attempt(service: OAuthService, request: Request, email: str) -> User | None:
    """Return whoever has the address, active or not.

    The attempt counts as a failure until it is right: however many come at once, no more than are free are looked at.
    """
    now = service.seconds
    async with service.database.platform() as connection:
        wait = await blocked_for(connection, ADDRESS, _address(service, request), now)
        wait = wait or await attempted(connection, ACCOUNT, _account(service, email), now)
        if wait > 0:
            raise TooManyAttempts(wait)
        return await UserRepository(connection).by_email(email)


def _account(service: OAuthService, email: str) -> str:
    return failure_value(service, ACCOUNT, email.lower())


def _address(service: OAuthService, request: Request) -> str:
    return failure_value(service, ADDRESS, network_of(request))


async def _refuse(service: OAuthService, request: Request, user: User | None, interaction: str) -> None:
    async with service.database.platform() as connection:
        value = _address(service, request)
        await failed(connection, ADDRESS, value, service.seconds, free=FREE_FROM_ADDRESS)
    actor = user.id if user else NOBODY
    await service.note(request, None, Act(actor, PERSON, "session", interaction, outcome="denied", status=403))


async def _accept(service: OAuthService, user: User, email: str, password: str) -> User:
    """Forget the account's failures, and store a stronger hash where the present one is weak (AU-1).

    The user is returned with the hash of the password that was given.
    """
    stronger = await service.passwords.hash_again(user.password_hash or "", password)
    async with service.database.platform() as connection:
        await cleared(connection, ACCOUNT, _account(service, email))
        if stronger is not None and await replace_password(connection, user.id, user.password_hash, stronger):
            return replace(user, password_hash=stronger)
    return user
