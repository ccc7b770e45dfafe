"""Connections for units of work on PostgreSQL: SQLAlchemy's, for repositories, and the driver's own beneath them.

SQLAlchemy's part costs as much as a small transaction does. So its connections are kept here, connected, and it takes
notice of a transaction only where a repository runs a statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.driver import PsycopgDriver, Question
from storage.libpq import Row
from storage.pipeline import PipelinedConnection
from storage.wire import is_lost


@dataclass(frozen=True, slots=True)
class Writer:
    """One connection, seen by SQLAlchemy and as psycopg's."""

    connection: AsyncConnection
    raw: PipelinedConnection

    async def commit(self) -> None:
        """Commit what was done through either; raises psycopg.Error or sqlalchemy.exc.DBAPIError."""
        if self.connection.in_transaction():
            await self.connection.commit()
        else:
            await self.raw.commit()

    async def rollback(self) -> None:
        """Undo what was done through either."""
        if self.connection.in_transaction():
            await self.connection.rollback()
        await self.raw.rollback()

    @property
    def is_idle(self) -> bool:
        """Whether another transaction may begin on it."""
        return (
            not self.raw.closed
            and self.raw.pgconn.transaction_status == TransactionStatus.IDLE
            and not self.connection.in_transaction()
            and not self.connection.invalidated
        )

    async def discard(self) -> None:
        """Close the connection, in whatever state it is."""
        await self.raw.close()
        await self.connection.invalidate()
        await self.connection.close()


class Writers:
    """As many connections as `size`, made when they are needed; whoever comes when all are in use waits."""

    def __init__(self, engine: AsyncEngine, size: int, wait_seconds: float) -> None:
        self._engine = engine
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(size)
        self._idle: list[Writer] = []  # the last used first: libpq keeps the buffers of the largest statement
        self.closed = False

    @asynccontextmanager
    async def transaction(self, questions: Sequence[Question]) -> AsyncIterator[tuple[Writer, list[list[Row]]]]:
        """Give a connection in a transaction that began with these questions, and their answers; commit at the end.

        Raises psycopg.Error, and TimeoutError when no connection came free in time. A connection that was lost while it
        lay idle is replaced.
        """
        if self._places.locked():
            await asyncio.wait_for(self._places.acquire(), self._wait_seconds)
        else:
            await self._places.acquire()
        try:
            writer, answers = await self._begun(questions)
            try:
                try:
                    yield writer, answers
                    await writer.commit()
                except BaseException:
                    if not writer.raw.closed:
                        await writer.rollback()
                    raise
            finally:
                await self._put_back(writer)
        finally:
            self._places.release()

    async def _begun(self, questions: Sequence[Question]) -> tuple[Writer, list[list[Row]]]:
        if self._idle:
            try:
                return await self._asked(self._idle.pop(), questions)
            except psycopg.OperationalError as error:
                if self.closed or not is_lost(error):
                    raise
            await self._close_idle()
        return await self._asked(await self._connected(), questions)

    async def _asked(self, writer: Writer, questions: Sequence[Question]) -> tuple[Writer, list[list[Row]]]:
        try:
            return writer, await PsycopgDriver(writer.raw).fetch_together(questions)
        except BaseException:
            await writer.discard()
            raise

    async def _connected(self) -> Writer:
        connection = await self._engine.connect()
        raw = (await connection.get_raw_connection()).driver_connection
        if not isinstance(raw, PipelinedConnection):
            await connection.close()
            raise TypeError("the engine does not run on psycopg")
        return Writer(connection, raw)

    async def _put_back(self, writer: Writer) -> None:
        if writer.is_idle and not self.closed:
            self._idle.append(writer)
        else:
            await writer.discard()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for writer in idle:
            await writer.discard()

    async def close(self) -> None:
        """Close every connection that is not in use; those are closed when they come back."""
        self.closed = True
        await self._close_idle()
