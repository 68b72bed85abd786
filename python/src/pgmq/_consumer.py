"""Run a program for each message: what `pgmq consume` does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from pgmq._session import Session, StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgmq.messages import Message

__all__ = ["Consumer"]


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
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def stop(self) -> None:
        """Have run() return when the program has ended; called again, end the program."""
        if self._stop.is_set() and self._process is not None:
            self._process.terminate()
        self._stop.set()

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
            "PGMQ_HEADERS": message.headers or "null",
        }
        # In a file: a program need not read all of it, or any.
        with tempfile.TemporaryFile() as body:
            body.write((message.message or "null").encode())
            body.seek(0)
            self._process = process = subprocess.Popen(
                self.command,
                stdin=body,
                stderr=subprocess.PIPE,
                env=os.environ | environment,
                # Ctrl-C in a terminal is for us.
                start_new_session=True,
            )
        last: list[str] = []
        follower = threading.Thread(target=_follow, args=(process.stderr, last), daemon=True)
        follower.start()
        while True:
            try:
                code = process.wait(self.vt / 3)
                break
            except subprocess.TimeoutExpired:
                # Stopped or not, we stay as long as the program runs.
                with contextlib.suppress(StoppedError):
                    session.extend(self.queue, message.msg_id, message.read_ct, self.vt)
        self._process = None
        # Something that it left in the background may keep the pipe open.
        follower.join(1)
        if code == 0:
            return None
        ended = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        return last[0] if last else ended


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
