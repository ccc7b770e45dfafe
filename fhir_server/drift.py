"""Drift while the server runs: looked for at start and every now and then, told in the log and at /readyz."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog

from fhir_server.background import running
from storage.drift.check import check_drift, check_schema, resume
from storage.drift.findings import Finding
from storage.engine import Database
from storage.errors import StorageError
from storage.installation import organization_ids

WATCH_SECONDS: Final = 30.0
"""How soon a mapper is stopped, or runs again, after the schema was changed under a running server."""
START_SAMPLE: Final = 10
"""Rows of each table and organization that are looked at after the start."""
START_ORGANIZATIONS: Final = 5
"""Of how many organizations: requests wait meanwhile. `fhir-server drift` looks at all of them."""

_log = structlog.get_logger("fhir_server")


class DriftWatch:
    """What drift there is, as last looked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._schema: list[Finding] = []
        self._rows: list[Finding] = []

    @property
    def findings(self) -> list[Finding]:
        """What has to be done something about."""
        return [each for each in (*self._schema, *self._rows) if each.is_drift]

    async def look(self) -> bool:
        """Compare the schema, put in force what follows, and log what is new; returns whether the schema changed.

        Raises DatabaseUnavailable.
        """
        before, self._schema = self._schema, await check_schema(self._database)
        changed = before != self._schema
        _tell([each for each in self._schema if each not in before])
        if before and changed:
            _log.info("drift_changed", stopped=sorted(self._database.stops.mappers))
        return changed

    async def look_at_rows(self) -> None:
        """Compare a small sample of rows, and let rows be shown that failed while their mapper was stopped."""
        organizations = await organization_ids(self._database)
        found = await check_drift(self._database, organizations[:START_ORGANIZATIONS], START_SAMPLE)
        self._rows = [each for each in found if each.organization is not None]
        _tell(self._rows)
        await resume(self._database, organizations)

    async def run(self) -> None:
        """Look at rows once, and at the schema every now and then, until cancelled; a lost connection delays it."""
        with suppress(StorageError):
            await self.look_at_rows()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            with suppress(StorageError):
                if await self.look():
                    await resume(self._database, await organization_ids(self._database))


def _tell(findings: Sequence[Finding]) -> None:
    for each in findings:
        if each.is_drift:
            facts: dict[str, Any] = {name: value for name, value in each.to_json().items() if value}
            _log.warning("drift", **facts)


@asynccontextmanager
async def watched_drift(database: Database) -> AsyncIterator[DriftWatch]:
    """Look for drift before anything is served, and go on looking in the background."""
    watch = DriftWatch(database)
    await watch.look()
    async with running(watch.run(), "drift"):
        yield watch
