"""Reading statements on libpq itself, through psycopg's own binding (design Decision 9).

A cursor of psycopg costs more than the read it makes (`storage/libpq.py`). Measured, one process, four concurrent
readers of Observations by id, medians of four alternating rounds: 20,400 reads/s and 19 µs of CPU each, through pool
and cursors 8,300 and 72 µs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from storage.libpq import (
    BINARY,
    GOOD,
    Row,
    StatementNames,
    WireStatement,
    connect,
    rows_of,
    wake,
)


class Wire:
    """A connection for one statement at a time. `broken` once it was lost, or left in the middle of a statement."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.broken = False
        self._connection = connection
        self._libpq = connection.pgconn
        self._libpq.nonblocking = 1
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[pq.abc.PGresult] | None = None
        self._last: pq.abc.PGresult | None = None
        self._names = StatementNames(b"w")
        self._socket = self._libpq.socket  # which libpq does not tell any more once the connection is lost
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def connect(cls, conninfo: str, options: str) -> Wire:
        """Return a new connection; raises psycopg.OperationalError."""
        return cls(await connect(conninfo, options))

    async def fetch(self, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        """Return all rows; raises psycopg.Error. The statement is prepared at its first use."""
        try:
            name = self._names.of(statement.sql)
            if name is None:
                name = await self._prepare(statement.sql)
            self._libpq.send_query_prepared(name, *statement.parameters(values), BINARY)
            return rows_of(await self._result())
        except BaseException:
            if self._libpq.transaction_status != pq.TransactionStatus.IDLE:
                await self.close()
            raise

    async def _prepare(self, sql: bytes) -> bytes:
        """Prepare a statement and return its name; the one that was not used for longest makes room."""
        oldest = self._names.make_room(sql)
        if oldest is not None:
            self._libpq.send_query(b"DEALLOCATE " + oldest[1])
            await self._result()
        name = self._names.fresh(sql)
        self._libpq.send_prepare(name, sql)
        await self._result()
        self._names.keep(sql, name)
        return name

    async def _result(self) -> pq.abc.PGresult:
        """Send what is queued and wait for the answer."""
        self._answer = self._loop.create_future()
        if self._libpq.flush():
            await self._flushed()
        try:
            return await self._answer
        finally:
            self._answer = None

    async def _flushed(self) -> None:
        """Wait until a large statement is sent."""
        while True:
            ready = self._loop.create_future()
            self._loop.add_writer(self._socket, wake, ready)
            try:
                await ready
            finally:
                self._loop.remove_writer(self._socket)
            if not self._libpq.flush():
                return

    def _readable(self) -> None:
        """Take in what the server sent; called by the event loop."""
        try:
            self._libpq.consume_input()
            waiting = self._answer
            if waiting is None or waiting.done():
                return  # a notice, or an answer that nobody waits for any more
            self._take(waiting)
        except psycopg.OperationalError as error:
            self._lost(error)

    def _take(self, waiting: asyncio.Future[pq.abc.PGresult]) -> None:
        """Take the results that have arrived; None after them ends the statement (libpq-async)."""
        while not self._libpq.is_busy():
            following = self._libpq.get_result()
            if following is not None:
                self._last = following
                continue
            result, self._last = self._last, None
            if result is None:
                raise psycopg.OperationalError("the server gave no answer")
            if result.status in GOOD:
                waiting.set_result(result)
            else:
                waiting.set_exception(error_from_result(result))
            return

    def _lost(self, error: psycopg.OperationalError) -> None:
        self.broken = True
        self._loop.remove_reader(self._socket)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def close(self) -> None:
        """Close the connection."""
        if not self.broken:
            self._loop.remove_reader(self._socket)
        self.broken = True
        await self._connection.close()


def is_lost(error: psycopg.OperationalError) -> bool:
    """Say whether an error tells of a lost connection, and not of a statement that took too long or too much."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


class Wires:
    """As many connections as `size`, made when they are needed; whoever comes when all are in use waits."""

    def __init__(self, conninfo: str, options: str, size: int, wait_seconds: float) -> None:
        self._conninfo = conninfo
        self._options = options
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Wire] = []
        self.closed = False

    async def fetch(self, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        """Return the rows of a reading statement; raises psycopg.Error, and TimeoutError when none came free in time.

        A read that was lost with a connection which had lain idle is repeated on a new one: most likely the database
        was restarted meanwhile.
        """
        if self._places.locked():
            await asyncio.wait_for(self._places.acquire(), self._wait_seconds)
        else:
            await self._places.acquire()
        try:
            if self._idle:
                try:
                    return await self._fetch(self._idle.pop(), statement, values)
                except psycopg.OperationalError as error:
                    if self.closed or not is_lost(error):
                        raise
                await self._close_idle()
            return await self._fetch(await Wire.connect(self._conninfo, self._options), statement, values)
        finally:
            self._places.release()

    async def _fetch(self, wire: Wire, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        try:
            return await wire.fetch(statement, values)
        finally:
            if wire.broken or self.closed:
                await wire.close()
            else:
                self._idle.append(wire)

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for wire in idle:
            await wire.close()

    async def close(self) -> None:
        """Close every connection that is not in use; those are closed when they come back."""
        self.closed = True
        await self._close_idle()


__all__ = ["Wire", "Wires", "is_lost"]
