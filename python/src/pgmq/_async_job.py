"""What one slot of a worker does, an asyncio task here: call the handler for messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from pgmq import _statements as statements
from pgmq._outcome import RETURNED, LeaseLostError, Outcome, failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pgmq.messages import Message

__all__ = ["AsyncJob"]


@dataclass(slots=True)
class AsyncJob:
    """A handler, and how to call it; several slots share it.

    Transactional: with a connection whose transaction also acknowledges. Batch: with a list.
    Ordered: after a message that failed the rest is not begun. Pooled: no prepared statements.
    """

    queue: str
    dsn: str
    handler: Callable[..., Any]
    transactional: bool
    batch: bool
    ordered: bool
    pooled: bool
    _free: list[psycopg.AsyncConnection[Any]] = field(default_factory=list)

    async def run(
        self, messages: list[Message], wanted: Callable[[Message], bool]
    ) -> list[Outcome]:
        """Handle messages one after another, as far as wanted() says that they still should be."""
        if self.batch:
            if not wanted(messages[0]):
                return [RETURNED] * len(messages)
            return [await self._handle(messages, messages, wanted)] * len(messages)
        outcomes: list[Outcome] = []
        blocked = False
        for message in messages:
            if blocked or not wanted(message):
                outcomes.append(RETURNED)
                continue
            outcome = await self._handle(message, [message], wanted)
            blocked = self.ordered and outcome.kind in ("retry", "failed", "lost")
            outcomes.append(outcome)
        return outcomes

    async def close(self) -> None:
        """Close the connections of the slots."""
        while self._free:
            await self._free.pop().close()

    async def _handle(
        self, argument: Any, messages: list[Message], wanted: Callable[[Message], bool]
    ) -> Outcome:
        started = time.perf_counter()
        try:
            if self.transactional:
                await self._with_transaction(argument, messages)
            else:
                await self.handler(argument)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            if isinstance(error, asyncio.CancelledError) and not wanted(messages[0]):
                return RETURNED
            return failure(error, time.perf_counter() - started)
        return Outcome("done", time.perf_counter() - started)

    async def _with_transaction(self, argument: Any, messages: list[Message]) -> None:
        async with self._transaction() as connection:
            await self.handler(argument, connection)
            ack = statements.ack_batch(
                self.queue, [m.msg_id for m in messages], [m.read_ct for m in messages]
            )
            cursor = await connection.execute(ack.query, ack.parameters)
            if len(ack.decode(await cursor.fetchall())) < len(messages):
                raise LeaseLostError

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                while True:
                    try:
                        connection, used = self._free.pop(), True
                    except IndexError:
                        connection, used = await self._connect(), False
                    try:
                        await stack.enter_async_context(connection.transaction())
                        break
                    except psycopg.OperationalError:
                        # One that has been used may have broken since.
                        await connection.close()
                        if not used:
                            raise
                yield connection
        finally:
            if connection is not None:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._free.append(connection)
                else:
                    await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, prepare_threshold=None if self.pooled else 5
        )
