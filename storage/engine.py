"""Connections to PostgreSQL and SQLite, and what differs between the two.

Reads go straight to the driver: one statement, one round trip, in the organization's context. Writes run in a unit of
work on a SQLAlchemy connection, whose driver connection the store uses directly. On PostgreSQL the connections take the
role that row-level security binds (`role`), whoever logged in.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import psycopg
import psycopg_pool
from sqlalchemy import event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from storage.clock import IdSource
from storage.driver import Driver, PsycopgDriver, Question, Row, SqliteDriver
from storage.errors import ConcurrencyConflict, DatabaseUnavailable, SearchTooCostly
from storage.libpq import CONNECT_SECONDS, wire_statement
from storage.pipeline import PipelinedConnection
from storage.search.bodies import BODY_FUNCTIONS
from storage.shared_wire import SharedReads
from storage.sql import Prepared
from storage.stops import NO_STOPS, UNUSABLE, Stops
from storage.transaction import Change, Snapshot, UnitOfWork
from storage.transaction_ids import CURRENT, raise_offset
from storage.wire import Wires
from storage.writers import Writers

T = TypeVar("T")
Flush = Callable[[UnitOfWork], Awaitable[None]]

MAX_ATTEMPTS: Final = 4
POOL_WAIT_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 2.0
"""After so long the pool gives up, and the next request tries anew: its waits double, so they would outlast an outage
by as long as that took (security DU-7)."""
RETRYABLE_STATES: Final = frozenset({"40001", "40P01", "23505", "55P03"})
"""Serialisation failure, deadlock, unique violation (two writers of one key), lock timeout."""


class NeededFirst(Exception, ABC):
    """Something has to be committed before this unit of work can do what it is for; then it is run again."""

    @abstractmethod
    async def provide(self, unit: UnitOfWork) -> None:
        """Do what is needed, in a short unit of work; others may do the same at the same time."""


class Database(ABC):
    """A database with its connection pools. Make one with `create_database`, then `open` it."""

    dialect: str

    def __init__(self, ids: IdSource, base_url: str) -> None:
        self.ids = ids
        self.base_url = base_url
        """This server's FHIR base without trailing slash; empty: every absolute reference is foreign."""
        self.flush: Flush | None = None
        """Projects touched rows before COMMIT; set by the composition root."""
        self.stops: Stops = NO_STOPS
        """What units of work do without; set when drift was looked for."""

    @abstractmethod
    async def open(self) -> None:
        """Connect; raises DatabaseUnavailable when that fails."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one reading statement in the organization's context."""

    @abstractmethod
    def read(self, organization_id: str) -> AbstractAsyncContextManager[Driver]:
        """Give a driver on which several reading statements see one snapshot."""

    @abstractmethod
    def glance(self, organization_id: str) -> AbstractAsyncContextManager[Snapshot]:
        """Give repositories a transaction in the organization's context that only reads, and waits for no writer."""

    @abstractmethod
    def platform(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a SQLAlchemy transaction on the tables outside tenancy; it commits at the end."""

    @abstractmethod
    def platform_read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Give a SQLAlchemy transaction that only reads the tables outside tenancy, and waits for no writer."""

    @abstractmethod
    def _transaction(
        self, organization_id: str, change: Change, ahead: Sequence[Question]
    ) -> AbstractAsyncContextManager[UnitOfWork]:
        """Give an open transaction in the organization's context, capture of changes silenced."""

    @asynccontextmanager
    async def begin(
        self, organization_id: str, change: Change, ahead: Sequence[Question] = ()
    ) -> AsyncIterator[UnitOfWork]:
        """Open a unit of work; it projects touched rows and commits at the end, or rolls back on any exception.

        `ahead` are fetches which it will make: where there is a network, they travel with its beginning.
        Raises ConcurrencyConflict when another writer was faster, and DatabaseUnavailable when the connection fails.
        """
        with translated_errors():
            async with self._transaction(organization_id, change, ahead) as unit:
                yield unit
                if unit.touched and self.flush is not None:
                    await self.flush(unit)

    async def transact(
        self,
        organization_id: str,
        change: Change,
        work: Callable[[UnitOfWork], Awaitable[T]],
        ahead: Sequence[Question] = (),
    ) -> T:
        """Run `work` in a unit of work, again after a conflict with another writer (security DU-4).

        `work` must be repeatable; `ahead` is as in `begin`. What it finds to be needed first is done in a unit of work
        of its own. Raises ConcurrencyConflict after the last attempt.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                async with self.begin(organization_id, change, ahead) as unit:
                    return await work(unit)
            except NeededFirst as needed:
                if attempt == MAX_ATTEMPTS:
                    raise ConcurrencyConflict from needed
                await self.transact(organization_id, change, needed.provide)
            except ConcurrencyConflict:
                if attempt == MAX_ATTEMPTS:
                    raise
                await asyncio.sleep(0.005 * 2**attempt + (self.ids.random_bits(8) / 25_600))
        raise AssertionError("unreachable")


class translated_errors:  # noqa: N801 reads as a statement
    """Turn drivers' errors into storage errors; drivers quote values, so their text goes no further (PH-1)."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise the storage error that `error` stands for, if any."""
        if isinstance(error, Exception):
            translated = _translate(error)
            if translated is not None:
                raise translated from None


_LIMITS_OF_SQLITE: Final = re.compile(
    "parser stack overflow|Expression tree is too large|too many terms|tables in a join"
)
"""What SQLite says of statements that are beyond its limits (sqlite.org/limits.html); only searches get that far."""


def _translate(error: Exception) -> Exception | None:
    origin = getattr(error, "orig", error) if isinstance(error, exc.DBAPIError) else error
    if isinstance(error, TimeoutError | exc.TimeoutError | psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed):
        return DatabaseUnavailable()
    state = getattr(origin, "sqlstate", None)
    if state in RETRYABLE_STATES:
        return ConcurrencyConflict()
    if isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError) or (
        isinstance(error, exc.DBAPIError) and error.connection_invalidated
    ):
        return DatabaseUnavailable()
    return _translate_sqlite(origin) if isinstance(origin, sqlite3.Error) else None


