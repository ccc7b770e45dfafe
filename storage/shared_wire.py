"""One connection that short reads share: those that come together travel together (libpq-pipeline-mode).

A read by key takes PostgreSQL less time than waking up for it does. So such reads wait for the one round trip under way
and then go in one piece, whose answers come in one piece. Reads that may take long would keep the others waiting: they
have connections of their own (`storage/wire.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from storage.libpq import BINARY, GOOD, Parameters, Row, StatementNames, WireStatement, connect, rows_of
from storage.wire import is_lost

MOST_TOGETHER: Final = 32
"""Reads in one round trip: their answers are held until the last is there."""


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A statement that somebody waits for."""

    statement: WireStatement
    parameters: Parameters
    rows: asyncio.Future[list[Row]]

    def fail(self, error: BaseException) -> None:
        if not self.rows.done():
            self.rows.set_exception(error)


class _Step(NamedTuple):
    """What one result answers: a read, or that its statement was prepared."""

    read: _Read
    prepares: bool = False


class SharedWire:
    """A connection on which reads take turns in pieces. `broken` once it was lost."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.broken = False
        self._connection = connection
        self._libpq = connection.pgconn
        self._libpq.nonblocking = 1
        self._libpq.enter_pipeline_mode()
        self._loop = asyncio.get_running_loop()
        self._names = StatementNames(b"s")
        self._waiting: list[_Read] = []
        self._steps: list[_Step] = []
        """What the results under way answer, in order."""
        self._results: list[pq.abc.PGresult] = []
        self._is_scheduled = False
        self._socket = self._libpq.socket  # which libpq does not tell any more once the connection is lost
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def connect(cls, conninfo: str, options: str) -> SharedWire:
        """Return a new connection; raises psycopg.OperationalError."""
        return cls(await connect(conninfo, options))

    async def fetch(self, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        """Return all rows of a statement that takes no time worth mentioning; raises psycopg.Error."""
        if self.broken:
            raise psycopg.OperationalError("the connection is lost")
        read = _Read(statement, statement.parameters(values), self._loop.create_future())
        self._waiting.append(read)
        if not self._steps and not self._is_scheduled:
            self._is_scheduled = True  # after the requests that the event loop has at hand
            self._loop.call_soon(self._send)
        return await read.rows

    def _send(self) -> None:
        """Send reads that wait, in one piece; each brings its context along (`in_context`)."""
        self._is_scheduled = False
        try:
            while self._waiting and len(self._steps) < MOST_TOGETHER:
                self._queue(self._waiting[0])
                del self._waiting[0]
            self._libpq.pipeline_sync()
            self._flush()
        except psycopg.OperationalError as error:
            self._lost(error)

    def _queue(self, read: _Read) -> None:
        sql = read.statement.sql
        name = self._names.of(sql)
        if name is None:
            name = self._names.fresh(sql)
            self._steps.append(_Step(read, prepares=True))
            self._libpq.send_prepare(name, sql)
            self._names.keep(sql, name)
        self._steps.append(_Step(read))
        self._libpq.send_query_prepared(name, *read.parameters, BINARY)

    def _flush(self) -> None:
        """Send on as far as the network takes it, and the rest when it takes more."""
        if self._libpq.flush():
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        try:
            self._flush()
        except psycopg.OperationalError as error:
            self._lost(error)

    def _readable(self) -> None:
        """Take in what the server sent; called by the event loop."""
        try:
            self._libpq.consume_input()
            ended = False
            while self._steps and not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:  # the end of a statement; twice: nothing will come any more
                    if ended:
                        raise psycopg.OperationalError("the server gave no answer")
                    ended = True
                    continue
                ended = False
                if result.status != pq.ExecStatus.PIPELINE_SYNC:
                    self._results.append(result)
                    continue
                self._finish()
                if self._waiting:
                    self._send()
        except psycopg.OperationalError as error:
            self._lost(error)

    def _finish(self) -> None:
        """Give everybody the rows, or the error; what was skipped because of another's error goes once more."""
        steps, self._steps = self._steps, []
        results, self._results = self._results, []
        if len(steps) != len(results):
            raise psycopg.OperationalError("the server did not answer everything")
        skipped: list[_Read] = []
        for (read, prepares), result in zip(steps, results, strict=True):
            if result.status in GOOD:
                if not prepares and not read.rows.done():  # its request may have been cancelled
                    read.rows.set_result(rows_of(result))
                continue
            if prepares:
                self._names.forget(read.statement.sql)
            if result.status != pq.ExecStatus.PIPELINE_ABORTED:
                read.fail(error_from_result(result))
            elif not prepares and not read.rows.done():
                skipped.append(read)
        self._waiting[:0] = skipped

    def _lost(self, error: psycopg.OperationalError) -> None:
        """Tell everybody who waits."""
        if self.broken:
            return
        self.broken = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        for read in (*(step.read for step in self._steps), *self._waiting):
            read.fail(error)
        self._steps.clear()
        self._waiting.clear()

    async def close(self) -> None:
        """Close the connection; who waits is told that it is lost."""
        self._lost(psycopg.OperationalError("the connection was closed"))
        await self._connection.close()


class SharedReads:
    """The connection that short reads share, made when the first comes and made anew when it was lost."""

    def __init__(self, conninfo: str, options: str) -> None:
        self._conninfo = conninfo
        self._options = options
        self._wire: SharedWire | None = None
        self._connecting: asyncio.Task[SharedWire] | None = None
        self._closed = False

    async def fetch(self, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        """Return the rows of a short read; raises psycopg.Error.

        A read that was lost with a connection which others had used before is repeated on a new one: most likely the
        database was restarted.
        """
        wire = self._wire
        if wire is not None and not wire.broken:
            try:
                return await wire.fetch(statement, values)
            except psycopg.OperationalError as error:
                if self._closed or not is_lost(error):
                    raise
                await wire.close()
        return await (await self._connected()).fetch(statement, values)

    async def _connected(self) -> SharedWire:
        """Return a connection; all who need one wait for the same attempt."""
        if self._wire is not None and not self._wire.broken:
            return self._wire
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="shared-wire")
        return await asyncio.shield(self._connecting)  # who goes away does not end the others' attempt

    async def _connect(self) -> SharedWire:
        try:
            if self._wire is not None:
                await self._wire.close()
            self._wire = await SharedWire.connect(self._conninfo, self._options)
            if self._closed:
                await self._wire.close()
            return self._wire
        finally:
            self._connecting = None

    async def close(self) -> None:
        """Close the connection; reads under way are told that it is lost."""
        self._closed = True
        if self._wire is not None:
            await self._wire.close()
