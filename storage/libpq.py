"""What everything that speaks to libpq itself shares: statements, parameters and rows (design Decision 9).

A cursor of psycopg plans the conversion of every parameter and column anew. Here a statement is taken apart once, its
parameters travel as text (bytes as they are) and its columns come back binary, in the few types that the store has.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import count
from types import NoneType
from typing import Any, Final

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer

Row = tuple[Any, ...]
Parameters = tuple[Sequence[bytes | None], Sequence[int]]
"""Values and the format of each."""

BINARY: Final = 1
TEXT: Final = 0
CONNECT_SECONDS: Final = 2
MOST_PREPARED: Final = 200
"""Statements a connection keeps prepared; each takes memory of the server, and searches have endless shapes."""
LONGEST_PREPARED: Final = 32_768
"""Longer ones, of bytes, are prepared for one use: the plan of a hundred filters takes megabytes of the server."""
GOOD: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")


_FIRST_INSTANT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = _FIRST_INSTANT.date()
_integer: Final = partial(int.from_bytes, byteorder="big", signed=True)

DECODERS: Final[Mapping[int, Callable[[bytes], Any]]] = {
    16: b"\x01".__eq__,  # bool
    17: bytes,  # bytea
    20: _integer,  # int8
    21: _integer,  # int2
    23: _integer,  # int4
    25: bytes.decode,  # text
    1043: bytes.decode,  # varchar
    1082: lambda data: _FIRST_DAY + timedelta(days=_integer(data)),  # date
    1184: lambda data: _FIRST_INSTANT + timedelta(microseconds=_integer(data)),  # timestamptz
}
"""By type oid (pg_type.dat); what the columns of the store and of counts have."""


@dataclass(frozen=True, slots=True)
class WireStatement:
    """SQL with `$n` parameters, and their names in order."""

    sql: bytes
    names: tuple[str, ...]

    def parameters(self, values: Mapping[str, Any]) -> Parameters:
        """Return values by name as they are sent; raises psycopg.DataError."""
        return wire_parameters([values[name] for name in self.names])


@lru_cache(maxsize=512)
def wire_statement(sql: str) -> WireStatement:
    """Return a statement with named parameters (`%(name)s`) as libpq takes it."""
    names: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "%"
        return f"${names.setdefault(name, len(names) + 1)}"

    return WireStatement(_PARAMETER.sub(numbered, sql).encode(), tuple(names))


def wire_parameters(values: Sequence[Any]) -> Parameters:
    """Return values as they are sent; raises psycopg.DataError for text that PostgreSQL does not take."""
    if not values:
        return (), ()
    given, formats = zip(*[(ENCODERS.get(type(value)) or _encoder(value))(value) for value in values], strict=True)
    return given, formats


def _text(value: str) -> bytes:
    """Return text in UTF-8. libpq takes text up to the first NUL, and without a word."""
    if "\0" in value:
        raise psycopg.DataError("PostgreSQL text cannot contain NUL (0x00) bytes")
    return value.encode()


def array(values: Sequence[Any]) -> bytes:
    """Return an array literal of integers, truth values, text or bytes (postgresql.org arrays.html#ARRAYS-IO)."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return ("{" + ",".join(map(str, values)) + "}").encode()
    if kinds == {str}:
        text = '","'.join(values)
        if "\\" not in text and text.count('"') == 2 * (len(values) - 1):  # nothing within them has to be escaped
            return _text('{"' + text + '"}')
    return _text("{" + ",".join(map(_element, values)) + "}")


def _element(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bytes):
        return f'"\\\\x{value.hex()}"'
    return "NULL" if value is None else str(value)


ENCODERS: Final[Mapping[type, Callable[[Any], tuple[bytes | None, int]]]] = {
    str: lambda value: (_text(value), TEXT),
    int: lambda value: (b"%d" % value, TEXT),
    bytes: lambda value: (value, BINARY),
    NoneType: lambda _: (None, TEXT),
    bool: lambda value: (b"t" if value else b"f", TEXT),
    list: lambda value: (array(value), TEXT),
    tuple: lambda value: (array(value), TEXT),
}
"""By type: a value's bytes and their format."""


def _encoder(value: Any) -> Callable[[Any], tuple[bytes | None, int]]:
    """Return what writes a value of a subclass, or of a type that only psycopg knows."""
    known = next((encode for kind, encode in ENCODERS.items() if isinstance(value, kind)), None)
    return known or _as_psycopg


def _as_psycopg(value: Any) -> tuple[bytes | None, int]:
    dumped = Transformer().get_dumper(value, PyFormat.TEXT).dump(value)
    return (None if dumped is None else bytes(dumped)), TEXT


def rows_of(result: pq.abc.PGresult) -> list[Row]:
    """Return the rows of a binary result."""
    if not result.nfields:
        return [()] * result.ntuples
    places = range(result.ntuples)
    return list(zip(*(_column(result, column, places) for column in range(result.nfields)), strict=True))


def _column(result: pq.abc.PGresult, column: int, places: range) -> list[Any]:
    value, decode = result.get_value, _decoder(result.ftype(column))
    return [None if (data := value(row, column)) is None else decode(data) for row in places]


@lru_cache(maxsize=64)
def _decoder(oid: int) -> Callable[[bytes], Any]:
    """Return what reads a type; psycopg knows those that the store does not have."""
    return DECODERS.get(oid) or Transformer().get_loader(oid, pq.Format.BINARY).load


class StatementNames:
    """Names of the statements that a connection keeps prepared, least recently used first."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._names: OrderedDict[bytes, bytes] = OrderedDict()
        self._numbers = count()

    def of(self, sql: bytes) -> bytes | None:
        """Return the name of a statement that is about to be used; None while it is not prepared."""
        name = self._names.get(sql)
        if name is not None:
            self._names.move_to_end(sql)
        return name

    def fresh(self, sql: bytes) -> bytes:
        """Return a name that no statement ever had; none for a long one, whose place the next long one takes."""
        return b"" if len(sql) > LONGEST_PREPARED else self._prefix + b"%d" % next(self._numbers)

    def keep(self, sql: bytes, name: bytes) -> None:
        """Note that a statement is prepared."""
        if name:
            self._names[sql] = name

    def forget(self, sql: bytes) -> None:
        """Note that a statement is not prepared after all."""
        self._names.pop(sql, None)

    def make_room(self, sql: bytes) -> tuple[bytes, bytes] | None:
        """Forget the statement that was not used for longest if there are many; it and its name, to be deallocated."""
        is_full = len(self._names) >= MOST_PREPARED and len(sql) <= LONGEST_PREPARED
        return self._names.popitem(last=False) if is_full else None


async def connect(conninfo: str, options: str) -> psycopg.AsyncConnection[Any]:
    """Return a new connection without transactions of its own; raises psycopg.OperationalError."""
    return await psycopg.AsyncConnection.connect(
        conninfo, autocommit=True, options=options, connect_timeout=CONNECT_SECONDS
    )


async def pipeline_results(libpq: pq.abc.PGconn) -> list[pq.abc.PGresult]:
    """Send what is queued and return the results up to the end of the pipeline; raises psycopg.OperationalError."""
    results: list[pq.abc.PGresult] = []
    is_writing = bool(libpq.flush())
    ended = False
    while True:
        while not libpq.is_busy():
            result = libpq.get_result()
            if result is None:  # the end of a statement; twice: nothing will come any more
                if ended:
                    raise psycopg.OperationalError("the server gave no answer")
                ended = True
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
            ended = False
        await _ready(libpq.socket, is_writing=is_writing)
        libpq.consume_input()
        is_writing = is_writing and bool(libpq.flush())


async def _ready(socket: int, *, is_writing: bool) -> None:
    """Return when there is something to read, or room to write."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(socket, wake, ready)
    if is_writing:
        loop.add_writer(socket, wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(socket)
        if is_writing:
            loop.remove_writer(socket)


def wake(ready: asyncio.Future[None]) -> None:
    """Tell who waits for a socket that it is ready; called by the event loop, maybe more than once."""
    if not ready.done():
        ready.set_result(None)
