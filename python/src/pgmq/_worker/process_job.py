"""What one slot of a ProcessWorker does: have the handler called in a process."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from pgmq._worker.job import Job
from pgmq._worker.outcome import RETURNED, HandlerError, NoConnectionError, Outcome, failure
from pgmq._worker.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

    from pgmq.messages import WorkerMessage

__all__ = ["ProcessJob"]

_context = multiprocessing.get_context("spawn")
_STEP = 1.0  # seconds until it is noticed that a process has died without a word


@dataclass(slots=True)
class ProcessJob(Job):
    """A job whose handler runs in processes: one for each call that runs at a time.

    A message goes there by itself and its outcome comes back: when a process dies, it is known
    which message it had.
    """

    _children: list[_Child] = field(default_factory=list)
    _busy: set[_Child] = field(default_factory=set)
    _interrupted: bool = False

    def interrupt(self) -> None:
        """Kill the processes that are at work, whose messages are returned."""
        self._interrupted = True
        for child in self._busy.copy():
            child.process.kill()

    def close(self) -> None:
        """End the processes."""
        while self._children:
            self._children.pop().end()

    def attempt(
        self,
        messages: list[WorkerMessage],
        progress: Progress,
        wanted: Callable[[WorkerMessage], bool],
    ) -> Outcome:
        """Have the handler called in a process."""
        progress.begin(messages)
        try:
            return self._attempt(messages)
        finally:
            progress.end()

    def _attempt(self, messages: list[WorkerMessage]) -> Outcome:
        try:
            child = self._children.pop()
        except IndexError:
            child = _Child(self)
        outcome = self._ask(child, messages)
        if outcome is None:  # it had died before
            child.end()
            child = _Child(self)
            outcome = self._ask(child, messages)
        if child.process.is_alive():
            self._children.append(child)
        else:
            child.end()
        if self._interrupted and (outcome is None or outcome.kind == "failed"):
            return RETURNED
        if outcome is not None and isinstance(outcome.exception, NoConnectionError):
            raise outcome.exception
        return outcome or failure(HandlerError("no process for the handler could be started"))

    def _ask(self, child: _Child, messages: list[WorkerMessage]) -> Outcome | None:
        self._busy.add(child)
        try:
            return None if self._interrupted else child.handle(messages, self.timeout)
        finally:
            self._busy.discard(child)


class _Child:
    """A process, and the way to it."""

    def __init__(self, job: ProcessJob) -> None:
        self._pipe, other = _context.Pipe()
        arguments = (
            job.queue, job.dsn, job.handler, job.transactional, job.batch, job.ordered, job.pooled,
            job.group,
        )  # fmt: skip
        self.process: SpawnProcess = _context.Process(
            target=_serve, args=(other, arguments), daemon=True
        )
        self.process.start()
        self._is_ready = False  # it takes its time to start, which is not the handler's
        other.close()

    def handle(self, messages: list[WorkerMessage], timeout: float | None) -> Outcome | None:
        """Have the handler called; None when there is no process any more."""
        if not self.process.is_alive():  # what it has started may hold the pipe open
            return None
        try:
            self._pipe.send(messages)
        except OSError:
            return None
        except Exception as error:  # noqa: BLE001, what cannot be pickled
            return failure(error)
        try:
            if not self._is_ready:
                self._hear(None)
                self._is_ready = True
            outcome: Outcome = self._hear(timeout)
        except TimeoutError:
            self.process.kill()
            self.process.join()
            text = f"timeout: the handler's process was killed after {timeout:g} s"
            return failure(HandlerError(text), timeout or 0.0)
        except (EOFError, OSError):
            self.process.join()
            return failure(
                HandlerError(f"the handler's process has died: exit code {self.process.exitcode}")
            )
        return outcome

    def _hear(self, timeout: float | None) -> Any:
        """Wait for what the process says; raises a TimeoutError, or an EOFError if it has died."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        # What it has started may live on, and hold the other end of the pipe open.
        while not self._pipe.poll(max(0.0, min(_STEP, end - time.monotonic()))):
            if not self.process.is_alive() and not self._pipe.poll():
                raise EOFError
            if time.monotonic() >= end:
                raise TimeoutError
        return self._pipe.recv()

    def end(self) -> None:
        """Let the process end, which it does when it has nothing to do."""
        self._pipe.close()
        self.process.join()


def _serve(pipe: Connection, arguments: tuple[Any, ...]) -> None:
    """Be that process."""
    # Sent to all processes, they mean the worker, which lets this one finish. What the handler
    # starts has them as usual.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            after_in_child=lambda: [signal.signal(*each) for each in before.items()]
        )
    threading.Thread(target=_die_with_parent, daemon=True).start()
    job = Job(*arguments)
    pipe.send(None)
    while True:
        try:
            messages = pipe.recv()
        except EOFError:
            job.close()
            return
        try:
            outcome = job.attempt(messages, Progress(messages), _always).portable()
        except NoConnectionError as error:
            outcome = Outcome("returned", exception=error)
        pipe.send(outcome)


def _ignore(*_: Any) -> None:
    """Ignore a signal; unlike SIG_IGN, that is not passed on to other programs."""


def _always(_: WorkerMessage) -> bool:
    return True


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
