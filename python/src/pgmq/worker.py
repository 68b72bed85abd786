"""Workers: have a handler called for every message of a queue, for as long as it takes.

What a worker does with time (leases, waiting, connecting again, stopping) is one asyncio program
for all of them. They differ in where the handler runs: AsyncWorker in tasks, Worker in threads,
ProcessWorker in processes.
"""

from __future__ import annotations

import asyncio
import pickle
from typing import TYPE_CHECKING, Any

from pgmq._worker.async_group_job import AsyncGroupJob
from pgmq._worker.async_job import AsyncJob
from pgmq._worker.engine import Engine
from pgmq._worker.group_job import GroupJob
from pgmq._worker.hooks import Hooks
from pgmq._worker.job import Job
from pgmq._worker.outcome import RETURNED, HandlerError, Reject, Retry, failure
from pgmq._worker.process_job import ProcessJob
from pgmq._worker.progress import cut_off
from pgmq._worker.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgmq._worker.outcome import Outcome
    from pgmq._worker.progress import Progress
    from pgmq._worker.threads import Call

__all__ = [
    "AsyncWorker",
    "HandlerError",
    "Hooks",
    "ProcessWorker",
    "Reject",
    "Retry",
    "Worker",
]


_MOST_ABANDONED = 10  # threads of each slot


class AsyncWorker(Engine):
    """A worker whose handler is a coroutine function; its calls run as tasks.

    A function that does not wait is one too, and so is one that returns an awaitable. A handler
    that blocks the event loop also keeps leases from being extended.

    >>> import asyncio
    >>> async def handler(message):
    ...     print(message.message)
    >>> worker = AsyncWorker(dsn, "jobs", handler, concurrency=10)
    >>> asyncio.run(worker.run(until_empty=True))
    {'id': 1}
    """

    _awaits = True

    async def run(self, *, until_empty: bool = False, signals: bool = True) -> None:
        """Work until stop(), SIGTERM or SIGINT; until_empty: or until nothing is left to read.

        A second signal does what it did before. Without `signals` they are left alone, as they are
        outside the main thread. When the task is cancelled, so are the handler's calls, and what
        they had is returned. Raises at the start the error of the server for what cannot be helped
        by trying again: an unknown queue, a missing privilege.
        """
        await self._run(until_empty, signals)

    def _begin(self) -> None:
        self._job = (
            AsyncGroupJob(*self._job_of, reader=self._reader)
            if self._reader is not None and self.transactional
            else AsyncJob(*self._job_of)
        )

    async def _in_slot(
        self, progress: Progress, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        return await function(progress, *arguments)

    async def _end(self) -> None:
        await self._job.close()


class Worker(Engine):
    """A worker whose handler is a function; its calls run in threads.

    >>> def handler(message):
    ...     print(message.message)
    >>> Worker(dsn, "jobs", handler).run(until_empty=True)
    {'id': 1}
    """

    def run(self, *, until_empty: bool = False, signals: bool = True) -> None:
        """Work until stop(), SIGTERM or SIGINT; until_empty: or until nothing is left to read.

        A second signal does what it did before; of SIGINT that is a KeyboardInterrupt when the
        calls that run have ended, and those of a ProcessWorker are killed and returned. Without
        `signals` they are left alone, as they are outside the main thread. Raises at the start the
        error of the server for what cannot be helped by trying again: an unknown queue, a missing
        privilege. Raises a RuntimeError inside an event loop.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self._run(until_empty, signals))
        else:
            raise RuntimeError(
                "an event loop runs here already, as in a notebook: use AsyncWorker and"
                " `await worker.run()`, or call run() in a thread"
            )

    def _begin(self) -> None:
        self._job = (
            GroupJob(*self._job_of, reader=self._reader)
            if self._reader is not None and self.transactional
            else Job(*self._job_of)
        )
        self._threads = Threads(f"pgmq {self.queue}")

    async def _in_slot(
        self, progress: Progress, function: Callable[..., Any], *arguments: Any
    ) -> Any:
        call = self._threads.begin(function, progress, *arguments)
        while not call.over:
            if outcome := self._given_up(progress):
                self._abandon(call, progress, outcome)
                return None
            try:
                if self.timeout is None:
                    await call.told
                else:
                    left = max(self.timeout - progress.seconds, 0.05)
                    await asyncio.wait([call.told], timeout=left)
            except asyncio.CancelledError:
                # A thread goes on all the same, and its message is nobody else's.
                call.told = asyncio.get_running_loop().create_future()
                self._interrupt()
        return call.result()

    def _given_up(self, progress: Progress) -> Outcome | None:
        """Say what becomes of what a thread has that is waited for no longer; None: it still is."""
        if self._drained:
            return RETURNED
        limit, seconds = self.timeout, progress.seconds
        if limit is None or seconds < limit:
            return None
        text = f"timeout: the handler was abandoned after {limit:g} s; its thread goes on"
        return failure(HandlerError(text), seconds)

    def _abandon(self, call: Call, progress: Progress, outcome: Outcome) -> None:
        """Leave a call to itself; another thread takes its place."""
        progress.abandon(outcome)
        call.abandoned = True
        if progress.connection is not None:
            self._threads.begin(cut_off, progress.connection)
        count = self._threads.abandoned()
        if count > _MOST_ABANDONED * self.concurrency and not self._drained:
            self._fail(HandlerError(f"{count} calls that were abandoned still run"))

    def _interrupt(self) -> None:
        """End the calls that can be ended."""

    async def _end(self) -> None:
        self._threads.close()
        self._job.close()


class ProcessWorker(Worker):
    """A worker whose handler runs in processes, for handlers that compute.

    The handler must be one that a fresh process can import: a function of a module. What it raises
    arrives as a HandlerError with the traceback as its text. A process that dies in a call is
    replaced; that call's message, or batch, is returned with an error, and no other.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.transactional and self.group is not None:
            # A process that dies would take with it which message that was.
            raise ValueError("a ProcessWorker of a group cannot be transactional")

    def _interrupt(self) -> None:
        self._job.interrupt()

    def _given_up(self, progress: Progress) -> Outcome | None:
        return None  # it can be ended

    def _begin(self) -> None:
        self._job = ProcessJob(*self._job_of)
        pickle.dumps(self._job_of)  # else every message would fail
        self._threads = Threads(f"pgmq {self.queue}")
