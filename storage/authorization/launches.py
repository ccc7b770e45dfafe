"""Launch contexts that an EHR session minted: one use, five minutes, one client, one person (security OA-13, L1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.tables.authorization import launches

LAUNCH_SECONDS: Final = 300
"""How long an app may take to come for a launch."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One row of `launches`; `id` is the SHA-256 of the launch id, instants are seconds since 1970 UTC.

    `context` holds what the token response says beside patient and encounter (`fhirContext`, `intent`,
    `need_patient_banner`, `smart_style_url`, `tenant`).
    """

    id: str
    client_id: str
    user_id: str
    organization_id: str
    created_at: int
    expires_at: int
    patient: str | None = None
    encounter: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    used_at: int | None = None


_NAMES: Final = tuple(each.name for each in fields(Launch))
_COLUMNS: Final = tuple(launches.c[name] for name in _NAMES)


async def add_launch(connection: AsyncConnection, launch: Launch) -> None:
    """Insert a launch."""
    await connection.execute(insert(launches).values({name: getattr(launch, name) for name in _NAMES}))


async def use_launch(connection: AsyncConnection, launch_id: str, client_id: str, now: int) -> Launch | None:
    """Spend a launch, in one step; None for one that is unknown, expired, used, or another client's."""
    row = (
        await connection.execute(
            update(launches)
            .where(
                launches.c.id == launch_id,
                launches.c.client_id == client_id,
                launches.c.used_at.is_(None),
                launches.c.expires_at > now,
            )
            .values(used_at=now)
            .returning(*_COLUMNS)
        )
    ).first()
    return None if row is None else Launch(**row._mapping)  # noqa: SLF001 the public name of a row's mapping


async def find_launch(connection: AsyncConnection, launch_id: str) -> Launch | None:
    """Return a launch, used or not; None when there is none."""
    row = (await connection.execute(select(*_COLUMNS).where(launches.c.id == launch_id))).first()
    return None if row is None else Launch(**row._mapping)  # noqa: SLF001 the public name of a row's mapping
