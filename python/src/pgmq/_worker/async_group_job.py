"""What a slot of a transactional worker of a group does, an asyncio task here: everything."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._worker.async_job import AsyncJob
from pgmq._worker.outcome import (
    RETURNED,
    HandlerError,
    LeaseLostError,
    NoConnectionError,
    Outcome,
    failure,
    storable_on,
    undecoded,
    unrejected,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq._statements import Statement
    from pgmq._worker.lanes import Reader
    from pgmq._worker.progress import Progress
    from pgmq.messages import StreamBatch, StreamMessage

__all__ = ["AsyncGroupJob"]

T = TypeVar("T")


_LONGEST_PAUSE = 2.0  # seconds between two attempts
_ENDED = "the handler ended the transaction that it was called in"
# Postgres keeps up to 64 subtransactions of a transaction where others see them at no cost.
_SAVEPOINTS = 50


class TransactionLostError(Exception):
    """Says that nothing is left of a transaction since a message was handled, and why."""

    def __init__(self, message: StreamMessage, reason: BaseException) -> None:
        super().__init__(reason)
        self.message = message
        self.reason = reason


@dataclass(slots=True)
class AsyncGroupJob(AsyncJob):
    """Fetches a batch, has the handler called for it, and commits it, all in one transaction.

    Each message, or the batch where the handler takes batches, has a savepoint: what is done before
    one that fails is committed. The batch has one as well, for constraints that are checked in the
    end: where one does not hold, nobody knows whose fault that is, and the whole batch has failed.
    """

    reader: Reader = field(kw_only=True)

    async def consume(
        self,
        progress: Progress,
        goes_on: Callable[[], bool],
        tell: Callable[[StreamBatch], object],
    ) -> list[tuple[StreamMessage, Outcome]] | None:
        """Consume a batch, and say what became of its messages; None when there is none.

        That there is no connection is no failure of the messages.
        """
        for attempt in itertools.count():
            try:
                return await self._consume(progress, goes_on, tell)
            except NoConnectionError as error:
                await self._wait_for_connection(attempt, error)
            if not goes_on():
                break
        return None

    async def _consume(
        self,
        progress: Progress,
        goes_on: Callable[[], bool],
        tell: Callable[[StreamBatch], object],
    ) -> list[tuple[StreamMessage, Outcome]] | None:
        outcomes: list[tuple[StreamMessage, Outcome]] = []
        batch: StreamBatch | None = None
        try:
            async with self._transaction() as (connection, _):
                batch = await self._fetch(connection)
                if batch is None:
                    return None
                tell(batch)
                await connection.execute("SAVEPOINT pgmq_batch; SAVEPOINT pgmq_message")
                for unit in self._units(batch):
                    outcome = RETURNED
                    if goes_on():
                        outcome = await self._handle_one(connection, unit, progress, goes_on)
                    outcomes += [(message, outcome) for message in unit]
                    if outcome.kind not in ("done", "rejected"):
                        break
                outcomes = await self._check(connection, outcomes)
                await self._commit(connection, batch, outcomes)
        except LeaseLostError as error:
            return [(message, failure(error)) for message in batch or ()]
        except TransactionLostError as error:
            # For all that anybody knows, the lane comes again at once.
            seconds = min(self.reader.retry_delay, _LONGEST_PAUSE)
            await asyncio.sleep(seconds)  # sync: time.sleep(seconds)
            return [(error.message, failure(error.reason))]
        return outcomes

    def _units(self, batch: StreamBatch) -> list[list[StreamMessage]]:
        """Divide a batch into what the handler is called with."""
        return [batch.messages] if self.batch else [[message] for message in batch]

    async def _fetch(self, connection: psycopg.AsyncConnection[Any]) -> StreamBatch | None:
        quantity = self.reader.quantity
        if not self.batch:
            quantity = min(quantity, _SAVEPOINTS)
        return await self._ask(connection, statements.fetch, self.reader.vt, quantity)

    async def _ask(
        self,
        connection: psycopg.AsyncConnection[Any],
        call: Callable[..., Statement[T]],
        *arguments: Any,
    ) -> T:
        statement = call(self.queue, self.reader.group, *arguments)
        cursor = connection.cursor()
        if self.reader.loads is not None:
            wire.decode_by(self.reader.loads, cursor)
        await cursor.execute(statement.query, statement.parameters)
        try:
            rows = await cursor.fetchall()
        except wire.UNDECODABLE:
            rows = wire.decode_again(cursor, self.reader.loads)
        return statement.decode(rows)

    async def _handle_one(
        self,
        connection: psycopg.AsyncConnection[Any],
        unit: list[StreamMessage],
        progress: Progress,
        goes_on: Callable[[], bool],
    ) -> Outcome:
        """Call the handler, and undo what it did if it fails."""
        started = time.perf_counter()
        progress.begin(unit, connection)
        try:
            await self._call_one(connection, unit)
        # Whatever a handler raises is a failure of its message.
        except BaseException as error:  # noqa: BLE001
            await self._undo(connection, "pgmq_message", unit[0], error)
            interrupted = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            if interrupted:  # sync: -
                await asyncio.sleep(0)  # the worker may be cancelled as well  # sync: -
            if interrupted and not goes_on():
                return RETURNED
            outcome = failure(error, time.perf_counter() - started)
        else:
            outcome = Outcome("done", time.perf_counter() - started)
        finally:
            progress.end()
        if outcome.kind == "rejected":
            outcome = await self._reject(connection, unit, outcome)
        # The next one's savepoint is made by the same round trip.
        then = "RELEASE SAVEPOINT pgmq_message; SAVEPOINT pgmq_message"
        await self._keep(connection, then, unit[0])
        return outcome

    async def _call_one(
        self, connection: psycopg.AsyncConnection[Any], unit: list[StreamMessage]
    ) -> None:
        broken = next((outcome for each in unit if (outcome := undecoded(each))), None)
        if broken is not None and broken.exception is not None:
            raise broken.exception
        await self._call_with(connection, unit if self.batch else unit[0])
        status = connection.info.transaction_status
        if status == TransactionStatus.INERROR:
            raise HandlerError("the handler left its transaction as an error had broken it")
        if status != TransactionStatus.INTRANS and not connection.closed:
            raise HandlerError(_ENDED)

    async def _reject(
        self,
        connection: psycopg.AsyncConnection[Any],
        unit: list[StreamMessage],
        outcome: Outcome,
    ) -> Outcome:
        error = storable_on(connection, outcome.error)
        try:
            for each in unit:
                lease = each.lane, each.epoch
                await self._ask(connection, statements.reject, *lease, each.msg_id, error)
        except psycopg.errors.ObjectNotInPrerequisiteState as problem:
            await self._undo(connection, "pgmq_message", unit[0], problem)
            return unrejected(outcome.error, problem)
        return outcome

    async def _check(
        self,
        connection: psycopg.AsyncConnection[Any],
        outcomes: list[tuple[StreamMessage, Outcome]],
    ) -> list[tuple[StreamMessage, Outcome]]:
        """Check the constraints that are due in the end; the batch fails if one does not hold."""
        try:
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            await self._undo(connection, "pgmq_batch", outcomes[0][0], error)
            outcomes = [(outcomes[0][0], failure(error))]
        await self._keep(connection, "RELEASE SAVEPOINT pgmq_batch", outcomes[0][0])
        return outcomes

    async def _commit(
        self,
        connection: psycopg.AsyncConnection[Any],
        batch: StreamBatch,
        outcomes: list[tuple[StreamMessage, Outcome]],
    ) -> None:
        kept = True
        end = outcomes[-1][1]
        done = [message for message, outcome in outcomes if outcome.kind in ("done", "rejected")]
        # What was rejected is committed, with all before it.
        if done and outcomes[len(done) - 1][1].kind == "done":
            up_to = None if len(done) == len(batch) else done[-1].msg_id
            kept = await self._ask(connection, statements.commit, *batch.lease, up_to)
        if kept and len(done) < len(batch):
            delay, error = self.reader.how_to_release(end)
            error = storable_on(connection, error)
            kept = await self._ask(connection, statements.release, *batch.lease, delay, error)
        if not kept:
            raise LeaseLostError

    async def _undo(
        self,
        connection: psycopg.AsyncConnection[Any],
        savepoint: str,
        message: StreamMessage,
        reason: BaseException,
    ) -> None:
        try:
            await connection.execute(f"ROLLBACK TO SAVEPOINT {savepoint}".encode())
        except psycopg.Error:
            await connection.close()  # nothing of it may be committed any more
            raise TransactionLostError(message, reason) from None

    async def _keep(
        self, connection: psycopg.AsyncConnection[Any], release: str, message: StreamMessage
    ) -> None:
        """Release a savepoint; if it is not there, this is another transaction."""
        try:
            await connection.execute(release.encode())
        except psycopg.Error as error:
            reason = error if connection.closed else HandlerError(_ENDED)
            await connection.close()
            raise TransactionLostError(message, reason) from None
