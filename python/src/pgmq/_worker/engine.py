"""What all workers do but call the handler: read, hand out, acknowledge, wait, connect again."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
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
from pgmq._worker.progress import Progress
from pgmq.base import where

if TYPE_CHECKING:
    from pgmq._wire import Loads
    from pgmq._worker.connection import Connection
    from pgmq._worker.outcome import Outcome
    from pgmq.messages import StreamBatch, StreamMessage

__all__ = ["Engine", "Handler", "Queues"]

Queues = str | Sequence[str] | Mapping[str, float]
_UNHEARD = (
    "through a pooler that changes sessions nobody can listen: give listen_dsn, a direct"
    " connection, or pooled=True and listen=False"
)
_SAY = 5.0  # seconds between two words on what a worker that is stopped waits for
Handler = Callable[..., Any] | Mapping[str, Callable[..., Any]]


class Engine(ABC):
    """Everything but where the handler runs."""

    _awaits = False  # whether coroutine functions are handlers

    def __init__(
        self,
        dsn: str | None,
        queue: Queues,
        handler: Handler,
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
        listen: bool = True,
        listen_dsn: str | None = None,
        pooled: bool | None = None,
        timeout: float | None = None,
        drain_timeout: float | None = None,
        hooks: Hooks | None = None,
        loads: Loads | None = None,
    ) -> None:
        """Keep the settings; nothing is connected before run().

        `queue` is a name, or several. A list is in order of priority: at each read a queue gives
        what it has before the next one is asked. A dict has weights, {"high": 3, "low": 1}: at each
        read the order is drawn anew, so that a queue comes first as often as its share of the
        weights says, and none waits for ever. The messages say of which queue they are, in
        queue_name; and `handler` may be a dict too, with one for each queue.

        `dsn` is that of a client, or None, as there. The handler is called with a Message, of
        `concurrency` calls at a time. When it returns, the message is acknowledged. When it
        raises, whatever that is, the message is returned with the error in the header
        x-pgmq-error, and the queue's policy says when it is visible again and how often that may
        happen; see also Retry and Reject. Where the queue has no retry_delay, that of the worker is
        used: seconds after the first receipt, and twice as long after each one more, up to 5
        minutes. 0 is at once. The handler is not called for a message of which Python
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

        `timeout` is for a call of the handler, in seconds; the message of one that takes longer has
        failed. AsyncWorker cancels the call, and ProcessWorker kills the process. A thread cannot
        be ended: Worker lets it go on, has another one in its place, and ignores what comes of it;
        a connection that it had is closed. With more than ten such threads for each of
        `concurrency`, the worker ends with a HandlerError.

        `drain_timeout`: for how many seconds a worker that is stopped waits for the calls that run;
        None is for as long as they do. It logs them every 5 seconds. After that, they are ended in
        the same way, and their messages are returned.

        `pooled`: dsn leads to a pooler that changes sessions, as PgBouncer in transaction mode
        does. Nothing is prepared or set there then, synchronous_commit neither. Nobody can LISTEN
        there: give `listen_dsn`, a direct connection for that, with which pooled goes without
        saying; or `listen` False: the worker looks each poll_interval, and when a message is due.

        `loads` decodes messages and headers instead of json.loads.
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
        if timeout is not None and timeout <= 0:
            raise ValueError(f"timeout must be more than 0 seconds: {timeout}")
        if drain_timeout is not None and drain_timeout < 0:
            raise ValueError(f"drain_timeout must not be negative: {drain_timeout}")
        if timeout is not None and transactional and group is not None and not self._awaits:
            # The transaction is that of the whole batch, and a thread cannot be ended.
            raise ValueError("a timeout in a transaction of a group needs AsyncWorker")
        if pooled is None:
            pooled = listen_dsn is not None
        if listen_dsn is not None and not listen:
            raise ValueError("listen_dsn is for a worker that listens, and listen is False")
        if pooled and listen and listen_dsn is None:
            raise ValueError(_UNHEARD)
        if retry_delay < 0:
            raise ValueError(f"retry_delay must not be negative: {retry_delay}")
        queues, weights = _several(queue)
        if len(queues) > 1 and (group is not None or read != "read"):
            raise ValueError("streams and FIFO groups are read by workers of one queue")
        _check_handlers(handler, queues, self._awaits)
        queue = ", ".join(queues)
        self.queue = queue
        self.queues = queues
        self.vt = vt
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.transactional = transactional
        self.batch = batch
        self.read: Read = read
        self.group = group
        self.poll_interval = poll_interval
        self.reconnect_interval = reconnect_interval
        self.timeout = timeout
        self.drain_timeout = drain_timeout
        self.hooks: Hooks = hooks or Hooks()
        grouped = read != "read" or group is not None
        self._pooled = pooled
        self._listens = listen
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
        self._listen_dsn = conninfo(listen_dsn or dsn, queue, synchronous_commit or not listen)
        self._connections = Connections(lock_timeout, loads)
        self._job_of = (
            queue, conninfo(dsn, queue, True, read_committed=read_committed), handler,
            transactional, batch, grouped, pooled, group, timeout,
        )  # fmt: skip

        self._reports = Reports(queue, group, self.hooks, self._fail)
        self._reader = None if group is None else Reader(group, vt, batch_size, retry_delay, loads)
        self._in_hand: InHand | Lanes
        self._work: WorkLoop | GroupLoop
        if self._reader is None:
            leases = Leases(queues, weights, vt, read, retry_delay)
            self._in_hand = InHand(
                batch_size,
                concurrency,
                in_batches=batch,
                grouped=grouped,
                ranks=None if weights or len(queues) == 1 else {q: n for n, q in enumerate(queues)},
                headers_of=leases.headers_of,
            )
            self._work = WorkLoop(
                self._in_hand,
                leases,
                self._reports,
                self._perform,
                self._connect,
                self._listening,
                slots=concurrency,
                poll_interval=poll_interval,
                reconnect_interval=reconnect_interval,
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
                self._listening,
                slots=concurrency,
                poll_interval=poll_interval,
                reconnect_interval=reconnect_interval,
                transactional=transactional,
            )
        self._failed: BaseException | None = None  # what run() raises at the end
        self._in_slots: set[Progress] = set()
        self._drained = False  # whether nothing is waited for any more
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{kind} of {self.queue} at {where(self._dsn)}>"

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
    async def _in_slot(
        self, progress: Progress, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Call a function of the job where the handler runs; it says in progress how far it is."""

    @contextlib.contextmanager
    def _begun(self, unit: list[Any]) -> Iterator[Progress]:
        progress = Progress(unit)
        self._in_slots.add(progress)
        try:
            yield progress
        finally:
            self._in_slots.discard(progress)

    async def _perform(self, unit: list[Any]) -> list[Outcome]:
        """Have the handler called for messages, one after another."""
        with self._begun(unit) as progress:
            await self._in_slot(progress, self._job.run, self._wanted)
        return progress.outcomes

    async def _consume(
        self, tell: Callable[[StreamBatch], object]
    ) -> list[tuple[StreamMessage, Outcome]] | None:
        """Have a batch fetched, handled and committed, in one transaction."""
        with self._begun([]) as progress:
            consumed: list[tuple[StreamMessage, Outcome]] | None = await self._in_slot(
                progress, self._job.consume, lambda: not self._work.stopping, tell
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
        drain = asyncio.create_task(self._drain())
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
            drain.cancel()
            await self._end()
            log.info("worker of queue %s has ended", self.queue, extra=extra)
        if self._failed is not None:
            raise self._failed

    async def _drain(self) -> None:
        """When the worker is stopped, say now and then what it waits for, and give up in time."""
        await self._stopped.wait()
        end = None if self.drain_timeout is None else time.monotonic() + self.drain_timeout
        while end is None or time.monotonic() < end:
            left = _SAY if end is None else min(_SAY, end - time.monotonic())
            await asyncio.sleep(left)
            self._say_what_runs("waits for")
        self._say_what_runs("waits no longer for")
        self._drained = True
        for task in [*self._work.running]:
            task.cancel()

    def _say_what_runs(self, what: str) -> None:
        for progress in [*self._in_slots]:
            if seconds := progress.seconds:
                self._reports.still_runs(what, progress.at, seconds)

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
                connection = await self._connect()
                try:
                    await self._work.serve(connection, until_empty)
                finally:
                    await connection.close()
                return
            except psycopg.Error as error:  # noqa: PERF203
                if not wire.is_passing(error, self._work.served):
                    raise
                if not self._work.served and "startup parameter" in str(error):
                    raise ValueError(_UNHEARD) from error
                if not await self._may_connect_again(error):
                    return

    async def _connect(self) -> Connection:
        return await self._connections.open(self._dsn, self._pooled)

    @contextlib.asynccontextmanager
    async def _listening(self, connection: Connection) -> AsyncIterator[Connection]:
        """Give a connection that listens; at the start, one that hears what another one says."""
        listener = await self._connections.open(self._listen_dsn, not self._listens)
        try:
            listener.polls = not self._listens
            doubtful = listener.pooled and self._listens and not self._work.served
            if doubtful and not await listener.hears(connection):
                raise ValueError(_UNHEARD)
            yield listener
        finally:
            await listener.close()

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
        longest = self.reconnect_interval
        if self._in_hand:
            longest = min(longest, self.vt / 3)  # or its leases end meanwhile
        seconds = wire.backoff(attempt, longest)
        self._work.attempts += 1
        self._reports.disconnected("no connection", error, seconds, self._work.attempts)
        if self._work.stopping:
            await asyncio.sleep(min(seconds, 1.0))
        else:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        return True


def _several(queue: Queues) -> tuple[list[str], list[float]]:
    """Return the names of queues, and their weights, if they have any."""
    queues = [queue] if isinstance(queue, str) else [*queue]
    weights = [*queue.values()] if isinstance(queue, Mapping) else []
    if not queues or len({*queues}) < len(queues):
        raise ValueError(f"a worker needs queues, each of them once: {queue}")
    if not all(0 < weight < math.inf for weight in weights):
        raise ValueError(f"weights must be greater than 0: {queue}")
    return queues, weights


def _check_handlers(handler: Handler, queues: list[str], awaits: bool) -> None:
    if not isinstance(handler, Mapping):
        _check_handler(handler, awaits)
        return
    if {*handler} != {*queues}:
        raise ValueError(
            f"handlers are for {', '.join(handler)}, but the queues are {', '.join(queues)}"
        )
    for each in handler.values():
        _check_handler(each, awaits)


def _check_handler(handler: Callable[..., Any], awaits: bool) -> None:
    """Refuse what would be called without doing its work."""
    if not callable(handler):
        raise TypeError(f"the handler must be callable, not {type(handler).__name__}")
    unfinished = wire.unfinished(handler)
    if unfinished == "generator":
        raise TypeError("the handler must not be a generator function: nobody would iterate it")
    if unfinished == "coroutine" and not awaits:
        raise TypeError("the handler is a coroutine function, which needs AsyncWorker")
