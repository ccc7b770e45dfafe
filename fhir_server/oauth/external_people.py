"""Who somebody is here whom another issuer vouches for: linked by its id, or, where configured, by e-mail or anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from fhir_server.oauth.external import account_in
from fhir_server.oauth.external_sign_in import ExternalSignInFailed
from fhir_server.oauth.jose import NotVerified
from fhir_server.oauth.providers import IdentityProvider
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.sessions import PERSON
from storage.authorization.linked_accounts import Account, link_account, user_of_account
from storage.authorization.sessions import end_grants_of, end_sessions_of
from storage.grants import LONGEST_TOKEN_SECONDS, RevocationKind, instant, revoke
from storage.repositories.entities import User, UserOrganization
from storage.repositories.errors import ValueTaken
from storage.repositories.platform import OrganizationRepository, UserOrganizationRepository, UserRepository
from storage.transaction import UnitOfWork


async def person_for(request: Request, provider: IdentityProvider, claims: Mapping[str, Any]) -> User:
    """Return the active user whom verified claims are about, linked or created now where that is configured.

    An e-mail address counts only if the issuer says that it was verified. Raises ExternalSignInFailed for whoever is
    not known here, or disabled.
    """
    service = service_of(request)
    try:
        account = account_in(provider, claims)
    except NotVerified:
        raise ExternalSignInFailed("no subject") from None
    async with service.database.platform_read() as connection:
        user = await user_of_account(connection, account)
        namesake = await UserRepository(connection).by_email(account.email) if account.email else None
    verified = provider.said(claims, "email_verified") is True and account.email is not None
    if user is None and verified and namesake is not None and provider.link_by_email:
        user = await _linked(request, service, account, namesake)
    elif user is None and verified and namesake is None and provider.create:
        user = await _created(request, service, provider, account, claims)
    if user is None:
        raise ExternalSignInFailed("unknown")
    if not user.is_active:
        raise ExternalSignInFailed("disabled")
    if provider.create:
        await _follow_role(request, service, provider, user, claims)
    return user


async def _follow_role(
    request: Request, service: OAuthService, provider: IdentityProvider, user: User, claims: Mapping[str, Any]
) -> None:
    """Give a user the role that the issuer tells now: where it says who comes in, it says so each time.

    What the former role had granted ends. Raises ExternalSignInFailed when the issuer tells no role any more, and for
    a role that was taken away here.
    """
    role, organization_id = _told_role(provider, claims)
    async with service.database.platform_read() as connection:
        memberships = await UserOrganizationRepository(connection).of_user(user.id, active=False)
    known = next((each for each in memberships if each.organization_id == organization_id), None)
    if known is not None and not known.is_active:
        raise ExternalSignInFailed("disabled")
    if known is not None and known.role == role:
        return
    act = Act(user.id, PERSON, "user", "role", ids=(user.id,), purpose=provider.name)
    async with service.acting(request, organization_id, act) as unit:
        await _check_organization(unit)
        repository = UserOrganizationRepository(unit.connection)
        if known is None:
            await repository.insert(UserOrganization(unit.ids.uuid7(), user.id, organization_id, role))
            return
        await repository.update(replace(known, role=role))
        now = service.seconds
        await end_sessions_of(unit.connection, user.id, "role changed", now)
        await end_grants_of(unit.connection, user.id, "role changed", now, organization_id=organization_id)
        until = instant(now + LONGEST_TOKEN_SECONDS)
        await revoke(unit.connection, RevocationKind.USER, user.id, instant(now), until)


def _told_role(provider: IdentityProvider, claims: Mapping[str, Any]) -> tuple[str, str]:
    """Return role and organization that the issuer tells; raises ExternalSignInFailed where it tells none."""
    role, organization_id = provider.role_in(claims), provider.organization_in(claims)
    if role is None or organization_id is None:
        raise ExternalSignInFailed("no role")
    return role.value, organization_id


async def _check_organization(unit: UnitOfWork) -> None:
    organization = await OrganizationRepository(unit.connection).find(unit.organization_id)
    if organization is None or not organization.is_active:
        raise ExternalSignInFailed("no organization")


async def _linked(request: Request, service: OAuthService, account: Account, user: User) -> User | None:
    if not user.is_active:
        return user
    act = Act(user.id, PERSON, "user", "link", ids=(user.id,), purpose=account.provider)
    async with service.acting(request, None, act) as unit:
        if not await link_account(unit.connection, unit.ids.uuid7(), account, user.id):
            return await user_of_account(unit.connection, account)  # at the same instant, by another tab
    return user


async def _created(
    request: Request, service: OAuthService, provider: IdentityProvider, account: Account, claims: Mapping[str, Any]
) -> User:
    """Make a user with the role that the issuer tells; raises ExternalSignInFailed where it tells none."""
    role, organization_id = _told_role(provider, claims)
    async with service.acting(request, organization_id) as unit:
        await _check_organization(unit)
        user = await _insert(unit, account, _name(provider, claims), role)
        act = Act(user.id, PERSON, "user", "create", ids=(user.id,), purpose=provider.name)
        await service.record(request, unit, act)
    return user


async def _insert(unit: UnitOfWork, account: Account, name: str | None, role: str) -> User:
    user = User(unit.ids.uuid7(), str(account.email), name=name, email_verified=True)
    membership = UserOrganization(unit.ids.uuid7(), user.id, unit.organization_id, role)
    try:
        stored = await UserRepository(unit.connection).insert(user)
    except ValueTaken:
        raise ExternalSignInFailed("address taken") from None
    await UserOrganizationRepository(unit.connection).insert(membership)
    if not await link_account(unit.connection, unit.ids.uuid7(), account, user.id):
        raise ExternalSignInFailed("linked meanwhile")
    return stored


def _name(provider: IdentityProvider, claims: Mapping[str, Any]) -> str | None:
    said = provider.said(claims, "name")
    return said.strip()[:200] or None if isinstance(said, str) and said.isprintable() else None
