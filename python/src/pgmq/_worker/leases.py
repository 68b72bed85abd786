"""What a worker asks of its queue, without waiting long for a lock: lease, acknowledge, return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import psycopg

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._statements import leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq._statements import Statement
    from pgmq._worker.connection import Connection
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import Message

__all__ = ["READS", "Leases", "Read"]

Read = Literal["read", "read_grouped", "read_grouped_rr", "read_grouped_head"]

READS: dict[str, Callable[[str, int, int], Statement[list[Message]]]] = {
    "read": statements.read,
    "read_grouped": statements.read_grouped,
    "read_grouped_rr": statements.read_grouped_rr,
    "read_grouped_head": statements.read_grouped_head,
}


class Leases:
    """The calls of a worker for a queue; `locked` are messages that somebody else has locked."""

    def __init__(self, queue: str, vt: int, read: Read) -> None:
        self.queue = queue
        self.vt = vt
        self.grouped = read != "read"
        self._read = READS[read]

    async def read(self, connection: Connection, quantity: int) -> list[Message]:
        """Lease messages; LockNotAvailable is raised when the whole table is locked."""
        return await connection.run_limited(self._read(self.queue, self.vt, quantity))

    async def acknowledge_and_read(
        self, connection: Connection, done: list[Message], quantity: int
    ) -> list[Message]:
        """Do both in one statement; LockNotAvailable is raised when a message is locked."""
        return await connection.run_limited(
            statements.ack_and_read(self.queue, self.vt, quantity, *leases(done))
        )

    async def acknowledge(
        self, connection: Connection, done: list[Message]
    ) -> tuple[list[Message], list[Message]]:
        """Acknowledge messages; return those whose lease was lost, and those that are locked."""
        kept, locked = await connection.run_unless_locked(
            self.queue,
            done,
            lambda messages: statements.ack_batch(self.queue, *leases(messages)),
        )
        return _lost(done, kept, locked), locked

    async def extend(self, connection: Connection, held: list[Message]) -> list[Message]:
        """Extend leases; return the messages whose lease was lost."""
        kept, locked = await connection.run_unless_locked(
            self.queue,
            held,
            lambda messages: statements.extend_batch(self.queue, *leases(messages), self.vt),
        )
        return _lost(held, kept, locked)

    async def refuse(
        self, connection: Connection, refused: list[tuple[Message, Outcome]]
    ) -> list[Message]:
        """Return or reject messages, those with the same error together; return the locked ones."""
        alike: dict[tuple[bool, int | None, str | None], list[Message]] = {}
        for message, outcome in refused:
            key = (outcome.kind == "rejected", outcome.delay, outcome.error)
            alike.setdefault(key, []).append(message)
        return [
            message
            for key, messages in alike.items()
            for message in await self._refuse_alike(connection, messages, *key)
        ]

    async def _refuse_alike(
        self,
        connection: Connection,
        messages: list[Message],
        rejected: bool,
        delay: int | None,
        error: str | None,
    ) -> list[Message]:
        def refuse(those: list[Message]) -> Statement[list[int]]:
            if rejected:
                return statements.archive_leased(self.queue, *leases(those), error)
            return statements.nack_batch(self.queue, *leases(those), delay, error)

        try:
            _, locked = await connection.run_unless_locked(self.queue, messages, refuse)
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            if error is not None and not error.isascii():
                # The database has not all characters.
                error = wire.escaped(error)
                return await self._refuse_alike(connection, messages, rejected, delay, error)
            if len(messages) > 1:
                return [
                    each
                    for message in messages
                    for each in await self._refuse_alike(
                        connection, [message], rejected, delay, error
                    )
                ]
            if not rejected:
                raise
            # Its archive does not take it.
            error = f"{error}; it cannot be archived: {problem}"
            return await self._refuse_alike(connection, messages, False, None, error)
        return locked


def _lost(messages: list[Message], kept: list[int], locked: list[Message]) -> list[Message]:
    ours = {*kept, *(message.msg_id for message in locked)}
    return [message for message in messages if message.msg_id not in ours]
