"""What all workers do but call the handler: read, keep leases, acknowledge, wait, connect again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import math
import os
import random
import signal
import socket
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgmq import _statements as statements
from pgmq import _wire as wire
from pgmq._async_connect import prepare
from pgmq._outcome import RETURNED, HandlerError, Outcome, failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from pgmq._statements import Statement
    from pgmq.messages import Message

__all__ = ["Engine", "Hooks"]

T = TypeVar("T")

Read = Literal["read", "read_grouped", "read_grouped_rr", "read_grouped_head"]

log = logging.getLogger("pgmq.worker")

_AHEAD = 0.5  # seconds of work that may wait in the worker, where others cannot have it
_AHEAD_BYTES = 32 << 20  # of JSON that may wait there
_UNIT = 0.005  # seconds of work that are handed to a slot at once, where calls are short
_LINGER = 0.05  # seconds that an acknowledgement may wait for others to go with it
_SOON = 0.1  # seconds, when there is something that cannot be had
_LOCKED = 1.0  # seconds to wait for a lock, at most, and until what was locked is tried again
_SILENCE = 60  # seconds until a server that does not answer is taken for dead
_SILENCE_STOPPING = 5  # the same, when the worker is stopped
_LAST_TRIES = 3  # to acknowledge what somebody else has locked, when the worker is stopped


class Hooks:
    """What a worker reports, for metrics: override what you need.

    The methods are called on the worker's event loop, between other things: they should be quick,
    and what they raise ends the worker, as stop() does: run() raises it when nothing is in hand any
    more. seconds are those that the handler took (of a whole batch, where it takes batches).

        >>> class Count(Hooks):
        ...     done = 0
        ...
        ...     def on_done(self, queue, message, seconds):
        ...         self.done += 1
        >>> hooks = Count()
        >>> Worker(dsn, "jobs", lambda message: None, hooks=hooks).run(until_empty=True)
        >>> hooks.done
        1
    """

    def on_read(self, queue: str, messages: Sequence[Message]) -> None:
        """Hear what was leased."""

    def on_done(self, queue: str, message: Message, seconds: float) -> None:
        """Hear that the handler is done with a message; transactional: and it is committed."""

    def on_error(
        self, queue: str, message: Message, seconds: float, exception: BaseException
    ) -> None:
        """Hear what the handler raised, Retry and Reject too; HandlerError in a ProcessWorker."""

    def on_lost(self, queue: str, message: Message) -> None:
        """Hear that the lease of a message was lost: somebody else has it, or it is gone."""

    def on_disconnect(self, queue: str, error: Exception, seconds: float) -> None:
        """Hear that a connection was lost, or not to be had; the next attempt is in seconds."""


class Engine(ABC):
    """Everything but where the handler runs."""

    _awaits = False  # whether coroutine functions are handlers

    def __init__(
        self,
        dsn: str,
        queue: str,
        handler: Callable[..., Any],
        *,
        vt: int = 30,
        batch_size: int = 100,
        concurrency: int = 1,
        transactional: bool = False,
        batch: bool = False,
        read: Read = "read",
        poll_interval: float = 5.0,
        reconnect_interval: float = 30.0,
        synchronous_commit: bool = False,
        listen_dsn: str | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        """Keep the settings; nothing is connected before run().

        `dsn` is a connection string of libpq. The handler is called with a Message, of
        `concurrency` calls at a time. When it returns, the message is acknowledged. When it
        raises, whatever that is, the message is returned with the error in the header
        x-pgmq-error, and the queue's policy says when it is visible again and how often that may
        happen; see also Retry and Reject. The handler is not called for a message of which Python
        cannot decode the JSON (nested too deep, or with a number of more than 4,300 digits):
        that is returned with an error too.

        `transactional`: the handler is called with a Message and a connection, on which it works
        in a transaction that also acknowledges the message: its effects happen exactly once. If
        the acknowledgement is refused they are rolled back.

        `batch`: it is called with a list of up to batch_size messages, which are acknowledged or
        returned together.

        `read` is the function to read with. With those of FIFO groups no two messages of a group
        are handled at a time, and when one failed the later ones are returned; a batch is of one
        group.

        `vt` is the lease in seconds. It is extended while a handler runs, so it is how long a
        message is out of reach when its worker is killed. `batch_size` is how many are read at
        once at most, and half of what may wait for a call; fewer, where handlers take their time.

        `poll_interval` is in seconds and varies at random by a quarter: when to look although
        nothing says that there is something. `reconnect_interval` is the longest time between two
        attempts to connect.

        With `synchronous_commit` False the worker's own connections, which read, acknowledge and
        return, do not wait for the disk: what a crash of the server undoes is handed out again.
        The connections of a transactional handler are as the server has them.

        `listen_dsn` is for when dsn leads to a pooler that changes sessions: a direct connection
        to LISTEN on. On the others nothing is prepared or set then, synchronous_commit neither.
        """
        for name, value in (("vt", vt), ("batch_size", batch_size), ("concurrency", concurrency)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1: {value}")
        if not 0 < poll_interval <= 2400:
            raise ValueError(f"poll_interval must be between 0 and 2400 seconds: {poll_interval}")
        if read not in _READS:
            raise ValueError(f"read must be one of {', '.join(_READS)}: {read}")
        _check_handler(handler, self._awaits)
        self.queue = queue
        self.vt = vt
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.transactional = transactional
        self.batch = batch
        self.read: Read = read
        self.poll_interval = poll_interval
        self.reconnect_interval = reconnect_interval
        self.hooks = hooks or Hooks()
        self._pooled = listen_dsn is not None
        # Milliseconds: what somebody else has locked must not cost the leases of all others.
        self._lock_timeout = int(1000 * min(_LOCKED, vt / 6))
        self._dsn = _conninfo(
            dsn,
            queue,
            synchronous_commit or self._pooled,
            None if self._pooled else self._lock_timeout,
        )
        self._listen_dsn = _conninfo(listen_dsn or dsn, queue, synchronous_commit)
        self._grouped = read != "read"
        self._job_of = (
            queue, _conninfo(dsn, queue, True), handler, transactional, batch, self._grouped,
            self._pooled,
        )  # fmt: skip

        self._buffer: deque[list[Message]] = deque()  # what no slot has begun
        self._running: set[asyncio.Task[None]] = set()
        self._held: dict[int, Message] = {}  # what is in the buffer or running
        self._done: list[Message] = []  # to acknowledge
        self._done_since = 0.0
        self._locked: list[Message] = []  # to acknowledge, but somebody else has locked them
        self._locked_since = 0.0
        self._locked_tries = 0  # since stop() was called
        self._served = False  # whether the server has done what the worker needs
        self._refused: list[tuple[Message, Outcome]] = []  # to return or reject
        self._pace: float | None = None  # seconds that a message takes
        self._size = 1.0  # bytes that a message has
        self._look = True  # whether there may be something to read
        self._drained = False  # whether the last read found all there was
        self._attempts = 0  # to connect
        self._error: BaseException | None = None  # of what runs beside
        self._failed: BaseException | None = None  # what run() raises at the end
        self._stop_asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()

    def stop(self) -> None:
        """Read no more, finish the calls that run, return the rest to the queue, and end run().

        May be called from any thread. SIGTERM and SIGINT do the same.
        """
        self._stop_asked = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._stopping)

    # Where the handler runs

    @abstractmethod
    async def _perform(self, unit: list[Message]) -> list[Outcome]:
        """Have the handler called for messages, one after another."""

    @abstractmethod
    def _begin(self) -> None:
        """Prepare to perform."""

    @abstractmethod
    async def _end(self) -> None:
        """Clean up."""

    def _wanted(self, message: Message) -> bool:
        """Say whether a message should still be handled; called from any thread."""
        return not self._stop_asked and self._held.get(message.msg_id) is message

    def _fail(self, error: BaseException) -> None:
        """End as stop() does, and then raise an error."""
        self._failed = self._failed or error
        self.stop()

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        """Log something or call a hook: whatever comes of that, no message must be forgotten."""
        try:
            what(*arguments)
        except BaseException as error:  # noqa: BLE001
            self._fail(error)

    def _stopping(self) -> None:
        """Notice that stop() was called."""
        self._stopped.set()
        self._turn.set()

    # From the beginning to the end

    async def _run(self, until_empty: bool, signals: bool) -> None:
        if self._loop is not None:
            raise RuntimeError("a worker runs once: make another one")
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Event()  # something happened
        self._empty = asyncio.Event()  # the queue was found empty
        self._stopped = asyncio.Event()  # stop() was called
        if self._stop_asked:
            return
        extra = {"queue": self.queue}
        log.info("worker of queue %s starts", self.queue, extra=extra)
        self._begin()
        try:
            with _signals(self) if signals else contextlib.nullcontext():
                work = asyncio.create_task(self._work(until_empty))
                watch = asyncio.create_task(self._watch())
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError as error:
                    self._fail(error)
                    for task in self._running:
                        task.cancel()
                    await work
                finally:
                    watch.cancel()
        finally:
            if self._running:
                await asyncio.wait(self._running)
            await self._end()
            log.info("worker of queue %s has ended", self.queue, extra=extra)
        if self._failed is not None:
            raise self._failed

    async def _work(self, until_empty: bool) -> None:
        """Work, and give back what is in hand, whatever ends that.

        That may also be a cancellation of all tasks: so a loop ends in which sys.exit() was called.
        """
        try:
            await self._persist(until_empty)
        except BaseException as error:  # noqa: BLE001
            self._fail(error)
        if not self._in_hand():
            return
        try:
            await self._persist(False)
        except BaseException as error:  # noqa: BLE001
            log.warning(
                "worker of queue %s: leases are left to end by themselves: %r", self.queue, error
            )

    def _in_hand(self) -> bool:
        return bool(self._held or self._done or self._refused or self._locked)

    async def _persist(self, until_empty: bool) -> None:
        """Work, and connect again when a connection is lost."""
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    connection = await self._connect(self._dsn, self._pooled)
                    stack.push_async_callback(connection.close)
                    listener = await self._connect(self._listen_dsn, False)
                    stack.push_async_callback(listener.close)
                    await self._serve(connection, listener, until_empty)
                return
            except psycopg.Error as error:  # noqa: PERF203
                if not wire.is_passing(error, self._served):
                    raise
                if not self._served and "startup parameter" in str(error):
                    raise ValueError(
                        "dsn leads to a pooler: give listen_dsn as well, a direct connection"
                    ) from error
                if self._stop_asked and not self._in_hand():
                    return
                if self._stop_asked and self._attempts and not self._running:
                    self._tell(self._report, "leases are left to end by themselves", error, 0.0)
                    self._held.clear()
                    self._done, self._refused, self._locked = [], [], []
                    return
                # Not all workers at the same time.
                longest = min(self.reconnect_interval, 0.1 * 2 ** min(self._attempts, 30))
                seconds = random.uniform(longest / 2, longest)  # noqa: S311
                self._attempts += 1
                self._tell(self._report, "no connection", error, seconds)
                if self._stop_asked:
                    await asyncio.sleep(min(seconds, 1.0))
                else:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._stopped.wait(), seconds)

    def _report(self, text: str, error: Exception, seconds: float) -> None:
        extra = {"queue": self.queue, "attempt": self._attempts, "seconds": seconds}
        log.warning("worker of queue %s: %s: %s", self.queue, text, error, extra=extra)
        self.hooks.on_disconnect(self.queue, error, seconds)

    async def _serve(
        self, connection: _Connection, listener: _Connection, until_empty: bool
    ) -> None:
        """Work as long as the connections do."""
        self._error = None
        self._look_again()
        self._announced = announced = await self._announcements(listener)
        await self._extend(connection)  # others may have what is in hand since
        beside = [
            asyncio.create_task(self._beside(self._keep)),
            asyncio.create_task(self._beside(lambda: self._listen(listener, announced))),
        ]
        try:
            while True:
                self._turn.clear()
                if self._error is not None:
                    raise self._error
                if self._stop_asked:
                    self._give_back()
                if self._refused:
                    await self._return(connection)
                again = await self._exchange(connection)
                self._dispatch()
                self._attempts = 0
                self._served = True
                if self._stop_asked and self._locked_tries >= _LAST_TRIES:
                    self._give_up()
                in_hand = self._in_hand()
                if not in_hand and (self._stop_asked or (until_empty and self._drained)):
                    return
                if until_empty and not in_hand:
                    self._look_again()
                elif not again:
                    await self._next_turn()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _next_turn(self) -> None:
        """Wait until something happens, or acknowledgements have waited long enough."""
        ends = []
        if self._done:
            ends.append(self._done_since + _LINGER)
        if self._locked:
            ends.append(self._locked_since + _LOCKED)
        timeout = max(0.0, min(ends) - time.monotonic()) if ends else None
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._turn.wait(), timeout)

    async def _beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # The main part raises the error when it gets there: it is never interrupted in a read,
        # whose messages would be leased to nobody.
        try:
            await work()
        except BaseException as error:  # noqa: BLE001
            self._error = error
            self._turn.set()

    # Reading and acknowledging

    def _room(self) -> int:
        """Say how many to read now; 0 while there are enough."""
        if self.batch:
            most = least = self.batch_size
            ahead = 0
        else:
            # As many as are handled soon: others may be free now. Two batches, so that one can be
            # read while the other is handled.
            waiting = 0.0 if self._pace is None else _AHEAD * self.concurrency / self._pace
            ahead = int(min(2 * self.batch_size, waiting, _AHEAD_BYTES / self._size))
            least, most = max(1, ahead // 2), self.batch_size
        wanted = self.concurrency * (self.batch_size if self.batch else 1) + ahead
        room = wanted - len(self._held)
        return min(room, most) if room >= least else 0

    async def _exchange(self, connection: _Connection) -> bool:
        """Acknowledge what is done and read, as far as it is time to; say whether to go on."""
        now = time.monotonic()
        if self._locked and now - self._locked_since >= _LOCKED:
            self._done, self._locked = self._locked + self._done, []
            self._done_since = now - _LINGER
            self._locked_tries += self._stop_asked
        quantity = self._room() if self._look and not self._stop_asked else 0
        waited = now - self._done_since >= _LINGER
        if not quantity and not (self._done and (waited or not self._held)):
            return False
        done, self._done = self._done, []
        if quantity:
            # From here on, whoever wants another look says so again.
            self._look, self._drained = False, True
        try:
            messages = await self._ack_and_read(connection, quantity, done)
        except BaseException:
            # Acknowledging twice does no harm.
            self._done = done + self._done
            raise
        if self._grouped and done:
            self._look_again()  # at the next ones of their groups
        if not quantity:
            return self._look
        if messages:
            self._held.update((message.msg_id, message) for message in messages)
            self._size = max(1.0, connection.received / len(messages))
            self._tell(self.hooks.on_read, self.queue, messages)
            self._buffer.extend(self._units(self._decoded(messages)))
        if len(messages) == quantity or (self._grouped and messages):
            self._look_again()
        else:
            self._empty.set()
        return self._look

    def _decoded(self, messages: list[Message]) -> list[Message]:
        """Leave out what Python could not decode: no handler can have that."""
        decoded = []
        for message in messages:
            for value in (message.message, message.headers):
                if isinstance(value, wire.UndecodableJSON):
                    error = HandlerError(f"Python cannot decode the message: {value.error}")
                    self._settle(message, failure(error))
                    break
            else:
                decoded.append(message)
        return decoded

    async def _ack_and_read(
        self, connection: _Connection, quantity: int, done: list[Message]
    ) -> list[Message]:
        read = _READS[self.read](self.queue, self.vt, quantity)
        if done and quantity and not self._grouped:
            acks = statements.ack_and_read(self.queue, self.vt, quantity, *_leases(done))
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                return await self._limited(connection, acks)
        if done:
            kept = await self._acknowledge(connection, done)
            for message in done:
                if message.msg_id not in kept:
                    self._lost(message)
        if not quantity:
            return []
        try:
            return await self._limited(connection, read)
        except psycopg.errors.LockNotAvailable:
            # The whole table is locked.
            asyncio.get_running_loop().call_later(_SOON, self._wake)
            return []

    async def _acknowledge(self, connection: _Connection, done: list[Message]) -> set[int]:
        """Acknowledge messages; return which of them are, or will be."""
        kept, locked = await self._unless_locked(
            connection,
            done,
            lambda messages: statements.ack_batch(self.queue, *_leases(messages)),
        )
        if locked:
            if not self._locked:
                self._locked_since = time.monotonic()
            self._locked += locked
        return {*(kept or []), *(message.msg_id for message in locked)}

    async def _limited(self, connection: _Connection, statement: Statement[T]) -> T:
        """Run a statement that must not wait for a lock for long."""
        if not connection.pooled:  # else it is a setting of the connection
            return await _run(connection, statement)
        async with connection.transaction():
            await connection.execute(
                "SELECT set_config('lock_timeout', %s, true)", [str(self._lock_timeout)]
            )
            return await _run(connection, statement)

    async def _unless_locked(
        self,
        connection: _Connection,
        messages: list[Message],
        make: Callable[[list[Message]], Statement[Any]],
    ) -> tuple[Any, list[Message]]:
        """Run a statement for messages, but for those that another transaction holds locked.

        Returns its result, and those.
        """
        with contextlib.suppress(psycopg.errors.LockNotAvailable):
            return await self._limited(connection, make(messages)), []
        msg_ids = [message.msg_id for message in messages]
        try:
            async with connection.transaction():
                if connection.pooled:
                    await connection.execute(
                        "SELECT set_config('lock_timeout', %s, true)", [str(self._lock_timeout)]
                    )
                table = await _run(connection, _table(self.queue))
                free = await _run(connection, _ids(table, msg_ids, skip_locked=True))
                held = {*await _run(connection, _ids(table, msg_ids))} - {*free}
                locked = [message for message in messages if message.msg_id in held]
                others = [message for message in messages if message.msg_id not in held]
                return (await _run(connection, make(others)) if others else None), locked
        except psycopg.errors.LockNotAvailable:
            return None, messages

    def _units(self, messages: list[Message]) -> list[list[Message]]:
        """Divide messages into what one slot handles one after another."""
        if self._grouped:
            groups: dict[str, list[Message]] = {}
            for message in messages:
                groups.setdefault(_group(message), []).append(message)
            return list(groups.values())
        if self.batch:
            size = self.batch_size
        else:
            share = math.ceil(len(messages) / self.concurrency)
            size = max(1, min(share, int(_UNIT / self._pace) if self._pace else 1))
        return [messages[i : i + size] for i in range(0, len(messages), size)]

    async def _return(self, connection: _Connection) -> None:
        """Return or reject what was not done, those with the same error together."""
        alike: dict[tuple[bool, int | None, str | None], list[tuple[Message, Outcome]]] = {}
        refused, self._refused = self._refused, []
        for message, outcome in refused:
            key = (outcome.kind == "rejected", outcome.delay, outcome.error)
            alike.setdefault(key, []).append((message, outcome))
        try:
            for key, parts in alike.items():
                await self._return_alike(connection, [message for message, _ in parts], *key)
        except BaseException:
            # Returning twice does no harm either.
            self._refused = refused + self._refused
            raise
        self._look_again()
        if not self._announced.arms:
            # Whoever waits has not reckoned with these; where they are announced it is told.
            due = (await _run(connection, _due(self.queue, None))).seconds
            if due is not None:
                asyncio.get_running_loop().call_later(max(due, 0.0), self._wake)

    async def _return_alike(
        self,
        connection: _Connection,
        messages: list[Message],
        rejected: bool,
        delay: int | None,
        error: str | None,
    ) -> None:
        """Return or reject messages with one error."""

        def refuse(those: list[Message]) -> Statement[Any]:
            if rejected:
                return _reject(self.queue, *_leases(those), error)
            return statements.nack_batch(self.queue, *_leases(those), delay, error)

        try:
            _, locked = await self._unless_locked(connection, messages, refuse)
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            if error is not None and not error.isascii():
                # The database has not all characters.
                error = wire.escaped(error)
                await self._return_alike(connection, messages, rejected, delay, error)
            elif len(messages) > 1:
                for message in messages:
                    await self._return_alike(connection, [message], rejected, delay, error)
            elif rejected:
                # Its archive does not take it.
                error = f"{error}; it cannot be archived: {problem}"
                await self._return_alike(connection, messages, False, None, error)
            else:
                raise
            return
        # Whoever has them locked decides; their leases end.
        for message in locked:
            self._lost(message)

    def _give_up(self) -> None:
        """Leave what is handled, and cannot be acknowledged since somebody else has it locked."""
        locked, self._locked = self._locked, []
        for message in locked:
            self._lost(message)

    def _give_back(self) -> None:
        """Return what no slot has begun."""
        while self._buffer:
            for message in self._buffer.popleft():
                self._settle(message, RETURNED)

    # Handling

    def _dispatch(self) -> None:
        while self._buffer and len(self._running) < self.concurrency:
            unit = self._buffer.popleft()
            task = asyncio.create_task(self._handle(unit))
            self._running.add(task)
            task.add_done_callback(functools.partial(self._end_of, unit))

    def _end_of(self, unit: list[Message], task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        for message in unit:
            if self._held.get(message.msg_id) is message:  # it was cancelled before it began
                self._settle(message, RETURNED)
        self._turn.set()

    async def _handle(self, unit: list[Message]) -> None:
        try:
            outcomes = await self._perform(unit)
        except asyncio.CancelledError:
            outcomes = [RETURNED] * len(unit)
        except BaseException as error:  # noqa: BLE001, that of a thread
            outcomes = [failure(error)] * len(unit)
        seconds = sum(o.seconds for o in (outcomes[:1] if self.batch else outcomes)) / len(unit)
        self._pace = seconds if self._pace is None else 0.7 * self._pace + 0.3 * seconds
        self._pace = max(self._pace, 1e-6)
        for message, outcome in zip(unit, outcomes, strict=True):
            self._settle(message, outcome)

    def _settle(self, message: Message, outcome: Outcome) -> None:
        """Note what became of a message."""
        if self._held.get(message.msg_id) is message:
            del self._held[message.msg_id]
        if outcome.kind == "done":
            if not self.transactional:
                if not self._done:
                    self._done_since = time.monotonic()
                self._done.append(message)
            elif self._grouped:
                self._look_again()
        else:
            # Also what is lost: of a batch only some may be.
            self._refused.append((message, outcome))
        if outcome.kind == "lost":
            self._lost(message)
        self._tell(self._tell_outcome, message, outcome)

    def _tell_outcome(self, message: Message, outcome: Outcome) -> None:
        if outcome.kind == "done":
            if log.isEnabledFor(logging.DEBUG):
                extra = self._extra(message, outcome)
                log.debug("message %s of queue %s: done", message.msg_id, self.queue, extra=extra)
            self.hooks.on_done(self.queue, message, outcome.seconds)
        elif outcome.exception is not None:
            try:
                self._log_failure(message, outcome, outcome.exception)
            except BaseException:  # noqa: BLE001, perhaps of an exception that cannot be shown
                self._log_failure(message, outcome, None)
            self.hooks.on_error(self.queue, message, outcome.seconds, outcome.exception)

    def _log_failure(
        self, message: Message, outcome: Outcome, exception: BaseException | None
    ) -> None:
        failed = outcome.kind == "failed"
        log.log(
            logging.ERROR if failed else logging.INFO,
            "message %s of queue %s: %s: %s",
            message.msg_id,
            self.queue,
            outcome.kind,
            outcome.error,
            extra=self._extra(message, outcome),
            exc_info=exception if failed else None,
        )

    def _extra(self, message: Message, outcome: Outcome) -> dict[str, Any]:
        return {
            "queue": self.queue,
            "msg_id": message.msg_id,
            "read_ct": message.read_ct,
            "outcome": outcome.kind,
            "seconds": outcome.seconds,
        }

    # What runs beside

    async def _connect(self, dsn: str, pooled: bool) -> _Connection:
        connection = await _Connection.connect(
            dsn, autocommit=True, prepare_threshold=None if pooled else 5
        )
        self._connections.add(connection)
        await prepare(connection)
        connection.pooled = connection.prepare_threshold is None
        return connection

    async def _watch(self) -> None:
        """Cut the connections to a server that does not answer.

        The network's own ways do not notice one that is frozen, or a proxy that has lost it.
        """
        while True:
            await asyncio.sleep(1)
            longest = _SILENCE_STOPPING if self._stop_asked else _SILENCE
            for connection in [*self._connections]:
                connection.silence += 1
                if connection.asks and connection.silence > longest:
                    connection.cut()

    async def _keep(self) -> None:
        """Keep the leases of what is in hand, on a connection that does nothing else."""
        connection: _Connection | None = None
        try:
            while True:
                await asyncio.sleep(self.vt / 3)
                if self._held:
                    connection = connection or await self._connect(self._dsn, self._pooled)
                    await self._extend(connection)
        finally:
            if connection is not None:
                await connection.close()

    async def _extend(self, connection: _Connection) -> None:
        held = list(self._held.values())
        if not held:
            return
        extended, locked = await self._unless_locked(
            connection,
            held,
            lambda messages: statements.extend_batch(self.queue, *_leases(messages), self.vt),
        )
        kept = {*(extended or []), *(message.msg_id for message in locked)}
        for message in held:
            if message.msg_id not in kept:
                self._miss(message)

    def _miss(self, message: Message) -> None:
        """Drop a message whose lease could not be extended, unless it is done anyhow."""
        if self._held.get(message.msg_id) is not message:
            return
        for unit in self._buffer:
            if message in unit:
                unit.remove(message)
                if not unit:
                    self._buffer.remove(unit)
                break
        else:
            if self.transactional:
                return  # it may just be committed, and otherwise its acknowledgement is refused
        del self._held[message.msg_id]
        self._turn.set()
        self._lost(message)

    def _lost(self, message: Message) -> None:
        self._tell(self._tell_lost, message)

    def _tell_lost(self, message: Message) -> None:
        extra = self._extra(message, Outcome("lost"))
        log.warning("message %s of queue %s: lease lost", message.msg_id, self.queue, extra=extra)
        self.hooks.on_lost(self.queue, message)

    async def _announcements(self, listener: _Connection) -> _Announced:
        """Find out how the queue announces messages, and listen."""
        arm = statements.await_(self.queue, self._armed())
        try:
            await _run(listener, arm)
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass
        else:
            return _Announced(arms=True)
        for throttle in await _run(listener, statements.list_notify_throttles()):
            if throttle.queue_name.lower() == self.queue.lower():
                table = await _run(listener, _table(self.queue))
                channel = sql.Identifier(f"pgmq.{table}.INSERT")
                await listener.execute(sql.SQL("LISTEN {}").format(channel))
                return _Announced(throttle=throttle.throttle_interval_ms / 1000)
        return _Announced()

    def _armed(self) -> int:
        return math.ceil(1.25 * self.poll_interval)

    async def _listen(self, listener: _Connection, announced: _Announced) -> None:
        """Say when to look again, whenever the queue was found empty."""
        notified = False
        listens = announced.arms or announced.throttle is not None
        until = 0.0  # when what commits ceases to be announced
        # Transactions from this one on began when the queue was armed. Earlier ones may have found
        # it unarmed, and commit without a word.
        horizon = math.inf
        oldest = 0  # transaction that has not ended
        while True:
            while listens and not self._empty.is_set():
                # The server keeps what is not fetched, and everything announced after it.
                if await _notified(listener, _SOON):
                    notified = True
                    self._wake()
            await self._empty.wait()
            self._empty.clear()
            now = time.monotonic()
            wait = self.poll_interval * random.uniform(0.75, 1.25)  # noqa: S311
            if now >= until:
                horizon = math.inf
            arm = announced.arms and (oldest < horizon or now > until - self._armed() / 2)
            found = await _run(listener, _due(self.queue, self._armed() if arm else None))
            due, oldest = found.seconds, found.oldest
            if horizon == math.inf and now < until:
                horizon = found.next
            if arm:
                until = now + self._armed()
                # What was committed before is not announced.
                self._wake()
            if announced.arms:
                wait = min(wait, until - now)
            if due is not None:
                # What is visible and was not found, another has for a moment.
                wait = min(wait, due if announced.arms and due > 0 else max(due, _SOON))
            if notified and announced.throttle is not None:
                # What the throttle has left out since.
                wait = min(wait, max(announced.throttle, _SOON))
            notified = await _notified(listener, wait)
            self._empty.clear()  # by a look before this
            self._wake()

    def _wake(self) -> None:
        self._look = True
        self._turn.set()

    def _look_again(self) -> None:
        self._look, self._drained = True, False


# Statements that only workers need, and connections


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that can tell that the server does not answer."""

    received = 0  # bytes of messages, in the last read
    pooled = False  # whether its settings are not its own
    asks = False  # whether it waits for an answer
    listens = False  # whether it waits for notifications
    silence = 0  # seconds without a byte, counted by the event loop's time: it may be blocked

    async def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        if self.listens:
            return await super().wait(gen, *arguments, **options)
        self.asks, self.silence = True, 0
        try:
            return await super().wait(self._heard(gen), *arguments, **options)
        finally:
            self.asks = False

    def _heard(self, gen: Any) -> Any:
        ready = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                return end.value
            ready = yield wanted
            if ready:
                self.silence = 0

    def cut(self) -> None:
        """Have what waits for an answer raise an OperationalError."""
        with (
            contextlib.suppress(OSError, psycopg.OperationalError),
            socket.socket(fileno=os.dup(self.pgconn.socket)) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)


