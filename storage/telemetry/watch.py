"""Hearing that statistics of days changed, whoever changed them: one watch per worker (`signals.py`)."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final, NoReturn, Protocol

import psycopg
from psycopg import sql

from storage.engine import Database, PostgresDatabase, SqliteDatabase
from storage.telemetry.signals import CHANNEL, announced
from storage.triggers import CHANNEL as OUTBOX_CHANNEL

HEARTBEAT_SECONDS: Final = 5.0
"""How often the connection is asked whether it is still there, and how long it may take to say so."""
AGAIN_SECONDS: Final = 1.0

Tell = Callable[[str | None, tuple[str, ...]], None]
"""Is told of an organization and its customers; nobody: all of it; no organization: everything."""


class Watch(Protocol):
    """Hears of changes, and knows whether it would."""

    @property
    def is_listening(self) -> bool:
        """Whether what changes now will be heard of; asking may tell of changes that were not told yet."""
        ...

    async def run(self) -> None:
        """Listen until cancelled."""
        ...


def watch_of(database: Database, tell: Tell) -> Watch:
    """Return the watch of a database; raises TypeError for one of neither engine."""
    if isinstance(database, PostgresDatabase):
        return PostgresWatch(database.conninfo, tell)
    if isinstance(database, SqliteDatabase):
        return SqliteWatch(database, tell)
    raise TypeError("neither PostgreSQL nor SQLite")


class PostgresWatch:
    """Listens on a connection of its own. When that is lost everything may have changed, until it listens again."""

    def __init__(self, conninfo: str, tell: Tell) -> None:
        self._conninfo = conninfo
        self._tell = tell
        self._is_listening = False

    @property
    def is_listening(self) -> bool:
        """Whether the connection listens."""
        return self._is_listening

    async def run(self) -> NoReturn:
        """Listen, again after every loss."""
        while True:
            try:
                with suppress(psycopg.Error, OSError, TimeoutError):
                    await self._listen()
            finally:
                self._is_listening = False
                self._tell(None, ())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            for channel in (CHANNEL, OUTBOX_CHANNEL):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self._is_listening = True
            while True:
                async for notification in connection.notifies(timeout=HEARTBEAT_SECONDS):
                    self._hear(notification.channel, notification.payload)
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await connection.execute("SELECT 1")

    def _hear(self, channel: str, payload: str) -> None:
        if channel == OUTBOX_CHANNEL:  # a foreign writer; whose rows it changed is not told
            self._tell(None, ())
            return
        try:
            self._tell(*announced(payload))
        except (ValueError, TypeError):  # anybody who may connect may notify
            self._tell(None, ())


class SqliteWatch:
    """Asks the file, whenever somebody wants to know, whether another connection wrote (sqlite.org, data_version)."""

    def __init__(self, database: SqliteDatabase, tell: Tell) -> None:
        self._path = database.path
        self._tell = tell
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None

    @property
    def is_listening(self) -> bool:
        """Whether the file can be asked; what was written since the last time is told before this returns."""
        if self._connection is None:
            return False
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._version = version
            self._tell(None, ())
        return True

    async def run(self) -> NoReturn:
        """Keep the connection open that is asked."""
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            self._connection = connection
            try:
                await asyncio.Event().wait()
                raise AssertionError("nobody sets the event")
            finally:
                self._connection = None
                self._tell(None, ())
