"""What has become of a grant and of those whom it concerns, in one statement (smart.md F8, security OA-8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import and_, bindparam, exists, select

from storage.authorization.grants import Grant
from storage.codec import decode
from storage.driver import Row
from storage.engine import Database
from storage.sql import Prepared, prepare
from storage.tables.authorization import authorization_codes, break_glass, grants, refresh_tokens, sessions
from storage.tables.platform import organizations, user_organizations, user_patients, users

_GRANT: Final = tuple(each.name for each in fields(Grant))


class By(StrEnum):
    """What a grant is found by; each is also the name of the statement's parameter."""

    GRANT = "grant_id"
    CODE = "code"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 a word, no secret


@dataclass(frozen=True, slots=True)
class Standing:
    """A grant and the present state of what it rests on; instants in seconds since 1970 UTC.

    `user_is_active` is None where the grant has no user. `role` is what the user is in the organization now, None for
    nothing. `acts_for_patient` says that the user may act for the patient in context. `session_until` and
    `session_seen_at` are None where the grant has no session, or where the session is gone; `emergency_until` likewise.
    """

    grant: Grant
    organization_is_active: bool
    user_is_active: bool | None
    role: str | None
    acts_for_patient: bool
    session_ended_at: int | None
    session_until: int | None
    session_seen_at: int | None
    emergency_ended_at: int | None
    emergency_until: int | None


@lru_cache
def standing_statement(dialect: str, by: By) -> Prepared:
    """Return the statement that finds a grant by its id, or by the digest of a code or refresh token of it."""
    member = user_organizations
    source = (
        grants.join(organizations, organizations.c.id == grants.c.organization_id)
        .outerjoin(users, users.c.id == grants.c.user_id)
        .outerjoin(
            member,
            and_(
                member.c.user_id == grants.c.user_id,
                member.c.organization_id == grants.c.organization_id,
                member.c.is_active,
            ),
        )
        .outerjoin(sessions, sessions.c.id == grants.c.session_id)
        .outerjoin(break_glass, break_glass.c.id == grants.c.break_glass_id)
    )
    acts_for_patient = exists().where(
        user_patients.c.user_id == grants.c.user_id,
        user_patients.c.organization_id == grants.c.organization_id,
        user_patients.c.patient_id == grants.c.patient,
    )
    columns = (
        *(grants.c[name] for name in _GRANT),
        organizations.c.is_active,
        users.c.is_active,
        member.c.role,
        acts_for_patient,
        sessions.c.ended_at,
        sessions.c.expires_at,
        sessions.c.last_seen_at,
        break_glass.c.ended_at,
        break_glass.c.expires_at,
    )
    found = {
        By.GRANT: bindparam(By.GRANT.value),
        By.CODE: select(authorization_codes.c.grant_id)
        .where(authorization_codes.c.code == bindparam(By.CODE.value))
        .scalar_subquery(),
        By.REFRESH_TOKEN: select(refresh_tokens.c.grant_id)
        .where(refresh_tokens.c.token == bindparam(By.REFRESH_TOKEN.value))
        .scalar_subquery(),
    }
    return prepare(select(*columns).select_from(source).where(grants.c.id == found[by]), dialect)


def standing_of(rows: list[Row]) -> Standing | None:
    """Return what the statement found; None when there is no such grant."""
    if not rows:
        return None
    values: Mapping[str, Any] = dict(zip(_GRANT, rows[0], strict=False))
    organization, user, role, patient, *instants = rows[0][len(_GRANT) :]
    context = values["context"]
    grant = Grant(**{**values, "context": decode(context.encode()) if context else {}})
    return Standing(grant, bool(organization), None if user is None else bool(user), role, bool(patient), *instants)


async def find_standing(database: Database, grant_id: str) -> Standing | None:
    """Return a grant and what has become of it; None when there is none. Raises DatabaseUnavailable."""
    async with database.read("") as driver:  # tables outside tenancy need no context
        return standing_of(await driver.fetch(standing_statement(driver.dialect, By.GRANT), {By.GRANT.value: grant_id}))