_BODY = statements.MESSAGE.split(", ").index("message")
_READS: dict[str, Callable[[str, int, int], Statement[list[Message]]]] = {
    "read": statements.read,
    "read_grouped": statements.read_grouped,
    "read_grouped_rr": statements.read_grouped_rr,
    "read_grouped_head": statements.read_grouped_head,
}


@dataclass(frozen=True, slots=True)
class _Announced:
    """How a queue announces messages: arms by await(), a throttle in seconds by NOTIFY."""

    arms: bool = False
    throttle: float | None = None


@dataclass(frozen=True, slots=True)
class _Due:
    """In how many seconds to look again; the transactions that ran when this was asked."""

    seconds: float | None
    oldest: int
    next: int


def _due(queue: str, seconds: int | None) -> Statement[_Due]:
    """Ask in how many seconds to look again: the clocks of two machines may differ."""
    call = (
        "pgmq.next_visible_at(%(queue)s::text)"
        if seconds is None
        else "pgmq.await(%(queue)s::text, %(seconds)s::integer)"
    )
    # Infinity, when nothing but that is left, has no distance on Postgres before 17.
    return statements.Statement(
        f"SELECT extract(epoch FROM nullif({call}, 'infinity') - clock_timestamp())::float8,"
        " pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
        " pg_snapshot_xmax(pg_current_snapshot())::text::bigint",
        {"queue": queue, "seconds": seconds},
        lambda rows: _Due(*rows[0]),
    )


