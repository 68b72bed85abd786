"""Run a program for each message: what `pgmq consume` does."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

import psycopg
from psycopg.errors import LockNotAvailable

from pgmq import _statements as statements
from pgmq._retrying import last_receipt, retry_delay
from pgmq._session import Session, StoppedError
from pgmq._wire import backoff
from pgmq.messages import StreamMessage, WorkerMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["RETRY_DELAY", "Consumer", "Runner", "run_all"]

RETRY_DELAY = 1  # seconds

M = TypeVar("M", WorkerMessage, StreamMessage)

_LONGEST_VARIABLE = 100_000  # bytes; Linux has room for 131,072 with the name
_LONGEST_LINE = 1 << 16  # characters that are passed on at once

_lock = threading.Lock()
_programs: set[int] = set()  # the pids of those that run

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Runner(ABC, Generic[M]):
    """Runs a program for each message, one after the other."""

    queues: Sequence[str]
    command: Sequence[str]
    vt: int
    retry_delay: int | None
    poll: float
    _stop: threading.Event = field(init=False, default_factory=threading.Event)
    _stops: int = field(init=False, default=0)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def stop(self) -> None:
        """Have run() return when the program has ended.

        Called a second time, ask the program and what it has started to end; from the third time
        on, kill them.
        """
        self._stops += 1
        self._stop.set()
        if self._stops > 1 and self._process is not None:
            _signal(self._process, signal.SIGTERM if self._stops == 2 else signal.SIGKILL)

    def finish(self) -> None:
        """Have run() return when the program has ended, however often this is called."""
        self._stops = max(self._stops, 1)
        self._stop.set()

    def run(self, dsn: str, *, until_empty: bool) -> None:
        """Consume until stop() is called, or with until_empty until there is nothing to read."""
        with Session(dsn, name="pgmq consume", stop=self._stop) as session:
            self._check(session)

            def read() -> list[M]:
                return self._read(session)

            while not self._stop.is_set():
                found = read() if until_empty else session.next_batch(self.queues, read, self.poll)
                if until_empty and not found:
                    return
                self._handle(session, found)

    @abstractmethod
    def _check(self, session: Session) -> None:
        """Raise what would keep messages from being consumed."""

    @abstractmethod
    def _read(self, session: Session) -> list[M]:
        """Lease messages."""

    @abstractmethod
    def _handle(self, session: Session, messages: Sequence[M]) -> None:
        """Run the program for messages, and tell the server what came of it."""

    @abstractmethod
    def _extend(self, session: Session, message: M) -> None:
        """Keep the lease of a message."""

    @abstractmethod
    def _variables(self, message: M) -> dict[str, str]:
        """Say what the program is told of a message, beside its headers."""

    def _run(self, session: Session, message: M) -> str | None:
        """Run the program; None when it succeeded, else why not.

        While it cannot be started, as when it is being replaced or a disk is full, try again.
        """
        for attempt in itertools.count(1):
            with contextlib.ExitStack() as stack:
                try:
                    self._process = process = self._start(message, stack)
                except OSError as error:
                    problem = f"{self.command[0]} cannot be run: {error.strerror or error}"
                    if error.errno == errno.E2BIG:
                        return problem
                else:
                    try:
                        return self._wait(session, message, process)
                    finally:
                        _reap(process)
            delay = backoff(attempt, self.vt / 3)
            _logger.warning("%s; again in %.1f s", problem, delay)
            if self._stop.wait(delay):
                return problem
            self._extend(session, message)
        raise AssertionError

    def _start(self, message: M, stack: contextlib.ExitStack) -> subprocess.Popen[bytes]:
        """Start the program; its files stay until the stack is closed."""
        headers = (message.headers or "null").encode()
        variables = {
            "PGMQ_MSG_ID": str(message.msg_id),
            "PGMQ_ENQUEUED_AT": message.enqueued_at.isoformat(),
            **self._variables(message),
        }
        environment = {name.encode(): value.encode() for name, value in variables.items()}
        if len(headers) < _LONGEST_VARIABLE:
            environment[b"PGMQ_HEADERS"] = headers
        else:
            file = stack.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
            file.write(headers)
            file.flush()
            environment[b"PGMQ_HEADERS_FILE"] = os.fsencode(file.name)
        # In a file: a program need not read all of it, or any.
        body = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        body.write((message.message or "null").encode())
        body.seek(0)
        with _lock:
            process = subprocess.Popen(
                self.command,
                stdin=body,
                stderr=subprocess.PIPE,
                env=os.environb | environment,
                # Ctrl-C in a terminal is for us; and a group that can be ended as a whole.
                start_new_session=True,
            )
            _programs.add(process.pid)
        return process

    def _wait(self, session: Session, message: M, process: subprocess.Popen[bytes]) -> str | None:
        """Keep the lease until the program has ended; None when it succeeded, else why not."""
        last: list[str] = []
        follower = threading.Thread(target=_follow, args=(process.stderr, last), daemon=True)
        follower.start()
        while True:
            try:
                code = process.wait(self.vt / 3)
                break
            except subprocess.TimeoutExpired:
                self._extend(session, message)
        # What it has started may still be at the message, when it was told to end.
        extended = time.monotonic()
        while self._stops > 1 and _remains(process):
            time.sleep(0.05)
            if time.monotonic() - extended > self.vt / 3:
                self._extend(session, message)
                extended = time.monotonic()
        self._process = None
        # Something that it left in the background may keep the pipe open.
        follower.join(1)
        if code == 0:
            return None
        return last[0] if last else _ended(code)


@dataclass(slots=True)
class Consumer(Runner[WorkerMessage]):
    """Consumes a queue, or several in order of priority."""

    grouped: bool

    def _check(self, session: Session) -> None:
        for queue in self.queues:
            session.check(queue)

    def _read(self, session: Session) -> list[WorkerMessage]:
        if len(self.queues) > 1:
            return session.run(statements.read_any_for_worker(self.queues, self.vt, 1))
        read = statements.read_grouped if self.grouped else statements.read
        (queue,) = self.queues
        return session.run(statements.for_worker(read(queue, self.vt, 1), queue))

    def _handle(self, session: Session, messages: Sequence[WorkerMessage]) -> None:
        for message in messages:
            self._handle_one(session, message)

    def _handle_one(self, session: Session, message: WorkerMessage) -> None:
        lease = message.queue_name, message.msg_id, message.read_ct
        try:
            error = self._run(session, message)
        except BaseException:
            with contextlib.suppress(psycopg.Error, StoppedError):
                session.nack(*lease, 0)
            raise
        if error is None:
            kept = session.ack(*lease)
        else:
            _logger.warning("message %s: %s", self._name(message), error)
            kept = session.nack(*lease, self._delay(session, message), error)
        if not kept:
            _logger.warning(
                "message %s: the lease was lost, and the message may be handled twice",
                self._name(message),
            )

    def _delay(self, session: Session, message: WorkerMessage) -> int | None:
        """Say in how many seconds a message that failed is tried again; None: the queue says."""
        if self.retry_delay is not None:
            return self.retry_delay
        if self._stops > 1:  # we have ended the program
            return 0
        policy = session.get_policy(message.queue_name)
        end = last_receipt(policy, message.read_ct)
        if end is not None:
            _logger.warning("message %s: %s", self._name(message), end)
        return retry_delay(policy, message.read_ct, RETRY_DELAY)

    def _extend(self, session: Session, message: WorkerMessage) -> None:
        # Stopped or not, locked by somebody else or not, we stay as long as the program runs.
        with contextlib.suppress(StoppedError, LockNotAvailable), session.impatient():
            session.extend(message.queue_name, message.msg_id, message.read_ct, self.vt)

    def _variables(self, message: WorkerMessage) -> dict[str, str]:
        return {"PGMQ_QUEUE": message.queue_name, "PGMQ_READ_CT": str(message.read_ct)}

    def _name(self, message: WorkerMessage) -> str:
        of_queue = f" of {message.queue_name}" if len(self.queues) > 1 else ""
        return f"{message.msg_id}{of_queue}"


def run_all(consumers: Sequence[Runner[Any]], dsn: str, *, until_empty: bool) -> None:
    """Run consumers beside each other, until all have ended; when one fails, the others finish."""
    if len(consumers) == 1:
        consumers[0].run(dsn, until_empty=until_empty)
        return
    with ThreadPoolExecutor(len(consumers)) as threads:
        runs = [threads.submit(each.run, dsn, until_empty=until_empty) for each in consumers]
        _, others = wait(runs, return_when=FIRST_EXCEPTION)
        if others:
            for each in consumers:
                each.finish()
    for run in runs:
        run.result()


def _signal(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a program and what it has started; False when nothing of it is left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _remains(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether what an ended program has started still runs."""
    # As the first process of a container, we are who has to take note of their end.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-process.pid, os.WNOHANG)[0]:
            pass
    return _signal(process, 0)


def _ended(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # one without a name, of those for real time
        return f"killed by signal {-code}"


def _follow(pipe: IO[bytes], last: list[str]) -> None:
    """Pass on what a program complains of, and keep the last line."""
    with TextIOWrapper(pipe, "utf-8", "replace") as lines:
        while text := lines.readline(_LONGEST_LINE):
            # Where nobody can be told, the program must not be the one to suffer.
            with contextlib.suppress(OSError):
                sys.stderr.write(text)
            if text.strip():
                last[:] = [text.strip()[:1000]]


def _reap(program: subprocess.Popen[bytes]) -> None:
    """As the first process of a container, take note of the end of what programs left behind.

    Not of that of programs: whoever has started one waits for it.
    """
    with _lock:
        _programs.discard(program.pid)
        if os.getpid() == 1:
            any_ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):
                while (
                    found := os.waitid(os.P_ALL, 0, any_ended)
                ) and found.si_pid not in _programs:
                    os.waitpid(found.si_pid, 0)
