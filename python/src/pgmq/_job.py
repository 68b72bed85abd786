"""What one slot of a worker does, a thread or a process here: call the handler for messages."""

# Made of _async_job.py by `make sync`: change that one.

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
    from collections.abc import Callable, Iterator

    from pgmq.messages import Message

__all__ = ["Job"]


@dataclass(slots=True)
class Job:
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
    _free: list[psycopg.Connection[Any]] = field(default_factory=list)

    def run(self, messages: list[Message], wanted: Callable[[Message], bool]) -> list[Outcome]:
        """Handle messages one after another, as far as wanted() says that they still should be."""
        if self.batch:
            if not wanted(messages[0]):
                return [RETURNED] * len(messages)
            return [self._handle(messages, messages, wanted)] * len(messages)
        outcomes: list[Outcome] = []
        blocked = False
        for message in messages:
            if blocked or not wanted(message):
                outcomes.append(RETURNED)
                continue
            outcome = self._handle(message, [message], wanted)
            blocked = self.ordered and outcome.kind in ("retry", "failed", "lost")
            outcomes.append(outcome)
        return outcomes

    def close(self) -> None:
        """Close the connections of the slots."""
        while self._free:
            self._free.pop().close()

    def _handle(
        self, argument: Any, messages: list[Message], wanted: Callable[[Message], bool]
    ) -> Outcome:
        started = time.perf_counter()
        try:
            if self.transactional:
                self._with_transaction(argument, messages)
            else:
                self.handler(argument)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            if isinstance(error, asyncio.CancelledError) and not wanted(messages[0]):
                return RETURNED
            return failure(error, time.perf_counter() - started)
        return Outcome("done", time.perf_counter() - started)

    def _with_transaction(self, argument: Any, messages: list[Message]) -> None:
        with self._transaction() as connection:
            self.handler(argument, connection)
            ack = statements.ack_batch(
                self.queue, [m.msg_id for m in messages], [m.read_ct for m in messages]
            )
            cursor = connection.execute(ack.query, ack.parameters)
            if len(ack.decode(cursor.fetchall())) < len(messages):
                raise LeaseLostError

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        connection = None
        try:
            with contextlib.ExitStack() as stack:
                while True:
                    try:
                        connection, used = self._free.pop(), True
                    except IndexError:
                        connection, used = self._connect(), False
                    try:
                        stack.enter_context(connection.transaction())
                        break
                    except psycopg.OperationalError:
                        # One that has been used may have broken since.
                        connection.close()
                        if not used:
                            raise
                yield connection
        finally:
            if connection is not None:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._free.append(connection)
                else:
                    connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.Connection.connect(
            self.dsn, autocommit=True, prepare_threshold=None if self.pooled else 5
        )