def _table(queue: str) -> Statement[str]:
    return statements.Statement(
        "SELECT pgmq.format_table_name(%(queue)s::text, 'q')", {"queue": queue}, _value
    )


def _ids(table: str, msg_ids: list[int], *, skip_locked: bool = False) -> Statement[list[int]]:
    query = sql.SQL("SELECT q.msg_id FROM pgmq.{} AS q WHERE q.msg_id = ANY (%(ids)s)").format(
        sql.Identifier(table)
    )
    if skip_locked:
        query += sql.SQL(" ORDER BY q.msg_id FOR UPDATE SKIP LOCKED")
    return statements.Statement(
        query.as_string(), {"ids": msg_ids}, lambda rows: [row[0] for row in rows]
    )


def _reject(
    queue: str, msg_ids: list[int], read_cts: list[int], error: str | None
) -> Statement[None]:
    # nack() says which leases are still ours, locks these messages, and keeps the error.
    return statements.Statement(
        "SELECT pgmq.archive(%(queue)s::text, ARRAY(SELECT pgmq.nack(%(queue)s::text,"
        " %(msg_ids)s::bigint[], %(read_cts)s::integer[], 0, %(error)s::text)))",
        {"queue": queue, "msg_ids": msg_ids, "read_cts": read_cts, "error": error},
        lambda rows: None,
    )


