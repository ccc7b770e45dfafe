"""What rate limits count, on SQLite: a file and a thread of their own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from sqlalchemy import make_url
from sqlalchemy.schema import CreateTable

from storage.clock import epoch_milliseconds
from storage.errors import DatabaseUnavailable
from storage.rate_windows import Answer, Ask, Window
from storage.sql import DIALECTS
from storage.tables.limits import rate_limit_hits

PRAGMAS: Final = ("PRAGMA busy_timeout=2000", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF")
_CREATE: Final = str(CreateTable(rate_limit_hits, if_not_exists=True).compile(dialect=DIALECTS["sqlite"]))
_READ: Final = "SELECT instants, totals FROM rate_limit_hits WHERE key = ?"
_WRITE: Final = (
    "INSERT OR REPLACE INTO rate_limit_hits (key, most, span, instants, totals, granted, expires_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_CLEAN: Final = "DELETE FROM rate_limit_hits WHERE expires_at < ?"
_numbers: Final = msgspec.json.Decoder(list[int])
Argument = TypeVar("Argument")
Result = TypeVar("Result")


def limits_path(url: str) -> Path:
    """Return the file of the rate limits, beside the database of a SQLite URL."""
    database = Path(str(make_url(url).database))
    return database.with_name(f"{database.stem}.limits{database.suffix or '.sqlite'}")


class SqliteRateLimits:
    """A hit waits neither for the writer of the database nor for the disk: what is lost with the power is no loss.

    The file is made when it is not there; it may be deleted while no worker runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="limits")
        self._connection: sqlite3.Connection | None = None

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """Count hits of keys that are all different, in one transaction; raises DatabaseUnavailable."""
        return await self._run(_take, asks)

    async def clean(self) -> None:
        """Delete what counts no more; raises DatabaseUnavailable."""
        await self._run(_clean, None)

    async def close(self) -> None:
        """Close the file and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection, Argument], Result], argument: Argument) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_transaction, work, argument)
        except sqlite3.Error:
            raise DatabaseUnavailable from None

    def _in_transaction(self, work: Callable[[sqlite3.Connection, Argument], Result], argument: Argument) -> Result:
        if self._connection is None:
            self._connection = _connect(self._path)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            done = work(self._connection, argument)
            self._connection.execute("COMMIT")
        except BaseException:
            self._close()  # rolls back
            raise
        return done

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in (*PRAGMAS, _CREATE):
            connection.execute(statement)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _take(connection: sqlite3.Connection, asks: Sequence[Ask]) -> list[Answer]:
    now = epoch_milliseconds()  # within the transaction: nobody counts between this instant and the end
    answers = []
    for ask in asks:
        row = connection.execute(_READ, (ask.key,)).fetchone()
        window = Window(_numbers.decode(row[0]), _numbers.decode(row[1])) if row else Window.empty()
        answer = window.take(ask, now if ask.now is None else ask.now)
        kept = [msgspec.json.encode(each).decode() for each in (window.instants, window.totals)]
        connection.execute(_WRITE, (ask.key, ask.limit, ask.window, *kept, answer.granted, window.expires_at))
        answers.append(answer)
    return answers


def _clean(connection: sqlite3.Connection, _nothing: None) -> None:
    connection.execute(_CLEAN, (epoch_milliseconds(),))
