"""What the audit trail needs every hour: partitions of the next months, and its heads outside the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from fhir_server.background import running
from fhir_server.settings import Settings
from storage.audit import AuditKey
from storage.audit_heads import Head, append_heads
from storage.audit_partitions import make_months
from storage.audit_seals import MAIN, Trail, newest_seal, open_trails
from storage.engine import Database
from storage.errors import StorageError
from storage.installation import trail_ids

LOOK_SECONDS: Final = 30.0
"""How often to look whether a new hour has begun."""

_log = structlog.get_logger("fhir_server.audit")


@asynccontextmanager
async def running_audit_upkeep(
    database: Database, settings: Settings, key: AuditKey, now: Callable[[], float], *, every: float = LOOK_SECONDS
) -> AsyncIterator[None]:
    """Make months before the first record is written, then keep them and the heads up in the background.

    `now` in seconds since 1970. What fails is told in the log and tried again in the next hour.
    """
    trails = open_trails(settings.database_url, role=settings.database_role or None)
    await _make_months(trails)

    async def keep() -> None:
        done = None
        while True:
            hour = int(now()) // 3600
            if hour != done:
                await _make_months(trails)
                await _note_heads(database, trails, settings.audit_heads, key, now())
                done = hour
            await asyncio.sleep(every)

    async with running(keep(), "audit upkeep"):
        yield


async def _make_months(trails: Sequence[Trail]) -> None:
    for trail in trails:
        if trail.name != MAIN:
            continue
        try:
            blocked = await asyncio.to_thread(make_months, trail)
        except StorageError as error:
            _log.warning("audit_months_not_made", reason=str(error))
        else:
            if blocked:
                _log.warning("audit_months_in_default_partition", months=blocked, remedy="see docs/security.md")


async def _note_heads(
    database: Database, trails: Sequence[Trail], path: Path | None, key: AuditKey, now: float
) -> None:
    if path is None:
        return
    try:
        organizations = await trail_ids(database)
        moment = datetime.fromtimestamp(now, UTC)
        await asyncio.to_thread(_append, path, trails, organizations, key, moment)
    except (StorageError, OSError) as error:
        _log.warning("audit_heads_not_written", reason=type(error).__name__)


def _append(path: Path, trails: Sequence[Trail], organizations: Sequence[str], key: AuditKey, moment: datetime) -> None:
    heads = [
        Head(organization, trail.name, *found)
        for trail in trails
        for organization in organizations
        if (found := newest_seal(trail, organization)) is not None
    ]
    append_heads(path, heads, key, moment)