def _translate_sqlite(error: sqlite3.Error) -> Exception | None:
    message = str(error)
    if isinstance(error, sqlite3.OperationalError):
        if _LIMITS_OF_SQLITE.search(message):
            return SearchTooCostly("the search is deeper than the database takes: ask for less of it at once")
        return ConcurrencyConflict() if "locked" in message else DatabaseUnavailable()
    if isinstance(error, sqlite3.IntegrityError) and "UNIQUE" in message:
        return ConcurrencyConflict()
    return None


SNAPSHOT = Prepared("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", {})
SET_CONTEXT = Prepared("SELECT set_config('app.organization_id', %(organization_id)s, true)", {})
ORGANIZATION_PARAMETER: Final = re.compile(r"%\(organization_id\)s(::\w+)?")
OPEN_UNIT = Prepared(
    "SELECT set_config('app.organization_id', %(organization_id)s, true),"  # noqa: S608 our own text
    " set_config('fhir_server.writer', 'on', true),"
    f" {CURRENT}, (extract(epoch FROM clock_timestamp()) * 1000)::int8",
    {},
)
"""First the id, then the clock: what has no id yet when a stream is read is written later than all that it shows."""
NOTHING = Question(Prepared("SELECT 1", {}), {})
"""Whether the connection is still there is known by an answer."""
READ_ONLY = Question(Prepared("SELECT set_config('transaction_read_only', 'on', true)", {}), {})


@lru_cache(maxsize=512)
def in_context(sql: str) -> str:
    """Return `sql` preceded by the setting of the context, as one statement (an implicit transaction of its own).

    Every mention of the organization in `sql` becomes the value that set_config returns, so no part of it can be
    evaluated before the context is set; were it, row-level security would show no row. Measured: 1.7 times the reads of
    a pipeline of two statements.
    """
    inner = ORGANIZATION_PARAMETER.sub("context.organization_id", sql)
    if inner == sql:
        raise ValueError("a statement must name the organization")
    return (
        "SELECT found.* FROM (SELECT set_config('app.organization_id', %(organization_id)s::text, true)"  # noqa: S608 compiled
        f" AS organization_id OFFSET 0) AS context CROSS JOIN LATERAL ({inner}) AS found"
    )


PLANNED_ONCE: Final = " -c plan_cache_mode=force_generic_plan"
"""Reads begin where `storage/search/plan.py` says, whatever the values: planning anew costs more than running them."""


