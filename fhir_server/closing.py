"""Days of wearables that are over are closed in the background, by whichever worker comes to it first."""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

import structlog

from storage.engine import Database
from storage.errors import StorageError
from storage.telemetry.closing import close_days

CLOSING_SECONDS: Final = 600.0
"""How often it is looked for days that are over; they have been for hours."""

_log = structlog.get_logger("fhir_server")


async def keep_days_closed(database: Database) -> NoReturn:
    """Close days that are over, now and then; what goes wrong only delays the next round."""
    while True:
        await asyncio.sleep(CLOSING_SECONDS)
        try:
            closed = await close_days(database)
        except StorageError as error:
            _log.info("days_wait", error=type(error).__name__)
        else:
            if closed:
                _log.info("days_closed", count=closed)
