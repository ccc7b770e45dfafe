"""The second factor of a person: given at sign-in, turned on and off (security AU-4)."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request

from fhir_server.oauth.backoff import failure_value
from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.one_time import (
    RECOVERY,
    TOTP_SECRETS,
    fitting_step,
    new_recovery_codes,
    recovery_hash,
    without,
)
from fhir_server.oauth.sealed import SealBroken, Sealer
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.sessions import PERSON, Presence, renew
from fhir_server.settings import Settings
from storage.authorization.failures import attempted, cleared
from storage.authorization.people import (
    drop_second_factor,
    replace_recovery_codes,
    set_second_factor,
    take_step,
)
from storage.authorization.sessions import end_session, forget_second_factor, try_second_factor
from storage.repositories.entities import User
from storage.transaction import UnitOfWork

FAILURES: Final = "code"
"""What wrong codes of an account are counted as, apart from wrong passwords: a right password does not clear them."""
log = structlog.get_logger("fhir_server.oauth")


class CodeRefused(Exception):
    """A code is not right, or was used before; or the second factor changed meanwhile."""


class NoTriesLeft(Exception):
    """This sign-in had all of its tries; it is over."""


def sealer(settings: Settings) -> Sealer:
    """Return what opens the secrets of authenticator apps."""
    return Sealer(settings.derive(TOTP_SECRETS), "users", "mfa_secret")


async def give_code(request: Request, found: Presence, typed: str) -> str:
    """Complete a sign-in by a one-time password or a recovery code; return the browser's new cookie.

    Raises CodeRefused, NoTriesLeft after five wrong ones, TooManyAttempts while the account has to wait, and
    SignInNeeded when the session ended meanwhile.
    """
    service, user = service_of(request), found.user
    value = failure_value(service, FAILURES, user.id)
    async with service.database.platform() as connection:
        tries_left = await try_second_factor(connection, found.session.id)
        wait = await attempted(connection, FAILURES, value, service.seconds) if tries_left else 0
        if wait > 0:
            raise TooManyAttempts(wait)  # and the try is not lost
        if not tries_left:
            await end_session(connection, found.session.id, "too many wrong codes", service.seconds)
    denied = Act(user.id, PERSON, "session", "second-factor", outcome="denied", status=403)
    if not tries_left:
        await service.note(request, None, denied)
        raise NoTriesLeft
    try:
        return await _complete(request, found, typed, value)
    except CodeRefused:
        await service.note(request, None, denied)
        raise


async def _complete(request: Request, found: Presence, typed: str, value: str) -> str:
    service = service_of(request)
    async with service.acting(request, None) as unit:
        interaction = await _spend(unit, service, found.user, typed)
        browser = await renew(request, unit, found.session, second_factor_at=service.seconds)
        await cleared(unit.connection, FAILURES, value)
        await service.record(request, unit, Act(found.user.id, PERSON, "session", interaction, ids=(found.session.id,)))
    return browser


async def _spend(unit: UnitOfWork, service: OAuthService, user: User, typed: str) -> str:
    """Use a code up and return what it was, in the audit's words; raises CodeRefused."""
    secret = _secret(service, user)
    step = None if secret is None else fitting_step(secret, typed, service.seconds)
    if step is not None:
        if not await take_step(unit.connection, user.id, step):
            raise CodeRefused
        return "second-factor"
    left = without(user.backup_codes, recovery_hash(service.settings.derive(RECOVERY), user.id, typed))
    if left is None or not await replace_recovery_codes(unit.connection, user.id, user.backup_codes, left):
        raise CodeRefused
    return "recovery-code"


def _secret(service: OAuthService, user: User) -> bytes | None:
    """Return the secret of the authenticator app; None where it cannot be read: recovery codes still serve."""
    try:
        return sealer(service.settings).open(user.id, user.mfa_secret or "")
    except SealBroken as error:
        log.warning("second_factor_unreadable", reason=str(error), remedy="fhir-server user mfa EMAIL --reset")
        return None


async def turn_on(request: Request, found: Presence, secret: bytes, typed: str) -> tuple[str, list[str]]:
    """Turn the second factor on, proved by a code of the new secret; return the new cookie and the recovery codes.

    Raises CodeRefused, also when it was turned on meanwhile, and SignInNeeded when the session ended meanwhile.
    """
    service, user = service_of(request), found.user
    step = fitting_step(secret, typed, service.seconds)
    if step is None:
        raise CodeRefused
    codes = new_recovery_codes()
    sealed = sealer(service.settings).seal(user.id, secret)
    act = Act(user.id, PERSON, "user", "second-factor-on", ids=(user.id,))
    async with service.acting(request, None, act) as unit:
        if not await set_second_factor(unit.connection, user.id, sealed, step, _hashes(service, user, codes)):
            raise CodeRefused
        browser = await renew(request, unit, found.session, second_factor_at=service.seconds)
    return browser, codes


async def turn_off(request: Request, found: Presence) -> str:
    """Turn the second factor off; return the browser's new cookie. Raises SignInNeeded as `turn_on` does."""
    service, user = service_of(request), found.user
    act = Act(user.id, PERSON, "user", "second-factor-off", ids=(user.id,))
    async with service.acting(request, None, act) as unit:
        await drop_second_factor(unit.connection, user.id)
        await forget_second_factor(unit.connection, found.session.id)
        return await renew(request, unit, found.session)


async def new_codes(request: Request, found: Presence) -> list[str]:
    """Give a person new recovery codes in the place of the old ones; raises CodeRefused when they changed meanwhile."""
    service, user = service_of(request), found.user
    codes = new_recovery_codes()
    act = Act(user.id, PERSON, "user", "recovery-codes", ids=(user.id,))
    async with service.acting(request, None, act) as unit:
        after = _hashes(service, user, codes)
        if not await replace_recovery_codes(unit.connection, user.id, user.backup_codes, after):
            raise CodeRefused
    return codes


def _hashes(service: OAuthService, user: User, codes: list[str]) -> list[str]:
    key = service.settings.derive(RECOVERY)
    return [recovery_hash(key, user.id, code) for code in codes]