class PostgresDatabase(Database):
    """PostgreSQL through psycopg: wires and a pool for reads, writers for units of work."""

    dialect = "postgresql"

    def __init__(self, url: str, ids: IdSource, base_url: str, *, pool_size: int, role: str | None) -> None:
        super().__init__(ids, base_url)
        # instants come as the session's zone has them: east of UTC the end of the year 9999 would be none of Python's
        options = "-c TimeZone=UTC -c statement_timeout=30000 -c lock_timeout=5000"
        options += " -c idle_in_transaction_session_timeout=60000"
        if role:
            options += f" -c role={role}"
        parsed = make_url(url).set(drivername="postgresql")
        self.conninfo = parsed.render_as_string(hide_password=False)
        limits = {} if "connect_timeout" in parsed.query else {"connect_timeout": CONNECT_SECONDS}
        self._pool = psycopg_pool.AsyncConnectionPool(
            self.conninfo,
            connection_class=PipelinedConnection,
            kwargs={"options": options + PLANNED_ONCE, "prepare_threshold": None, **limits},
            min_size=1,
            max_size=pool_size,
            timeout=POOL_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
        )
        self._wires = Wires(self.conninfo, options + PLANNED_ONCE, pool_size, POOL_WAIT_SECONDS)
        self._shared = SharedReads(self.conninfo, options + PLANNED_ONCE)
        self.engine: AsyncEngine = create_async_engine(
            parsed.set(drivername="postgresql+psycopg"),
            connect_args={
                "async_creator_fn": PipelinedConnection.connect,
                "options": options,
                "prepare_threshold": 0,
                **limits,
            },
            poolclass=NullPool,
        )
        self._writers = Writers(self.engine, pool_size, POOL_WAIT_SECONDS)

    async def open(self) -> None:
        """Connect; raises DatabaseUnavailable when that fails. Transaction ids go on where a restored dump ends."""
        with translated_errors():
            await self._pool.open(wait=True, timeout=POOL_WAIT_SECONDS * 2)
            async with self._pool.connection() as connection:
                await raise_offset(connection)

    async def close(self) -> None:
        """Close every connection."""
        await self._wires.close()
        await self._shared.close()
        await self._pool.close()
        await self._writers.close()
        await self.engine.dispose()

    async def fetch(self, organization_id: str, statement: Prepared, parameters: Mapping[str, Any]) -> list[Row]:
        """Return the rows of one statement; the context travels inside it, in one round trip."""
        values = {**statement.constants, **parameters, "organization_id": organization_id}
        with translated_errors():
            reads = self._shared if statement.is_short else self._wires
            return await reads.fetch(wire_statement(in_context(statement.sql)), values)

    @asynccontextmanager
    async def read(self, organization_id: str) -> AsyncIterator[Driver]:
        """Give a driver in a repeatable-read, read-only transaction."""
        with translated_errors():
            async with self._pool.connection() as connection:
                driver = PsycopgDriver(connection)
                await driver.execute(SNAPSHOT, {})
                await driver.execute(SET_CONTEXT, {"organization_id": organization_id})
                yield driver

    @asynccontextmanager
    async def glance(self, organization_id: str) -> AsyncIterator[Snapshot]:
        """Give a read-only transaction in the organization's context."""
        context = Question(SET_CONTEXT, {"organization_id": organization_id})
        with translated_errors():
            async with self._writers.transaction([context, READ_ONLY]) as (writer, _):
                writer.connection.info[UNUSABLE] = self.stops.unusable
                yield Snapshot(organization_id, writer.connection)

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction on the tables outside tenancy."""
        with translated_errors():
            async with self._writers.transaction([NOTHING]) as (writer, _):
                writer.connection.info[UNUSABLE] = self.stops.unusable
                yield writer.connection

    @asynccontextmanager
    async def platform_read(self) -> AsyncIterator[AsyncConnection]:
        """Give a read-only transaction on the tables outside tenancy."""
        with translated_errors():
            async with self._writers.transaction([READ_ONLY]) as (writer, _):
                writer.connection.info[UNUSABLE] = self.stops.unusable
                yield writer.connection

    @asynccontextmanager
    async def _transaction(
        self, organization_id: str, change: Change, ahead: Sequence[Question]
    ) -> AsyncIterator[UnitOfWork]:
        opening = Question(OPEN_UNIT, {"organization_id": organization_id})
        async with self._writers.transaction([opening, *ahead]) as (writer, (opened, *answers)):
            ((_, _, xid, now),) = opened
            driver = PsycopgDriver(writer.raw)
            driver.answered(ahead, answers)
            writer.connection.info[UNUSABLE] = self.stops.unusable
            yield UnitOfWork(
                organization_id, writer.connection, driver, change, now, xid, self.ids, self.base_url, self.stops
            )


SQLITE_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA cache_size=-32000",
    "PRAGMA temp_store=MEMORY",
)
GUARD_ON = "INSERT INTO projection_guard (id) VALUES (1) ON CONFLICT DO NOTHING"
GUARD_OFF = "DELETE FROM projection_guard"


class SqliteDatabase(Database):
    """SQLite in WAL mode: a few reading connections, one writer at a time. There is no row-level security here."""

    dialect = "sqlite"

    def __init__(self, url: str, ids: IdSource, base_url: str, *, pool_size: int) -> None:
        super().__init__(ids, base_url)
        path = make_url(url).database
        if not path or path == ":memory:":
            raise ValueError("SQLite needs a file: several connections share the database")
        self.path = Path(path)
        self._size = min(pool_size, 4)
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._opened: list[aiosqlite.Connection] = []
        self._writer = asyncio.Lock()
        self.engine: AsyncEngine = create_async_engine(
            f"sqlite+aiosqlite:///{self.path}",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS * 15,
        )
        event.listen(self.engine.sync_engine, "connect", _configure_sqlite)
        event.listen(self.engine.sync_engine, "begin", _begin_immediate)
        self._reading: AsyncEngine = create_async_engine(
            f"sqlite+aiosqlite:///{self.path}",
            poolclass=AsyncAdaptedQueuePool,
            pool_size=1,
            max_overflow=self._size - 1,
            pool_timeout=POOL_WAIT_SECONDS,
        )
        event.listen(self._reading.sync_engine, "connect", _configure_sqlite_reader)
        event.listen(self._reading.sync_engine, "begin", _begin)

    async def open(self) -> None:
        """Open the reading connections; the file must have been migrated."""
        with translated_errors():
            for _ in range(self._size):
                connection = await aiosqlite.connect(self.path, isolation_level=None)
                for pragma in (*SQLITE_PRAGMAS, "PRAGMA query_only=ON"):
                    await connection.execute(pragma)
                for name, function in BODY_FUNCTIONS.items():
                    await connection.create_function(name, _arguments(function), function, deterministic=True)
                self._opened.append(connection)
                self._readers.put_nowait(connection)

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._opened:
            await connection.close()
        self._opened.clear()
        self._readers = asyncio.Queue()
        await self._reading.dispose()
        await self.engine.dispose()

    async def fetch(
        self,
        organization_id: str,  # noqa: ARG002 statements name it
        statement: Prepared,
        parameters: Mapping[str, Any],
    ) -> list[Row]:
        """Return the rows of one statement; every statement names the organization, there is no context to set."""
        with translated_errors():
            connection = await self._readers.get()
            try:
                return await SqliteDriver(connection).fetch(statement, parameters)
            finally:
                self._readers.put_nowait(connection)

    @asynccontextmanager
    async def read(self, organization_id: str) -> AsyncIterator[Driver]:  # noqa: ARG002 statements name it
        """Give a driver in a reading transaction, which sees one snapshot."""
        with translated_errors():
            connection = await self._readers.get()
            try:
                try:  # a BEGIN that is cancelled while it runs is undone too: its snapshot would stay for good
                    await connection.execute("BEGIN")
                    yield SqliteDriver(connection)
                finally:
                    await connection.rollback()
            finally:
                self._readers.put_nowait(connection)

    @asynccontextmanager
    async def glance(self, organization_id: str) -> AsyncIterator[Snapshot]:
        """Give a transaction that sees one snapshot, on a connection that cannot write."""
        async with self.platform_read() as connection:
            yield Snapshot(organization_id, connection)

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction on the tables outside tenancy."""
        with translated_errors():
            async with self._writer, self.engine.begin() as connection:
                connection.info[UNUSABLE] = self.stops.unusable
                yield connection

    @asynccontextmanager
    async def platform_read(self) -> AsyncIterator[AsyncConnection]:
        """Give a transaction that sees one snapshot, on a connection that cannot write."""
        with translated_errors():
            async with self._reading.begin() as connection:
                connection.info[UNUSABLE] = self.stops.unusable
                yield connection

    @asynccontextmanager
    async def _transaction(
        self,
        organization_id: str,
        change: Change,
        ahead: Sequence[Question],  # noqa: ARG002 there is no network
    ) -> AsyncIterator[UnitOfWork]:
        async with self._writer, self.engine.begin() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            if not isinstance(raw, aiosqlite.Connection):
                raise TypeError("the engine does not run on aiosqlite")
            await raw.execute(GUARD_ON)
            driver, now = SqliteDriver(raw), self.ids.milliseconds()
            connection.info[UNUSABLE] = self.stops.unusable
            unit = UnitOfWork(organization_id, connection, driver, change, now, 0, self.ids, self.base_url, self.stops)
            yield unit
            await raw.execute(GUARD_OFF)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()
    for name, function in BODY_FUNCTIONS.items():
        connection.create_function(name, _arguments(function), function, deterministic=True)


def _configure_sqlite_reader(connection: Any, record: object) -> None:
    _configure_sqlite(connection, record)
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()


def _arguments(function: Callable[..., Any]) -> int:
    return len(signature(function).parameters)


def _begin(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def create_database(
    url: str, *, ids: IdSource | None = None, pool_size: int = 8, role: str | None = None, base_url: str = ""
) -> Database:
    """Return the database of a URL (`postgresql://…` or `sqlite:///path`); `role` is the RLS-bound role to take.

    `base_url` is this server's FHIR base: absolute references below it are indexed as local ones. Raises ValueError for
    any other URL.
    """
    source = ids or IdSource()
    backend = make_url(url).get_backend_name()
    if backend == "postgresql":
        return PostgresDatabase(url, source, base_url, pool_size=pool_size, role=role)
    if backend == "sqlite":
        return SqliteDatabase(url, source, base_url, pool_size=pool_size)
    raise ValueError(f"no driver for {backend}: use postgresql:// or sqlite:///")
