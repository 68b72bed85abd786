"""What all workers do but call the handler: read, hand out, acknowledge, wait, connect again."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg

from pgmq import _wire as wire
from pgmq._signals import stopped_by_signals
from pgmq._worker.connection import Connections, conninfo
from pgmq._worker.group_loop import GroupLoop
from pgmq._worker.hooks import Hooks, Reports, log
from pgmq._worker.inhand import LOCKED, InHand
from pgmq._worker.lanes import Lanes, Reader
from pgmq._worker.leases import READS, Leases, Read
from pgmq._worker.loop import WorkLoop

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq._worker.connection import Connection
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import StreamBatch, StreamMessage

__all__ = ["Engine"]


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
        group: str | None = None,
        retry_delay: int = 1,
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

        `group`: the queue is a stream, which is consumed as this group, with a StreamMessage for
        each call: as many lanes at a time as `concurrency`, the messages of a lane in order, and
        up to batch_size of them leased at once. What is done is committed each second, and when
        the batch ends. When the handler raises, what is done before that message is committed, and
        the lane comes again after retry_delay seconds, with that message first; the options of the
        group say how often. `transactional`: the batch is fetched, handled and committed in one
        transaction, of up to 50 messages (batch: of batch_size). What a message that failed did is
        rolled back.

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
        if read not in READS:
            raise ValueError(f"read must be one of {', '.join(READS)}: {read}")
        if group is not None and read != "read":
            raise ValueError(f"a stream is read by its groups, not by {read}")
        if retry_delay < 0:
            raise ValueError(f"retry_delay must not be negative: {retry_delay}")
        _check_handler(handler, self._awaits)
        self.queue = queue
        self.vt = vt
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.transactional = transactional
        self.batch = batch
        self.read: Read = read
        self.group = group
        self.poll_interval = poll_interval
        self.reconnect_interval = reconnect_interval
        self.hooks = hooks or Hooks()
        grouped = read != "read" or group is not None
        self._pooled = pooled = listen_dsn is not None
        # Milliseconds: what somebody else has locked must not cost the leases of all others.
        lock_timeout = int(1000 * min(LOCKED, vt / 6))
        read_committed = group is not None and not pooled  # a group cannot read in another way
        self._dsn = conninfo(
            dsn,
            queue,
            synchronous_commit or pooled,
            None if pooled else lock_timeout,
            read_committed=read_committed,
        )
        self._listen_dsn = conninfo(listen_dsn or dsn, queue, synchronous_commit)
        self._connections = Connections(lock_timeout)
        self._job_of = (
            queue, conninfo(dsn, queue, True, read_committed=read_committed), handler,
            transactional, batch, grouped, pooled,
        )  # fmt: skip

        self._reports = Reports(queue, self.hooks, self._fail)
        self._reader = None if group is None else Reader(group, vt, batch_size, retry_delay)
        self._in_hand: InHand | Lanes
        self._work: WorkLoop | GroupLoop
        if self._reader is None:
            self._in_hand = InHand(batch_size, concurrency, in_batches=batch, grouped=grouped)
            self._work = WorkLoop(
                self._in_hand,
                Leases(queue, vt, read),
                self._reports,
                self._perform,
                self._connect,
                slots=concurrency,
                poll_interval=poll_interval,
                transactional=transactional,
            )
        else:
            self._in_hand = Lanes(in_batches=batch)
            self._work = GroupLoop(
                queue,
                self._reader,
                self._in_hand,
                self._reports,
                self._perform,
                self._consume,
                self._connect,
                slots=concurrency,
                poll_interval=poll_interval,
                transactional=transactional,
            )
        self._failed: BaseException | None = None  # what run() raises at the end
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Read no more, finish the calls that run, return the rest to the queue, and end run().

        May be called from any thread. SIGTERM and SIGINT do the same.
        """
        self._work.stopping = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._notice_stop)

    # Where the handler runs

    _job: Any

    @abstractmethod
    async def _in_slot(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the job where the handler runs."""

    async def _perform(self, unit: list[Any]) -> list[Outcome]:
        """Have the handler called for messages, one after another."""
        outcomes: list[Outcome] = await self._in_slot(self._job.run, unit, self._wanted)
        return outcomes

    async def _consume(
        self, tell: Callable[[StreamBatch], object]
    ) -> list[tuple[StreamMessage, Outcome]] | None:
        """Have a batch fetched, handled and committed, in one transaction."""
        consumed: list[tuple[StreamMessage, Outcome]] | None = await self._in_slot(
            self._job.consume, lambda: not self._work.stopping, tell
        )
        return consumed

    @abstractmethod
    def _begin(self) -> None:
        """Prepare to perform."""

    @abstractmethod
    async def _end(self) -> None:
        """Clean up."""

    def _wanted(self, message: Any) -> bool:
        """Say whether a message should still be handled; called from any thread."""
        return not self._work.stopping and self._in_hand.holds(message)

    def _fail(self, error: BaseException) -> None:
        """End as stop() does, and then raise an error."""
        self._failed = self._failed or error
        self.stop()

    def _notice_stop(self) -> None:
        self._stopped.set()
        self._work.something_happened.set()

    # From the beginning to the end

    async def _run(self, until_empty: bool, signals: bool) -> None:
        if self._loop is not None:
            raise RuntimeError("a worker runs once: make another one")
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()  # stop() was called
        if self._work.stopping:
            return
        extra = {"queue": self.queue}
        log.info("worker of queue %s starts", self.queue, extra=extra)
        self._begin()
        try:
            with stopped_by_signals(self.stop) if signals else contextlib.nullcontext():
                work = asyncio.create_task(self._work_and_give_back(until_empty))
                watch = asyncio.create_task(self._connections.watch(lambda: self._work.stopping))
                try:
                    await asyncio.shield(work)
                except asyncio.CancelledError as error:
                    self._fail(error)
                    for task in self._work.running:
                        task.cancel()
                    await work
                finally:
                    watch.cancel()
        finally:
            if self._work.running:
                await asyncio.wait(self._work.running)
            await self._end()
            log.info("worker of queue %s has ended", self.queue, extra=extra)
        if self._failed is not None:
            raise self._failed

    async def _work_and_give_back(self, until_empty: bool) -> None:
        """Work, and give back what is in hand, whatever ends that.

        That may also be a cancellation of all tasks: so a loop ends in which sys.exit() was called.
        """
        try:
            await self._persist(until_empty)
        except BaseException as error:  # noqa: BLE001
            self._fail(error)
        if not self._in_hand:
            return
        try:
            await self._persist(False)
        except BaseException as error:  # noqa: BLE001
            log.warning(
                "worker of queue %s: leases are left to end by themselves: %r", self.queue, error
            )

    async def _persist(self, until_empty: bool) -> None:
        """Work, and connect again when a connection is lost."""
        while True:
            try:
                async with contextlib.AsyncExitStack() as stack:
                    connection = await self._connect()
                    stack.push_async_callback(connection.close)
                    listener = await self._connections.open(self._listen_dsn, False)
                    stack.push_async_callback(listener.close)
                    await self._work.serve(connection, listener, until_empty)
                return
            except psycopg.Error as error:  # noqa: PERF203
                if not wire.is_passing(error, self._work.served):
                    raise
                if not self._work.served and "startup parameter" in str(error):
                    raise ValueError(
                        "dsn leads to a pooler: give listen_dsn as well, a direct connection"
                    ) from error
                if not await self._may_connect_again(error):
                    return

    async def _connect(self) -> Connection:
        return await self._connections.open(self._dsn, self._pooled)

    async def _may_connect_again(self, error: psycopg.Error) -> bool:
        """Wait until it is time to connect again; False when there is nothing left to do."""
        if self._work.stopping and not self._in_hand:
            return False
        attempt = self._work.attempts
        if self._work.stopping and attempt and not self._work.running:
            text = "leases are left to end by themselves"
            self._reports.disconnected(text, error, 0.0, attempt)
            self._in_hand.forget()
            return False
        seconds = wire.backoff(attempt, self.reconnect_interval)
        self._work.attempts += 1
        self._reports.disconnected("no connection", error, seconds, self._work.attempts)
        if self._work.stopping:
            await asyncio.sleep(min(seconds, 1.0))
        else:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        return True


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
