"""Accounts elsewhere that a person signs in with: rows of `social_accounts`, and the people behind them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import UserOrganizationRepository, UserRepository
from storage.tables.platform import organizations, social_accounts


@dataclass(frozen=True, slots=True)
class Account:
    """An account at an issuer: its name here, the person's id there, and the e-mail address that it tells."""

    provider: str
    subject: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """Whoever is linked with an account, and what they are in the organization asked for."""

    organization_is_active: bool
    user: User | None = None
    membership: UserOrganization | None = None
    patients: tuple[str, ...] = ()


async def person_of_account(connection: AsyncConnection, account: Account, organization_id: str) -> KnownPerson:
    """Return who is linked with an account; `user` is None for nobody, `membership` may be one that ended."""
    is_active = bool(
        await connection.scalar(select(organizations.c.is_active).where(organizations.c.id == organization_id))
    )
    user = await user_of_account(connection, account)
    if user is None:
        return KnownPerson(is_active)
    memberships = await UserOrganizationRepository(connection).of_user(user.id, active=False)
    membership = next((each for each in memberships if each.organization_id == organization_id), None)
    return KnownPerson(
        is_active, user, membership, await UserRepository(connection).patients_of(user.id, organization_id)
    )


async def user_of_account(connection: AsyncConnection, account: Account) -> User | None:
    """Return the user who is linked with an account, active or not; None when nobody is."""
    own = (
        social_accounts.c.provider == account.provider,
        social_accounts.c.provider_account_id == account.subject,
    )
    user_id = await connection.scalar(select(social_accounts.c.user_id).where(*own))
    return None if user_id is None else await UserRepository(connection).find(user_id)


async def link_account(connection: AsyncConnection, row_id: str, account: Account, user_id: str) -> bool:
    """Link an account with a user; False when it is linked already, be it with somebody else."""
    made = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgresql
    linked = await connection.execute(
        made(social_accounts)
        .values(
            id=row_id,
            user_id=user_id,
            provider=account.provider,
            provider_account_id=account.subject,
            email=account.email,
        )
        .on_conflict_do_nothing(index_elements=["provider", "provider_account_id"])
        .returning(social_accounts.c.id)
    )
    return linked.first() is not None


async def unlink_accounts(connection: AsyncConnection, user_id: str, provider: str) -> bool:
    """End a user's links with an issuer; False when there was none."""
    own = (social_accounts.c.user_id == user_id, social_accounts.c.provider == provider)
    ended = await connection.execute(delete(social_accounts).where(*own).returning(social_accounts.c.id))
    return ended.first() is not None
