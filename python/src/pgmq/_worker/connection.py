"""The connections of a worker: what runs on them does not wait for ever, for nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._async_connect import prepare
from pgmq.base import find_server, lasting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgmq._statements import Statement
    from pgmq._wire import Loads
    from pgmq.messages import WorkerMessage

__all__ = ["Connection", "Connections", "conninfo"]

T = TypeVar("T")

_HEARD = 3.0  # seconds in which a notification arrives, if it does
_BODY, _HEADERS = map(statements.MESSAGE.split(", ").index, ("message", "headers"))


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that limits its waits for locks, and can tell that the server is silent."""

    loads: Loads | None = None  # decodes JSON
    received = 0  # bytes of messages, in the last read
    headers: Sequence[Any] = ()  # of these messages, as JSON, where `loads` may make anything of it
    lock_timeout = 0  # milliseconds
    pooled = False  # whether its settings are not its own
    asks = False  # whether it waits for an answer
    listens = False  # whether it waits for notifications
    polls = False  # whether there are none to wait for
    silence = 0  # seconds without a byte, counted by the event loop's time: it may be blocked

    async def run(self, statement: Statement[T]) -> T:
        """Run a statement."""
        cursor = await self.execute(statement.query, statement.parameters)
        try:
            rows = await cursor.fetchall()
        except wire.UNDECODABLE:
            rows = wire.decode_again(cursor, self.loads)
        result = cursor.pgresult
        if result is not None and result.nfields > _BODY:
            bodies = (result.get_value(row, _BODY) for row in range(result.ntuples))
            self.received = sum(len(body or b"") for body in bodies)
            if self.loads is not None:
                texts = (result.get_value(row, _HEADERS) for row in range(result.ntuples))
                self.headers = [wire.loads(text or b"null") for text in texts]
        return statement.decode(rows)

    async def run_limited(self, statement: Statement[T]) -> T:
        """Run a statement that must not wait for a lock for long: LockNotAvailable is raised."""
        if not self.pooled:  # else it is a setting of the connection
            return await self.run(statement)
        async with self.transaction():
            await self.run(statements.limit("lock_timeout", self.lock_timeout))
            return await self.run(statement)

    async def run_unless_locked(
        self,
        queue: str,
        messages: list[WorkerMessage],
        make: Callable[[list[WorkerMessage]], Statement[list[int]]],
    ) -> tuple[list[int], list[WorkerMessage]]:
        """Run a statement for messages, but for those that another transaction holds locked.

        Returns its result, and those.
        """
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            return await self.run_limited(make(messages)), []
        msg_ids = [message.msg_id for message in messages]
        try:
            async with self.transaction():
                if self.pooled:
                    await self.run(statements.limit("lock_timeout", self.lock_timeout))
                table = await self.run(statements.queue_table(queue, "q"))
                free = await self.run(statements.there(table, msg_ids, free=True))
                held = await self.run(statements.there(table, msg_ids)) - free
                locked = [message for message in messages if message.msg_id in held]
                others = [message for message in messages if message.msg_id not in held]
                return (await self.run(make(others)) if others else []), locked
        except psycopg.errors.LockNotAvailable:
            return [], messages

    async def is_notified(self, seconds: float) -> bool:
        """Wait for a notification for so long."""
        if self.polls:
            await asyncio.sleep(seconds)
            return False
        notified = False
        self.listens = True
        try:
            async for _ in self.notifies(timeout=seconds, stop_after=1):
                notified = True
        finally:
            self.listens = False
        return notified

    async def hears(self, other: Connection) -> bool:
        """Say whether it is notified of what another connection announces."""
        channel = sql.Identifier(f"pgmq_{os.urandom(8).hex()}")
        await self.execute(sql.SQL("LISTEN {}").format(channel))
        await other.execute(sql.SQL("NOTIFY {}").format(channel))
        heard = await self.is_notified(_HEARD)
        await self.execute(sql.SQL("UNLISTEN {}").format(channel))
        return heard

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        if self.listens:
            return await super().wait(gen, *arguments, **options)
        self.asks, self.silence = True, 0
        try:
            return await super().wait(wire.followed(gen, self._note), *arguments, **options)
        finally:
            self.asks = False

    def _note(self, heard: bool) -> None:
        if heard:
            self.silence = 0

    def cut(self) -> None:
        """Have what waits for an answer raise an OperationalError."""
        with (
            contextlib.suppress(OSError, psycopg.OperationalError),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)


class Connections:
    """Opens connections, and cuts those to a server that does not answer."""

    def __init__(self, lock_timeout: int, loads: Loads | None) -> None:
        self._lock_timeout = lock_timeout
        self._loads = loads
        self._opened: weakref.WeakSet[Connection] = weakref.WeakSet()

    async def open(self, dsn: str, pooled: bool) -> Connection:
        """Open a connection."""
        connection = await Connection.connect(
            dsn, autocommit=True, prepare_threshold=None if pooled else 5
        )
        self._opened.add(connection)
        await prepare(connection)
        connection.pooled = connection.prepare_threshold is None
        connection.lock_timeout = self._lock_timeout
        if self._loads is not None:
            connection.loads = self._loads
            wire.decode_by(self._loads, connection)
        return connection

    async def watch(self, stopping: Callable[[], bool]) -> None:
        """Cut the connections to a server that does not answer.

        The network's own ways do not notice one that is frozen, or a proxy that has lost it.
        """
        while True:
            await asyncio.sleep(1)
            longest = wire.longest_silence(stopping())
            for connection in [*self._opened]:
                connection.silence += 1
                if connection.asks and connection.silence > longest:
                    connection.cut()


def conninfo(
    dsn: str | None,
    queue: str,
    synchronous_commit: bool,
    lock_timeout: int | None = None,
    *,
    read_committed: bool = False,
) -> str:
    """Find the server, and complete the connection string; what it says itself comes first."""
    given = find_server(dsn)
    options = str(given.get("options") or os.environ.get("PGOPTIONS", ""))
    if not synchronous_commit:
        options += " -c synchronous_commit=off"
    if lock_timeout is not None:
        options += f" -c lock_timeout={lock_timeout}"
    if read_committed:
        options += r" -c default_transaction_isolation=read\ committed"
    wanted = {
        "fallback_application_name": f"pgmq worker {queue}",
        "client_encoding": "UTF8",
    }
    given |= {"options": options} if options else {}
    return make_conninfo("", **(wanted | lasting(given)))
