"""Reading statements on libpq itself, through psycopg's own binding (design Decision 9).

A cursor of psycopg costs more than the read it makes: it plans the conversion of every parameter and column anew. Here
a statement is taken apart once, its parameters travel as text and its columns come back binary, in the few types that
the store has. Measured, one process, four concurrent readers of Observations by id, medians of four alternating
rounds: 20,400 reads/s and 19 µs of CPU each, through pool and cursors 8,300 and 72 µs.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from storage.driver import Row

BINARY: Final = 1
TEXT: Final = 0
CONNECT_SECONDS: Final = 2
MOST_PREPARED: Final = 200
"""Statements a connection keeps prepared; each takes memory of the server, and searches have endless shapes."""
_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")
_GOOD: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


DECODERS: Final[Mapping[int, Callable[[bytes], Any]]] = {
    16: lambda data: data == b"\x01",  # bool
    17: bytes,  # bytea
    20: _integer,  # int8
    21: _integer,  # int2
    23: _integer,  # int4
    25: bytes.decode,  # text
    1043: bytes.decode,  # varchar
}
"""By type oid (pg_type.dat); what the columns of the store and of counts have."""


@dataclass(frozen=True, slots=True)
class WireStatement:
    """SQL with `$n` parameters, and their names in order."""

    sql: bytes
    names: tuple[str, ...]


@lru_cache(maxsize=4096)
def wire_statement(sql: str) -> WireStatement:
    """Return a statement with named parameters (`%(name)s`) as libpq takes it."""
    names: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        return f"${names.setdefault(name, len(names) + 1)}"

    return WireStatement(_PARAMETER.sub(numbered, sql).encode(), tuple(names))


def _parameter(value: Any) -> tuple[bytes | None, int]:
    """Return a parameter and its format."""
    if isinstance(value, str):
        return value.encode(), TEXT
    if isinstance(value, bool):
        return (b"t" if value else b"f"), TEXT
    if isinstance(value, int):
        return str(value).encode(), TEXT
    if isinstance(value, bytes):
        return value, BINARY
    if value is None:
        return None, TEXT
    if isinstance(value, list | tuple):
        return _list(value), TEXT
    raise TypeError(f"no parameter of type {type(value).__name__}")


def _list(values: list[Any] | tuple[Any, ...]) -> bytes:
    """Return an array literal of integers, text or bytes."""
    return ("{" + ",".join(map(_element, values)) + "}").encode()


def _element(value: Any) -> str:
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


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
        self._prepared: OrderedDict[bytes, bytes] = OrderedDict()
        self._names = count()
        self._socket = self._libpq.socket  # which libpq does not tell any more once the connection is lost
        self._loop.add_reader(self._socket, self._readable)

    @classmethod
    async def connect(cls, conninfo: str, options: str) -> Wire:
        """Return a new connection; raises psycopg.OperationalError."""
        connection = await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, options=options, connect_timeout=CONNECT_SECONDS
        )
        return cls(connection)

    async def fetch(self, statement: WireStatement, values: Mapping[str, Any]) -> list[Row]:
        """Return all rows; raises psycopg.Error. The statement is prepared at its first use."""
        try:
            name = self._prepared.get(statement.sql)
            if name is None:
                name = await self._prepare(statement.sql)
            self._prepared.move_to_end(statement.sql)
            given = [_parameter(values[each]) for each in statement.names]
            parameters, formats = zip(*given, strict=True) if given else ((), ())
            self._libpq.send_query_prepared(name, parameters, formats, BINARY)
            return _rows(await self._result())
        except BaseException:
            if self._libpq.transaction_status != pq.TransactionStatus.IDLE:
                await self.close()
            raise

    async def _prepare(self, sql: bytes) -> bytes:
        """Prepare a statement and return its name; the one that was not used for longest makes room."""
        if len(self._prepared) >= MOST_PREPARED:
            _, oldest = self._prepared.popitem(last=False)
            self._libpq.send_query(b"DEALLOCATE " + oldest)
            await self._result()
        name = b"w%d" % next(self._names)
        self._libpq.send_prepare(name, sql)
        await self._result()
        self._prepared[sql] = name
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
            self._loop.add_writer(self._socket, _wake, ready)
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
            if result.status in _GOOD:
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


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _rows(result: pq.abc.PGresult) -> list[Row]:
    decoders = [DECODERS[result.ftype(column)] for column in range(result.nfields)]
    value = result.get_value
    return [
        tuple(None if (data := value(row, column)) is None else decode(data) for column, decode in enumerate(decoders))
        for row in range(result.ntuples)
    ]


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
