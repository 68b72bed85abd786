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
from dataclasses import dataclass, field
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Generic, TypeVar

import psycopg
from psycopg.errors import LockNotAvailable

from pgmq._session import Session, StoppedError
from pgmq._wire import backoff
from pgmq.messages import Message, StreamMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Consumer", "Runner"]

M = TypeVar("M", Message, StreamMessage)

_LONGEST_VARIABLE = 100_000  # bytes; Linux has room for 131,072 with the name
_LONGEST_LINE = 1 << 16  # characters that are passed on at once

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Runner(ABC, Generic[M]):
    """Runs a program for each message, one after the other."""

    queue: str
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
                found = read() if until_empty else session.next_batch(self.queue, read, self.poll)
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
                        _reap()
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
            "PGMQ_QUEUE": self.queue,
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
        return subprocess.Popen(
            self.command,
            stdin=body,
            stderr=subprocess.PIPE,
            env=os.environb | environment,
            # Ctrl-C in a terminal is for us; and a group that can be ended as a whole.
            start_new_session=True,
        )

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
class Consumer(Runner[Message]):
    """Consumes a queue."""

    grouped: bool

    def _check(self, session: Session) -> None:
        session.check(self.queue)

    def _read(self, session: Session) -> list[Message]:
        if self.grouped:
            return session.read_grouped(self.queue, self.vt, 1)
        return session.read_batch(self.queue, self.vt, 1)

    def _handle(self, session: Session, messages: Sequence[Message]) -> None:
        for message in messages:
            self._handle_one(session, message)

    def _handle_one(self, session: Session, message: Message) -> None:
        msg_id, read_ct = message.msg_id, message.read_ct
        try:
            error = self._run(session, message)
        except BaseException:
            with contextlib.suppress(psycopg.Error, StoppedError):
                session.nack(self.queue, msg_id, read_ct, 0)
            raise
        if error is None:
            kept = session.ack(self.queue, msg_id, read_ct)
        else:
            _logger.warning("message %s: %s", msg_id, error)
            kept = session.nack(self.queue, msg_id, read_ct, self.retry_delay, error)
        if not kept:
            _logger.warning(
                "message %s: the lease was lost, and the message may be handled twice", msg_id
            )

    def _extend(self, session: Session, message: Message) -> None:
        # Stopped or not, locked by somebody else or not, we stay as long as the program runs.
        with contextlib.suppress(StoppedError, LockNotAvailable), session.impatient():
            session.extend(self.queue, message.msg_id, message.read_ct, self.vt)

    def _variables(self, message: Message) -> dict[str, str]:
        return {"PGMQ_READ_CT": str(message.read_ct)}


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


def _reap() -> None:
    """As the first process of a container, take note of the end of what programs left behind."""
    if os.getpid() == 1:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
