"""What a worker asks of its queues, without waiting long for a lock: lease, acknowledge, return."""

from __future__ import annotations

import functools
import random
import time
from typing import TYPE_CHECKING, Any, Literal

import psycopg

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._retrying import retry_delay
from pgmq._statements import leases
from pgmq._worker.hooks import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pgmq._statements import Statement
    from pgmq._worker.connection import Connection
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import Message, Policy, WorkerMessage

__all__ = ["GONE", "READS", "Leases", "Read", "by_queue"]

Read = Literal["read", "read_grouped", "read_grouped_rr", "read_grouped_head"]

READS: dict[str, Callable[[str, int, int], Statement[list[Message]]]] = {
    "read": statements.read,
    "read_grouped": statements.read_grouped,
    "read_grouped_rr": statements.read_grouped_rr,
    "read_grouped_head": statements.read_grouped_head,
}
# A queue that was dropped, or that the worker may not use any more.
GONE = (psycopg.ProgrammingError, psycopg.InternalError)
_ASIDE = 10.0  # seconds until a queue that cannot be read is tried again


class Leases:
    """The calls of a worker for its queues; `locked` are messages that somebody else has locked.

    Several queues are read in their order, or in one that is drawn by their weights. One of them
    that is gone, or locked as a whole, does not keep the others from being read.
    """

    def __init__(
        self, queues: Sequence[str], weights: Sequence[float], vt: int, read: Read, retry_delay: int
    ) -> None:
        self.queues = queues
        self.vt = vt
        self._weights = weights  # empty: in order of priority
        self._retry_delay = retry_delay
        self.grouped = read != "read"
        self._read = READS[read]
        self._aside: dict[str, float] = {}  # queues that could not be read, and until when
        self._has_read = False
        self._headers: dict[int, Any] = {}  # by the identity of what was read last

    @property
    def several(self) -> bool:
        """Whether there is more than one queue."""
        return len(self.queues) > 1

    def headers_of(self, message: WorkerMessage) -> Any:
        """Return the headers of a message that was just read, whatever `loads` has made of them."""
        return self._headers.get(id(message), message.headers)

    async def read(self, connection: Connection, quantity: int) -> list[WorkerMessage]:
        """Lease messages; LockNotAvailable is raised when all there is to read is locked."""
        self._headers = {}
        if not self.several:
            return await self._read_one(connection, self.queues[0], quantity)
        now = time.monotonic()
        turn = self._in_turn()
        queues = [each for each in turn if self._aside.get(each, now) <= now] or [*turn]
        try:
            read = statements.read_any_for_worker(queues, self.vt, quantity)
            messages = await self._run(connection, read)
        except (psycopg.errors.LockNotAvailable, *GONE) as error:
            if not self._has_read and isinstance(error, GONE):
                raise
            return await self._read_each(connection, queues, quantity)
        self._take_back(queues)
        self._has_read = True
        return messages

    async def _read_one(
        self, connection: Connection, queue: str, quantity: int
    ) -> list[WorkerMessage]:
        read = statements.for_worker(self._read(queue, self.vt, quantity), queue)
        return await self._run(connection, read)

    async def _run(
        self, connection: Connection, read: Statement[list[WorkerMessage]]
    ) -> list[WorkerMessage]:
        messages = await connection.run_limited(read)
        self._headers.update(zip(map(id, messages), connection.headers, strict=False))
        return messages

    async def _read_each(
        self, connection: Connection, queues: list[str], quantity: int
    ) -> list[WorkerMessage]:
        """Read one queue after the other, and set aside those that cannot be read."""
        messages: list[WorkerMessage] = []
        for queue in queues:
            if len(messages) == quantity:
                break
            try:
                messages += await self._read_one(connection, queue, quantity - len(messages))
            except (psycopg.errors.LockNotAvailable, *GONE) as error:
                if queue not in self._aside:
                    text = "queue %s cannot be read, and is tried again every %d s: %s"
                    log.warning(text, queue, _ASIDE, error, extra={"queue": queue})
                self._aside[queue] = time.monotonic() + _ASIDE
                if len(self._aside) == len(self.queues):
                    raise
            else:
                self._take_back([queue])
        return messages

    def _take_back(self, queues: list[str]) -> None:
        for queue in [each for each in queues if each in self._aside]:
            del self._aside[queue]
            log.info("queue %s is read again", queue, extra={"queue": queue})

    def _in_turn(self) -> Sequence[str]:
        """Return the queues in the order of this read."""
        if not self._weights:
            return self.queues
        # Each comes first as often as its share of the weights says, and so on for the rest.
        draws = [random.random() ** (1 / weight) for weight in self._weights]  # noqa: S311
        return [queue for _, queue in sorted(zip(draws, self.queues, strict=True), reverse=True)]

    async def acknowledge_and_read(
        self, connection: Connection, done: list[WorkerMessage], quantity: int
    ) -> list[WorkerMessage]:
        """Do both in one statement; LockNotAvailable is raised when a message is locked."""
        (queue,) = self.queues
        self._headers = {}
        both = statements.ack_and_read(queue, self.vt, quantity, *leases(done))
        return await self._run(connection, statements.for_worker(both, queue))

    async def acknowledge(
        self, connection: Connection, done: list[WorkerMessage]
    ) -> tuple[list[WorkerMessage], list[WorkerMessage]]:
        """Acknowledge messages; return those whose lease was lost, and those that are locked."""
        return await self._keep(
            connection,
            done,
            lambda queue, messages: statements.ack_batch(queue, *leases(messages)),
        )

    async def extend(
        self, connection: Connection, held: list[WorkerMessage]
    ) -> list[WorkerMessage]:
        """Extend leases; return the messages whose lease was lost."""
        lost, _ = await self._keep(
            connection,
            held,
            lambda queue, messages: statements.extend_batch(queue, *leases(messages), self.vt),
        )
        return lost

    async def _keep(
        self,
        connection: Connection,
        messages: list[WorkerMessage],
        make: Callable[[str, list[WorkerMessage]], Statement[list[int]]],
    ) -> tuple[list[WorkerMessage], list[WorkerMessage]]:
        """Run a statement for the messages of each queue; return the lost and the locked ones."""
        lost: list[WorkerMessage] = []
        locked: list[WorkerMessage] = []
        for queue, those in by_queue(messages).items():
            kept: list[int] = []
            stuck: list[WorkerMessage] = []
            try:
                kept, stuck = await connection.run_unless_locked(
                    queue, those, functools.partial(make, queue)
                )
            except GONE:
                if not self.several:
                    raise
            ours = {*kept, *(message.msg_id for message in stuck)}
            lost += [message for message in those if message.msg_id not in ours]
            locked += stuck
        return lost, locked

    async def policy(self, connection: Connection, queue: str) -> Policy:
        """Ask what becomes of messages that failed."""
        return await connection.run(statements.get_policy(queue))

    async def refuse(
        self,
        connection: Connection,
        queue: str,
        refused: list[tuple[WorkerMessage, Outcome]],
        policy: Policy | None,
    ) -> list[WorkerMessage]:
        """Return or reject messages, those with the same error together; return the locked ones.

        The policy is needed where messages have failed.
        """
        alike: dict[tuple[bool, int | None, str | None], list[WorkerMessage]] = {}
        for message, outcome in refused:
            delay = outcome.delay
            if delay is None and policy is not None:
                delay = retry_delay(policy, message.read_ct, self._retry_delay)
            key = (outcome.kind == "rejected", delay, outcome.error)
            alike.setdefault(key, []).append(message)
        return [
            message
            for key, messages in alike.items()
            for message in await self._refuse_alike(connection, queue, messages, *key)
        ]

    async def _refuse_alike(
        self,
        connection: Connection,
        queue: str,
        messages: list[WorkerMessage],
        rejected: bool,
        delay: int | None,
        error: str | None,
    ) -> list[WorkerMessage]:
        def refuse(those: list[WorkerMessage]) -> Statement[list[int]]:
            if rejected:
                return statements.archive_leased(queue, *leases(those), error)
            return statements.nack_batch(queue, *leases(those), delay, error)

        try:
            _, locked = await connection.run_unless_locked(queue, messages, refuse)
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            if error is not None and not error.isascii():
                # The database has not all characters.
                error = wire.escaped(error)
                return await self._refuse_alike(connection, queue, messages, rejected, delay, error)
            if len(messages) > 1:
                return [
                    each
                    for message in messages
                    for each in await self._refuse_alike(
                        connection, queue, [message], rejected, delay, error
                    )
                ]
            if not rejected:
                raise
            # Its archive does not take it.
            error = f"{error}; it cannot be archived: {problem}"
            return await self._refuse_alike(connection, queue, messages, False, None, error)
        return locked


def by_queue(messages: Iterable[WorkerMessage]) -> dict[str, list[WorkerMessage]]:
    """Divide messages by their queues."""
    divided: dict[str, list[WorkerMessage]] = {}
    for message in messages:
        divided.setdefault(message.queue_name, []).append(message)
    return divided
