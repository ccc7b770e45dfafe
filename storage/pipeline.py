"""Connections on which statements wait for each other, to travel together (postgresql.org libpq-pipeline-mode).

A unit of work mostly writes what nobody needs an answer to: such statements are queued, and go with the next question
or with COMMIT, in one round trip.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import pq
from psycopg._preparing import PrepareManager
from psycopg.errors import InFailedSqlTransaction, error_from_result

from storage.libpq import BINARY, GOOD, Parameters, StatementNames, pipeline_results, wire_parameters

CANCEL_SECONDS: Final = 2.0
_COMMIT: Final = b"COMMIT"


class _Queued(NamedTuple):
    sql: bytes
    parameters: Parameters = ((), ())
    prepared: bool = True


class _Step(NamedTuple):
    """What one result of a pipeline answers; `undo` is for when it failed or was skipped."""

    is_statement: bool
    undo: Callable[[], None] | None = None


class _KeptStatements(PrepareManager):
    """What psycopg's cursors have prepared, kept whatever is rolled back.

    psycopg would deallocate all then, the statements of others too, as a table that was made in the transaction may be
    made anew with the same name. Nobody makes tables on these connections.
    """

    def clear(self) -> bool:
        """Keep everything."""
        return False


class PipelinedConnection(psycopg.AsyncConnection[Any]):
    """A connection of psycopg with a queue of statements. Its users take turns, as those of a transaction do.

    Whatever else happens on it (cursors, SQLAlchemy, savepoints) sends the queue first: statements run in the order in
    which they were given. An error of a queued statement is raised by what sends it; the transaction has failed then.
    A connection that is left in the middle of a conversation is closed.
    """

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        super().__init__(pgconn)
        self._prepared = _KeptStatements()
        self._queue: list[_Queued] = []
        self._names = StatementNames(b"u")

    def queue(self, sql: bytes, values: Sequence[Any]) -> None:
        """Let a statement with `$n` parameters go with the next that needs an answer; values that cannot are refused.

        Raises psycopg.DataError.
        """
        self._queue.append(_Queued(sql, wire_parameters(values)))

    async def ask(self, sql: bytes, values: Sequence[Any]) -> pq.abc.PGresult:
        """Send what is queued and a statement, and return its result; raises the first psycopg.Error of them all."""
        self.queue(sql, values)
        async with self.lock:
            return (await self.send())[-1]

    async def send(self) -> list[pq.abc.PGresult]:
        """Send what is queued and return the results, beginning a transaction if need be; raises psycopg.Error."""
        queued, self._queue = self._queue, []
        libpq = self.pgconn
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        begins = not self.autocommit and libpq.transaction_status == pq.TransactionStatus.IDLE
        if begins:
            queued.insert(0, _BEGIN)
        try:
            libpq.enter_pipeline_mode()
            steps = [step for each in queued for step in self._sent(each)]
            libpq.pipeline_sync()
            results = await pipeline_results(libpq)
            libpq.exit_pipeline_mode()
        except BaseException:
            await self._abandon()
            raise
        self._check(steps, results)
        answers = [result for step, result in zip(steps, results, strict=True) if step.is_statement]
        return answers[1:] if begins else answers

    def _sent(self, queued: _Queued) -> list[_Step]:
        """Hand a statement to libpq; the result of each step will come in this order."""
        sql, (values, formats), prepared = queued
        names, libpq = self._names, self.pgconn
        if not prepared:
            libpq.send_query_params(sql, None)
            return [_STATEMENT]
        steps: list[_Step] = []
        name = names.of(sql)
        if name is None:
            oldest = names.make_room(sql)
            if oldest is not None:
                libpq.send_query_params(b"DEALLOCATE " + oldest[1], None)
                steps.append(_Step(is_statement=False, undo=lambda: names.keep(*oldest)))
            name = names.fresh(sql)
            libpq.send_prepare(name, sql)
            names.keep(sql, name)
            steps.append(_Step(is_statement=False, undo=lambda: names.forget(sql)))
        libpq.send_query_prepared(name, values, formats, BINARY)
        steps.append(_STATEMENT)
        return steps

    def _check(self, steps: Sequence[_Step], results: Sequence[pq.abc.PGresult]) -> None:
        """Raise the first error; what is skipped after it is neither prepared nor deallocated."""
        failed = [(step, result) for step, result in zip(steps, results, strict=True) if result.status not in GOOD]
        for step, _ in reversed(failed):
            if step.undo is not None:
                step.undo()
        if failed:
            raise error_from_result(failed[0][1])

    async def _abandon(self) -> None:
        """Close the connection, whose next answers nobody would wait for; let the server stop what it is doing."""
        try:
            with contextlib.suppress(psycopg.Error, OSError):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
        finally:
            await self.close()

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Run what psycopg wants to do, after what is queued."""
        if self._queue:
            await self.send()
        return await super().wait(gen, *arguments, **options)

    async def commit(self) -> None:
        """Send what is queued and commit, in one round trip; raises psycopg.Error, also where nothing was committed."""
        if not self._queue and self.pgconn.transaction_status == pq.TransactionStatus.IDLE:
            return
        done = await self.ask(_COMMIT, ())
        if done.command_status != _COMMIT:  # a failed transaction is rolled back without an error
            raise InFailedSqlTransaction("the transaction had failed")

    async def rollback(self) -> None:
        """Forget what is queued and roll back."""
        self._queue.clear()
        if self.closed or self.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            self._queue.append(_ROLLBACK)
            async with self.lock:
                await self.send()


_BEGIN: Final = _Queued(b"BEGIN")
_ROLLBACK: Final = _Queued(b"ROLLBACK", prepared=False)
"""In a failed transaction nothing can be deallocated, so nothing that may need room is prepared."""
_STATEMENT: Final = _Step(is_statement=True)
