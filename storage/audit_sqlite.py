"""Appends audit records of reads on SQLite: a file and a thread of their own, so they never wait for the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from storage.audit import AuditKey, AuditRecord, Row, column_names
from storage.clock import IdSource, epoch_microseconds
from storage.errors import AuditUnavailable

PRAGMAS: Final = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA busy_timeout=5000")
_INSERT: Final = f"INSERT INTO rbac_logs ({', '.join(column_names())}) VALUES ({', '.join('?' * len(column_names()))})"  # noqa: S608 our own names
_LATEST: Final = "SELECT coalesce(max(id), 0) FROM rbac_logs WHERE organization_id = ?"


def audit_path(url: str) -> Path:
    """Return the file of the audit of reads, beside the database of a SQLite URL."""
    database = Path(str(make_url(url).database))
    return database.with_name(f"{database.stem}.audit{database.suffix or '.sqlite'}")


class SqliteAuditStore:
    """The second file. It must have been made (`storage.schema.create_audit_file`)."""

    def __init__(self, path: Path, key: AuditKey, *, ids: IdSource | None = None) -> None:
        self._path = path
        self._key = key
        self._ids = ids or IdSource()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._connection: sqlite3.Connection | None = None

    def prepare(self, organization_id: str) -> None:
        """Do nothing: there is no other process to send ahead to."""

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Commit the records in one transaction; raises AuditUnavailable."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, records)
        except sqlite3.Error:
            raise AuditUnavailable("the audit trail cannot be written") from None

    def _commit(self, records: Sequence[AuditRecord]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, self._rows(connection, records))
            connection.execute("COMMIT")
        except sqlite3.Error:
            self._connection = None
            connection.close()  # rolls back
            raise

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a file that is not there is an error, not a new and empty one
        connection = sqlite3.connect(f"file:{self._path}?mode=rw", uri=True, isolation_level=None, timeout=5)
        for pragma in PRAGMAS:
            connection.execute(pragma)
        return connection

    def _rows(self, connection: sqlite3.Connection, records: Sequence[AuditRecord]) -> list[Row]:
        """Number the records above what the file holds; the transaction keeps other writers out meanwhile."""
        at = epoch_microseconds()
        latest: dict[str, int] = {}
        rows = []
        for record in records:
            organization = record.organization_id
            if organization not in latest:
                ((latest[organization],),) = connection.execute(_LATEST, (organization,))
            latest[organization] = max(latest[organization] + 1, self._ids.surrogate())
            rows.append(self._key.row(record, latest[organization], at))
        return rows

    async def close(self) -> None:
        """Close the file and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
