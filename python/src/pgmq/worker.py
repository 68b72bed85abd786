"""Workers: have a handler called for every message of a queue, for as long as it takes.

What a worker does with time (leases, waiting, connecting again, stopping) is one asyncio program
for all of them. They differ in where the handler runs: AsyncWorker in tasks, Worker in threads,
ProcessWorker in processes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from pgmq._async_job import AsyncJob
from pgmq._engine import Engine, Hooks
from pgmq._job import Job
from pgmq._outcome import HandlerError, Outcome, Reject, Retry

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from pgmq.messages import Message

__all__ = [
    "AsyncWorker",
    "HandlerError",
    "Hooks",
    "ProcessWorker",
    "Reject",
    "Retry",
    "Worker",
]


class AsyncWorker(Engine):
    """A worker whose handler is a coroutine function; its calls run as tasks.

    A handler that blocks the event loop also keeps leases from being extended.

    >>> import asyncio
    >>> async def handler(message):
    ...     print(message.message)
    >>> worker = AsyncWorker(dsn, "jobs", handler, concurrency=10)
    >>> asyncio.run(worker.run(until_empty=True))
    {'id': 1}
    """

    async def run(self, *, until_empty: bool = False, signals: bool = True) -> None:
        """Work until stop(), SIGTERM or SIGINT; until_empty: or until nothing is left to read.

        A second signal does what it did before. Without `signals` they are left alone, as they are
        outside the main thread. When the task is cancelled, so are the handler's calls, and what
        they had is returned. Raises the error of the server for what cannot be helped by trying
        again: an unknown queue, a missing privilege.
        """
        await self._run(until_empty, signals)

    def _begin(self) -> None:
        self._job = AsyncJob(*self._job_of)

    async def _perform(self, unit: list[Message]) -> list[Outcome]:
        return await self._job.run(unit, self._wanted)

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

        A second signal does what it did before. Without `signals` they are left alone, as they are
        outside the main thread. Raises the error of the server for what cannot be helped by trying
        again: an unknown queue, a missing privilege.
        """
        asyncio.run(self._run(until_empty, signals))

    def _begin(self) -> None:
        self._job = Job(*self._job_of)
        self._executor: Executor = ThreadPoolExecutor(self.concurrency, f"pgmq {self.queue}")

    async def _perform(self, unit: list[Message]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._job.run, unit, self._wanted)

    async def _end(self) -> None:
        self._executor.shutdown()
        self._job.close()


class ProcessWorker(Worker):
    """A worker whose handler runs in processes, for handlers that compute.

    The handler must be one that a fresh process can import: a function of a module. What it raises
    arrives as a HandlerError with the traceback as its text. A process that dies in a call is
    replaced; the messages of all calls that ran are returned with an error.
    """

    def _begin(self) -> None:
        self._job = Job(*self._job_of)
        pickle.dumps(self._job)  # else every message would fail
        self._context = multiprocessing.get_context("spawn")
        self._flag = self._context.Event()
        self._executor = self._processes()

    def _processes(self) -> Executor:
        return ProcessPoolExecutor(
            self.concurrency, self._context, _enter_process, (self._job, self._flag)
        )

    def _stopping(self) -> None:
        self._flag.set()
        super()._stopping()

    async def _perform(self, unit: list[Message]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        executor = self._executor
        try:
            return await loop.run_in_executor(executor, _run_in_process, unit)
        except BrokenExecutor:
            if self._executor is executor:
                self._executor = self._processes()
            raise


_in_process: tuple[Job, Event]


def _enter_process(job: Job, stopped: Event) -> None:
    global _in_process  # noqa: PLW0603, a process of a pool has nothing else to keep it in
    _in_process = (job, stopped)
    # Sent to all processes, they mean the worker, which lets this one finish.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _run_in_process(unit: list[Message]) -> list[Outcome]:
    job, stopped = _in_process
    return [outcome.portable() for outcome in job.run(unit, lambda _: not stopped.is_set())]
