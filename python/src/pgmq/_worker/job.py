"""What one slot of a worker does, a thread or a process here: call the handler for messages."""

# Made of async_job.py by `make sync`: change that one.

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus

from pgmq import _observing as observing
from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._connect import prepare
from pgmq._worker.outcome import (
    RETURNED,
    HandlerError,
    LeaseLostError,
    NoConnectionError,
    Outcome,
    end_process,
    failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pgmq._worker.progress import Progress
    from pgmq.messages import WorkerMessage

__all__ = ["Job"]

log = logging.getLogger("pgmq.worker")

_LONGEST_PAUSE = 2.0  # seconds between two attempts to connect
_ENDED = "the handler ended the transaction that it was called in"


@dataclass(slots=True)
class Job:
    """A handler, or one for each queue, and how to call it; several slots share it.

    Transactional: with a connection whose transaction also acknowledges. Batch: with a list.
    Ordered: after a message that failed the rest is not begun. Pooled: no prepared statements.
    Timeout: for a call, in seconds.
    """

    queue: str
    dsn: str
    handler: Callable[..., Any] | Mapping[str, Callable[..., Any]]
    transactional: bool
    batch: bool
    ordered: bool
    pooled: bool
    group: str | None
    timeout: float | None = None
    _free: list[psycopg.Connection[Any]] = field(default_factory=list)

    def run(self, progress: Progress, wanted: Callable[[WorkerMessage], bool]) -> None:
        """Handle messages one after another, as far as wanted() says that they still should be."""
        messages, outcomes = progress.messages, progress.outcomes
        if self.batch:
            outcome = RETURNED
            if wanted(messages[0]):
                outcome = self._handle(messages, progress, wanted)
            outcomes += [outcome] * len(messages)
            return
        blocked = False
        for message in messages:
            if blocked or progress.abandoned or not wanted(message):
                outcomes.append(RETURNED)
                continue
            outcome = self._handle([message], progress, wanted)
            blocked = self.ordered and outcome.kind in ("retry", "failed", "lost")
            outcomes.append(outcome)

    def close(self) -> None:
        """Close the connections of the slots."""
        while self._free:
            self._free.pop().close()

    def _handle(
        self,
        messages: list[WorkerMessage],
        progress: Progress,
        wanted: Callable[[WorkerMessage], bool],
    ) -> Outcome:
        """Handle a message, or a batch, as soon as there is a connection to work on.

        That there is none is no failure of the messages: their leases last meanwhile.
        """
        for attempt in itertools.count():
            try:
                return self.attempt(messages, progress, wanted)
            except NoConnectionError as error:
                self._wait_for_connection(attempt, error)
            if not wanted(messages[0]):
                break
        return RETURNED

    def _wait_for_connection(self, attempt: int, error: NoConnectionError) -> None:
        seconds = wire.backoff(attempt, _LONGEST_PAUSE)
        extra = {"queue": self.queue, "attempt": attempt, "seconds": seconds}
        text = "worker of queue %s: no connection for the handler: %s"
        log.warning(text, self.queue, error, extra=extra)
        time.sleep(seconds)

    def attempt(
        self,
        messages: list[WorkerMessage],
        progress: Progress,
        wanted: Callable[[WorkerMessage], bool],
    ) -> Outcome:
        """Call the handler; raises a NoConnectionError if it cannot be called."""
        argument = messages if self.batch else messages[0]
        started = time.perf_counter()
        try:
            if self.transactional:
                self._with_transaction(argument, messages, progress)
            else:
                progress.begin(messages)
                self._call(argument)
        except NoConnectionError:
            raise
        # Whatever a handler raises is a failure of its message: sys.exit() does not end the
        # worker, nor does what is no Exception, such as a panic of an extension in Rust.
        except BaseException as error:  # noqa: BLE001
            interrupted = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
            if interrupted and not wanted(messages[0]):
                return RETURNED
            return failure(error, time.perf_counter() - started)
        finally:
            progress.end()
        return Outcome("done", time.perf_counter() - started)

    def _call(self, *arguments: Any) -> None:
        """Call the handler, and see that it has done its work.

        A process that the handler forks, and that comes back here, ends: it has copies of the
        connections, and of the whole worker.
        """
        process = os.getpid()
        try:
            with observing.handling(self._queue_of(arguments[0]), self.group, arguments[0]):
                self._work(*arguments)
        except BaseException as error:
            if os.getpid() != process:
                end_process(error)
            raise
        if os.getpid() != process:
            end_process(None)

    def _call_with(self, connection: psycopg.Connection[Any], argument: Any) -> None:
        """Call the handler with a connection, whose cursors and rows are as they were then."""
        rows, cursors = connection.row_factory, connection.cursor_factory
        try:
            self._call(argument, connection)
        finally:
            connection.row_factory, connection.cursor_factory = rows, cursors

    def _work(self, argument: Any, *connection: Any) -> None:
        handler = self.handler
        if not callable(handler):
            handler = handler[self._queue_of(argument)]
        result = handler(argument, *connection)
        if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
            if inspect.iscoroutine(result):
                result.close()  # or Python warns that it was never awaited
            raise HandlerError(
                f"the handler returned a {type(result).__name__}, which nobody awaits or iterates"
            )

    def _queue_of(self, argument: Any) -> str:
        """Say of which queue a message or a batch is; those of a stream do not say it."""
        name: str = getattr(argument[0] if self.batch else argument, "queue_name", self.queue)
        return name

    def _with_transaction(
        self, argument: Any, messages: list[WorkerMessage], progress: Progress
    ) -> None:
        with self._transaction() as (connection, began):
            progress.begin(messages, connection)
            self._call_with(connection, argument)
            status = connection.info.transaction_status
            if status == TransactionStatus.INERROR:
                raise HandlerError("the handler left its transaction as an error had broken it")
            # Nothing is acknowledged but with what the handler did.
            if status != TransactionStatus.INTRANS:
                raise HandlerError(_ENDED)
            ack = statements.ack_in_transaction(
                messages[0].queue_name, *statements.leases(messages)
            )
            cursor = connection.execute(ack.query, ack.parameters)
            now, acknowledged = ack.decode(cursor.fetchall())
            if now != began:
                raise HandlerError(_ENDED)
            if acknowledged < len(messages):
                raise LeaseLostError

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[tuple[psycopg.Connection[Any], str]]:
        """Begin a transaction; yields the connection, and when the server says that it began.

        No other transaction of a session begins in the same microsecond, so that is its identity;
        its xid would hold up vacuum for as long as the handler runs.
        """
        connection = None
        try:
            with contextlib.ExitStack() as stack:
                while True:
                    used = True
                    try:
                        try:
                            connection = self._free.pop()
                        except IndexError:
                            used = False
                            connection = self._connect()
                        stack.enter_context(connection.transaction())
                        cursor = connection.execute("SELECT now()::text")
                        [(began,)] = cursor.fetchall()
                        break
                    except (psycopg.OperationalError, psycopg.InternalError) as error:
                        if connection is not None:
                            connection.close()
                        stack.pop_all()
                        # One that has been used may have broken since.
                        if not used:
                            raise NoConnectionError(str(error).strip()) from error
                yield connection, began
        finally:
            if connection is not None:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    self._free.append(connection)
                else:
                    connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.Connection.connect(
            self.dsn, autocommit=True, prepare_threshold=None if self.pooled else 5
        )
        prepare(connection)
        return connection