def _value(rows: list[tuple[Any, ...]]) -> Any:
    return rows[0][0]


def _leases(messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    return [m.msg_id for m in messages], [m.read_ct for m in messages]


def _group(message: Message) -> str:
    headers = message.headers
    name = headers.get("x-pgmq-group") if isinstance(headers, dict) else None
    return name if isinstance(name, str) else json.dumps(name)


async def _run(connection: _Connection, statement: Statement[T]) -> T:
    cursor = await connection.execute(statement.query, statement.parameters)
    try:
        rows = await cursor.fetchall()
    except wire.UNDECODABLE:
        rows = wire.decode_again(cursor)
    result = cursor.pgresult
    if result is not None and result.nfields > _BODY:
        bodies = (result.get_value(row, _BODY) for row in range(result.ntuples))
        connection.received = sum(len(body or b"") for body in bodies)
    return statement.decode(rows)


async def _notified(connection: _Connection, seconds: float) -> bool:
    """Wait for a notification for so long."""
    notified = False
    connection.listens = True
    try:
        async for _ in connection.notifies(timeout=seconds, stop_after=1):
            notified = True
    finally:
        connection.listens = False
    return notified


def _check_handler(handler: Callable[..., Any], awaits: bool) -> None:
    """Refuse what would be called without doing its work."""
    if not callable(handler):
        raise TypeError(f"the handler must be callable, not {type(handler).__name__}")
    function: Any = handler
    while isinstance(function, functools.partial):
        function = function.func
    kinds = [function, type(function).__call__]
    if any(map(inspect.isgeneratorfunction, kinds)) or any(map(inspect.isasyncgenfunction, kinds)):
        raise TypeError("the handler must not be a generator function: nobody would iterate it")
    if not awaits and any(map(inspect.iscoroutinefunction, kinds)):
        raise TypeError("the handler is a coroutine function, which needs AsyncWorker")


def _conninfo(
    dsn: str, queue: str, synchronous_commit: bool, lock_timeout: int | None = None
) -> str:
    """Complete a connection string; what it says itself comes first."""
    given = conninfo_to_dict(dsn)
    options = str(given.get("options") or os.environ.get("PGOPTIONS", ""))
    if not synchronous_commit:
        options += " -c synchronous_commit=off"
    if lock_timeout is not None:
        options += f" -c lock_timeout={lock_timeout}"
    wanted = {
        "fallback_application_name": f"pgmq worker {queue}",
        "client_encoding": "UTF8",
        "connect_timeout": os.environ.get("PGCONNECT_TIMEOUT", "10"),
        # A server that vanishes without a word is noticed in a minute instead of hours.
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",  # milliseconds: also while it owes an answer
    }
    return make_conninfo(dsn, **(wanted | given | ({"options": options} if options else {})))


_stoppable: list[Engine] = []  # the workers of the main thread that signals stop
_before: dict[int, Any] = {}  # what those signals did before


def _after_fork() -> None:
    """Have signals do in a process that a handler forks what they did before.

    Else it would ignore them, and pass them on to the loop of the worker, which would stop.
    """
    if _before:
        signal.set_wakeup_fd(-1)
    while _before:
        number, action = _before.popitem()
        signal.signal(number, action or signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def _signals(worker: Engine) -> Iterator[None]:
    """Have the first SIGTERM or SIGINT stop the worker, and the second do what it did before.

    Several workers of one event loop are stopped by the same signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # signal.signal() would not do: a signal that a handler's thread gets does not wake the loop.
    loop = asyncio.get_running_loop()

    def restore() -> None:
        while _before:
            number, action = _before.popitem()
            loop.remove_signal_handler(number)
            signal.signal(number, action or signal.SIG_DFL)

    def stop() -> None:
        restore()
        for each in _stoppable:
            each.stop()

    _stoppable.append(worker)
    if not _before:
        for number in (signal.SIGTERM, signal.SIGINT):
            _before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        _stoppable.remove(worker)
        if not _stoppable:
            restore()
