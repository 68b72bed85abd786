"""Run a program for each message: what `pgmq consume` does."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, BinaryIO

from pgmq._session import Session, StoppedError, backoff

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgmq.messages import Message

__all__ = ["Consumer"]

_LONGEST_VARIABLE = 100_000  # bytes; Linux has room for 131,072 with the name


@dataclass(slots=True)
class Consumer:
    """Runs a program for each message of a queue, one after the other."""

    queue: str
    command: Sequence[str]
    vt: int
    grouped: bool
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

    def run(self, dsn: str, *, until_empty: bool) -> None:
        """Consume until stop() is called, or with until_empty until there is nothing to read."""
        with Session(dsn, name="pgmq consume", stop=self._stop) as session:

            def read() -> list[Message]:
                if self.grouped:
                    return session.read_grouped(self.queue, self.vt, 1)
                return session.read_batch(self.queue, self.vt, 1)

            while not self._stop.is_set():
                found = read() if until_empty else session.next_batch(self.queue, read, self.poll)
                if until_empty and not found:
                    return
                for message in found:
                    self._handle(session, message)

    def _handle(self, session: Session, message: Message) -> None:
        msg_id, read_ct = message.msg_id, message.read_ct
        error = self._run(session, message)
        if error is None:
            kept = session.ack(self.queue, msg_id, read_ct)
        else:
            _say(f"message {msg_id}: {error}")
            kept = session.nack(self.queue, msg_id, read_ct, self.retry_delay, error)
        if not kept:
            _say(f"message {msg_id}: the lease was lost, and the message may be handled twice")

    def _run(self, session: Session, message: Message) -> str | None:
        """Run the program; None when it succeeded, else why not."""
        environment = {
            "PGMQ_QUEUE": self.queue,
            "PGMQ_MSG_ID": str(message.msg_id),
            "PGMQ_READ_CT": str(message.read_ct),
            "PGMQ_ENQUEUED_AT": message.enqueued_at.isoformat(),
        }
        headers = message.headers or "null"
        with contextlib.ExitStack() as stack:
            if len(headers.encode()) < _LONGEST_VARIABLE:
                environment["PGMQ_HEADERS"] = headers
            else:
                file = stack.enter_context(tempfile.NamedTemporaryFile())
                file.write(headers.encode())
                file.flush()
                environment["PGMQ_HEADERS_FILE"] = file.name
            # In a file: a program need not read all of it, or any.
            body = stack.enter_context(tempfile.TemporaryFile())
            body.write((message.message or "null").encode())
            process = self._start(session, message, body, os.environ | environment)
            if isinstance(process, str):
                return process
            return self._wait(session, message, process)

    def _start(
        self, session: Session, message: Message, body: IO[bytes], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | str:
        """Start the program; while there is none, as when it is being replaced, try again."""
        for attempt in itertools.count(1):
            body.seek(0)
            try:
                self._process = subprocess.Popen(
                    self.command,
                    stdin=body,
                    stderr=subprocess.PIPE,
                    env=environment,
                    # Ctrl-C in a terminal is for us; and a group that can be ended as a whole.
                    start_new_session=True,
                )
            except OSError as error:
                problem = f"{self.command[0]} cannot be run: {error.strerror}"
                if error.errno == errno.E2BIG:
                    return problem
                delay = backoff(attempt, self.vt / 3)
                _say(f"{problem}; again in {delay:.1f} s")
                if self._stop.wait(delay):
                    return problem
                self._extend(session, message)
            else:
                return self._process
        raise AssertionError

    def _wait(
        self, session: Session, message: Message, process: subprocess.Popen[bytes]
    ) -> str | None:
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

    def _extend(self, session: Session, message: Message) -> None:
        # Stopped or not, we stay as long as the program runs.
        with contextlib.suppress(StoppedError):
            session.extend(self.queue, message.msg_id, message.read_ct, self.vt)


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


def _follow(pipe: BinaryIO, last: list[str]) -> None:
    """Pass on what a program complains of, and keep the last line."""
    with pipe:
        for line in pipe:
            text = line.decode(errors="replace")
            sys.stderr.write(text)
            if text.strip():
                last[:] = [text.strip()[:1000]]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
